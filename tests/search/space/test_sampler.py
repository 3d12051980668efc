"""BudgetSampler: every proposal is within the budget, and new."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import product
from math import log
from typing import Any

import optuna
import pytest
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import Trial
from scipy.stats import chisquare

from models.architecture import Architecture, ArchitectureError, Stage, Stem
from models.count import count_macs, count_parameters
from search.space.sampler import MAX_BASE_DRAWS, BudgetSampler, SpaceExhaustedError
from search.space.space import Space, Task, load_space

optuna.logging.set_verbosity(optuna.logging.WARNING)

TASK = Task(32, 3, 10)
DEFAULT = load_space()

# Large enough that a design rarely comes twice, small enough that it is counted at once.
MIDDLE = Space.model_validate(
    {
        "stem": {"width": [4, 8, 16]},
        "num_stages": [1, 2, 3],
        "stage": {
            "block": ["basic", "bottleneck"],
            "depth": [1, 2, 3, 4],
            "width": [4, 8, 16, 32, 64],
            "kernel": [3, 5],
        },
        "dropout": [0.0, 0.1],
        "shortcut": ["A", "B", "b"],
    }
)

# 33 designs from 128 vectors; the reduction says nothing to a basic block.
TINY = Space.model_validate(
    {
        "stem": {"width": 4},
        "num_stages": [1, 2],
        "stage": {"block": ["basic", "bottleneck"], "depth": 1, "width": [4, 8], "reduction": [2, 4]},
        "shortcut": "B",
        "rules": {"non_decreasing_width": True},
    }
)
EVEN = Space.model_validate(
    {
        "stem": {"width": [4, 8]},
        "num_stages": [1, 2],
        "stage": {"block": "basic", "depth": 1, "width": [4, 8], "kernel": [2, 3]},
    }
)


def base_of(kind: str, seed: int = 0) -> BaseSampler | None:
    return TPESampler(seed=seed) if kind == "tpe" else None


def new_study(sampler: BaseSampler) -> Study:
    return optuna.create_study(direction="maximize", sampler=sampler)


def ask(study: Study, space: Space) -> Trial:
    return study.ask(fixed_distributions=space.distributions)


def search(study: Study, space: Space, num_trials: int, task: Task = TASK) -> list[Architecture]:
    """The designs of so many trials, told a simple value: the larger network is the better."""
    found = []
    for _ in range(num_trials):
        trial = ask(study, space)
        found.append(space.decode(trial.params, task))
        study.tell(trial, log(count_parameters(found[-1])))
    return found


def all_designs(space: Space, budget: int, task: Task = TASK) -> set[Architecture]:
    """All designs within the budget, by trying all vectors."""
    found = set()
    for indices in product(*(range(len(slot.choices)) for slot in space.slots)):
        vector = {slot.name: slot.value(index) for slot, index in zip(space.slots, indices, strict=True)}
        try:
            found.add(space.decode(vector, task))
        except ArchitectureError:
            continue
    return {design for design in found if count_parameters(design) <= budget}


class Stubborn(RandomSampler):
    """A sampler that always proposes the same vector."""

    def __init__(self, vector: dict[str, Any]) -> None:
        super().__init__(seed=0)
        self.vector = vector

    def sample_relative(self, *_: Any) -> dict[str, Any]:
        return dict(self.vector)


@pytest.mark.parametrize(
    ("kind", "space", "budget"),
    [
        ("random", DEFAULT, 5_000_000),
        ("random", MIDDLE, 5_000),
        ("random", MIDDLE, 50_000),
        ("tpe", DEFAULT, 5_000_000),
        pytest.param("tpe", MIDDLE, 10**12, marks=pytest.mark.slow),
        # The better a network the nearer to the budget: most of what TPE draws is refused.
        pytest.param("tpe", MIDDLE, 5_000, marks=pytest.mark.slow),
        pytest.param("tpe", MIDDLE, 50_000, marks=pytest.mark.slow),
    ],
)
def test_100_trials_are_100_different_designs_within_the_budget(kind: str, space: Space, budget: int) -> None:
    sampler = BudgetSampler(space, TASK, budget, base_of(kind))
    study = new_study(sampler)
    designs = search(study, space, 100)
    assert len(set(designs)) == 100
    assert max(map(count_parameters, designs)) <= budget
    if space.rules.non_decreasing_width:
        widths = [[design.stem.width, *(stage.width for stage in design.stages)] for design in designs]
        assert all(sorted(each) == each for each in widths)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 100


def test_every_proposal_is_the_full_vector() -> None:
    sampler = BudgetSampler(MIDDLE, TASK, 50_000, TPESampler(seed=0))
    study = new_study(sampler)
    search(study, MIDDLE, 20)  # the first ten are uniform draws, the others TPE's
    for trial in study.trials:
        assert trial.params.keys() == MIDDLE.distributions.keys()
        assert trial.distributions == MIDDLE.distributions
    ask(study, MIDDLE)
    frozen = study.get_trials()[-1]
    assert sampler.infer_relative_search_space(study, frozen) == MIDDLE.distributions
    assert sampler.sample_relative(study, frozen, MIDDLE.distributions).keys() == MIDDLE.distributions.keys()


def test_tpe_decides_after_its_start_up_trials() -> None:
    random = search(new_study(BudgetSampler(MIDDLE, TASK, 50_000, None)), MIDDLE, 60)
    guided = search(new_study(BudgetSampler(MIDDLE, TASK, 50_000, TPESampler(seed=0))), MIDDLE, 60)
    assert random[:10] == guided[:10]

    def mean(designs: list[Architecture]) -> float:
        return sum(map(count_parameters, designs)) / len(designs)

    assert mean(guided[30:]) > 1.5 * mean(random[30:])  # the objective is size


@pytest.mark.parametrize(("space", "budget"), [(TINY, 10**12), (EVEN, 1_500)])
@pytest.mark.parametrize("kind", ["tpe", "random"])
def test_a_small_space_yields_each_design_once_and_then_says_that_it_is_exhausted(
    kind: str, space: Space, budget: int
) -> None:
    designs = all_designs(space, budget)
    sampler = BudgetSampler(space, TASK, budget, base_of(kind))
    study = new_study(sampler)
    found = search(study, space, len(designs))
    assert sampler.num_feasible == len(designs) == len(set(found)) > 3
    assert set(found) == designs
    for _ in range(2):
        with pytest.raises(SpaceExhaustedError):
            ask(study, space)


def test_nothing_within_the_budget_is_an_exhausted_space() -> None:
    sampler = BudgetSampler(TINY, TASK, 10, None)
    assert sampler.num_feasible == 0
    with pytest.raises(SpaceExhaustedError):
        ask(new_study(sampler), TINY)


@pytest.mark.parametrize("kind", ["tpe", "random"])
def test_seen_designs_are_never_proposed(kind: str) -> None:
    designs = sorted(all_designs(TINY, 10**12), key=repr)
    seen, left = designs[::2], set(designs[1::2])
    sampler = BudgetSampler(TINY, TASK, 10**12, base_of(kind), seen)
    study = new_study(sampler)
    assert set(search(study, TINY, len(left))) == left
    with pytest.raises(SpaceExhaustedError):
        ask(study, TINY)


def test_a_seen_design_is_known_in_every_form() -> None:
    designs = all_designs(TINY, 10**12)
    basic = Architecture(Stem(4), (Stage("basic", 1, 4, reduction=2),), "A")
    assert basic not in designs and basic.canonical() in designs
    sampler = BudgetSampler(TINY, TASK, 10**12, None, [basic])
    assert set(search(new_study(sampler), TINY, len(designs) - 1)) == designs - {basic.canonical()}


@pytest.mark.parametrize("kind", ["tpe", "random"])
def test_running_trials_are_not_proposed_again(kind: str) -> None:
    designs = all_designs(TINY, 10**12)
    sampler = BudgetSampler(TINY, TASK, 10**12, base_of(kind))
    study = new_study(sampler)
    first = search(study, TINY, 12)
    running = [TINY.decode(ask(study, TINY).params, TASK) for _ in range(len(designs) - 12)]
    assert len(running) == len(designs) - 12 > 3
    assert set(first) | set(running) == designs
    with pytest.raises(SpaceExhaustedError):
        ask(study, TINY)


@pytest.mark.parametrize("kind", ["tpe", "random"])
def test_the_same_seed_makes_the_same_proposals(kind: str) -> None:
    def proposals(seed: int | Sequence[int]) -> list[dict[str, Any]]:
        study = new_study(BudgetSampler(MIDDLE, TASK, 50_000, base_of(kind), seed=seed))
        search(study, MIDDLE, 25)
        return [trial.params for trial in study.trials]

    assert proposals(3) == proposals(3)
    assert proposals([3, 0]) == proposals([3, 0])
    assert proposals(3)[:10] != proposals(4)[:10]


def test_a_study_that_goes_on_does_not_repeat_its_draws() -> None:
    def draws(num_trials: int, seen: Iterable[Architecture] = ()) -> list[Architecture]:
        sampler = BudgetSampler(MIDDLE, TASK, 50_000, None, seen, [3, num_trials])
        return search(new_study(sampler), MIDDLE, 10)

    first = draws(0)
    assert not set(first) & set(draws(10))
    assert not set(first) & set(draws(10, first))


@pytest.mark.parametrize("kind", ["tpe", "random"])
def test_designs_that_are_impossible_at_the_size_of_image_are_never_proposed(kind: str) -> None:
    odd = Task(15, 3, 10)
    possible, impossible = set(), set()
    for design in all_designs(EVEN, 10**12, odd):
        try:
            count_macs(design, 15)
            possible.add(design)
        except ArchitectureError:
            impossible.add(design)
    assert len(possible) > 5 and len(impossible) > 5
    sampler = BudgetSampler(EVEN, odd, 10**12, base_of(kind))
    study = new_study(sampler)
    assert set(search(study, EVEN, len(possible), odd)) == possible
    with pytest.raises(SpaceExhaustedError):
        ask(study, EVEN)


def test_a_space_of_which_no_design_is_possible_is_exhausted() -> None:
    values = EVEN.model_dump() | {"num_stages": 2}
    values["stage"]["kernel"] = 2
    space, odd = Space.model_validate(values), Task(15, 3, 10)
    with pytest.raises(SpaceExhaustedError):
        ask(new_study(BudgetSampler(space, odd, 10**12, TPESampler(seed=0))), space)


def test_first_proposals_are_uniform_over_the_vectors_within_the_budget() -> None:
    vectors = []
    for indices in product(*(range(len(slot.choices)) for slot in TINY.slots)):
        vector = {slot.name: slot.value(index) for slot, index in zip(TINY.slots, indices, strict=True)}
        try:
            if count_parameters(TINY.decode(vector, TASK)) <= 1_500:
                vectors.append(tuple(sorted(vector.items())))
        except ArchitectureError:
            continue
    assert 20 < len(vectors) < 128
    drawn: Counter[tuple[Any, ...]] = Counter()
    study = new_study(RandomSampler())
    frozen = study.get_trials()
    for seed in range(1_500):
        sampler = BudgetSampler(TINY, TASK, 1_500, None, seed=seed)
        vector = sampler.sample_relative(study, frozen, TINY.distributions)  # type: ignore[arg-type]
        drawn[tuple(sorted(vector.items()))] += 1
    assert drawn.keys() <= set(vectors)
    assert chisquare([drawn[vector] for vector in vectors]).pvalue > 0.001


def test_draws_are_counted() -> None:
    sampler = BudgetSampler(MIDDLE, TASK, 10**12, None)
    search(new_study(sampler), MIDDLE, 5)
    assert (sampler.draws, sampler.fallbacks) == (5, 0)  # nothing is over this budget, and hardly anything comes twice


def test_a_base_that_only_proposes_what_is_refused_gives_way_to_uniform_draws() -> None:
    design = Architecture(Stem(4), (Stage("basic", 1, 4),))
    sampler = BudgetSampler(TINY, TASK, 10**12, Stubborn(TINY.encode(design)))
    study = new_study(sampler)
    assert search(study, TINY, 1) == [design]
    assert (sampler.draws, sampler.fallbacks) == (1, 0)
    (other,) = search(study, TINY, 1)
    assert other != design
    assert sampler.fallbacks == 1
    assert sampler.draws > 1 + MAX_BASE_DRAWS
    over = BudgetSampler(TINY, TASK, count_parameters(design) - 1, Stubborn(TINY.encode(design)))
    for found in search(new_study(over), TINY, over.num_feasible):
        assert count_parameters(found) < count_parameters(design)
    assert over.fallbacks == over.num_feasible > 0


def test_choices_of_the_base_that_break_a_rule_are_refused() -> None:
    narrows = dict.fromkeys(TINY.distributions, 0) | {"stage1_block": "basic", "stage2_block": "basic"}
    narrows |= {"num_stages": 1, "stage1_width": 1, "stage2_width": 0}
    with pytest.raises(ArchitectureError):
        TINY.decode(narrows, TASK)
    sampler = BudgetSampler(TINY, TASK, 10**12, Stubborn(narrows))
    assert search(new_study(sampler), TINY, 1)[0] in all_designs(TINY, 10**12)
    assert sampler.fallbacks == 1


def test_the_base_hears_of_every_trial() -> None:
    heard: list[str] = []

    class Listening(RandomSampler):
        def before_trial(self, *_: Any) -> None:
            heard.append("before")

        def after_trial(self, *_: Any) -> None:
            heard.append("after")

        def reseed_rng(self) -> None:
            heard.append("reseed")

    sampler = BudgetSampler(TINY, TASK, 10**12, Listening())
    search(new_study(sampler), TINY, 2)
    sampler.reseed_rng()
    assert heard == ["before", "after", "before", "after", "reseed"]


def test_a_name_outside_the_space_is_a_mistake_of_ours() -> None:
    trial = ask(new_study(BudgetSampler(TINY, TASK, 10**12, None)), TINY)
    with pytest.raises(AssertionError, match="lr: the search space is sampled jointly"):
        trial.suggest_float("lr", 0, 1)
