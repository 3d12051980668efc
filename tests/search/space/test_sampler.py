"""BudgetSampler: every proposal is within the budget, and new."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import product
from math import log, prod
from typing import Any

import optuna
import pytest
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import Trial
from scipy.stats import chisquare
from torch import nn

from models.architecture import Architecture, ArchitectureError, Stage, Stem
from models.baselines import find_baseline
from models.build import build_on_meta
from models.count import count_macs, count_parameters, peak_activations
from models.int8 import count_int8_bytes
from search.space.limits import Limits
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
    """The designs of so many trials with a simple value: the larger a network, the better."""
    proposed = []
    for _ in range(num_trials):
        trial = ask(study, space)
        proposed.append(space.decode(trial.params, task))
        study.tell(trial, log(count_parameters(proposed[-1])))
    return proposed


def all_designs(space: Space, budget: int, task: Task = TASK) -> set[Architecture]:
    """All designs within the budget, by trying all vectors."""
    designs = set()
    for indices in product(*(range(len(slot.choices)) for slot in space.slots)):
        vector = {slot.name: slot.value(index) for slot, index in zip(space.slots, indices, strict=True)}
        try:
            designs.add(space.decode(vector, task))
        except ArchitectureError:
            continue
    return {design for design in designs if count_parameters(design) <= budget}


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
    sampler = BudgetSampler(space, TASK, Limits(budget), base_of(kind))
    study = new_study(sampler)
    designs = search(study, space, 100)
    assert len(set(designs)) == 100
    assert max(map(count_parameters, designs)) <= budget
    if space.rules.non_decreasing_width:
        widths = [[design.stem.width, *(stage.width for stage in design.stages)] for design in designs]
        assert all(sorted(of_design) == of_design for of_design in widths)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 100


def test_every_proposal_is_the_full_vector() -> None:
    sampler = BudgetSampler(MIDDLE, TASK, Limits(50_000), TPESampler(seed=0))
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
    random = search(new_study(BudgetSampler(MIDDLE, TASK, Limits(50_000), None)), MIDDLE, 60)
    guided = search(new_study(BudgetSampler(MIDDLE, TASK, Limits(50_000), TPESampler(seed=0))), MIDDLE, 60)
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
    sampler = BudgetSampler(space, TASK, Limits(budget), base_of(kind))
    study = new_study(sampler)
    proposed = search(study, space, len(designs))
    assert sampler.num_feasible == len(designs) == len(set(proposed)) > 3
    assert set(proposed) == designs
    for _ in range(2):
        with pytest.raises(SpaceExhaustedError):
            ask(study, space)


def test_nothing_within_the_budget_is_an_exhausted_space() -> None:
    sampler = BudgetSampler(TINY, TASK, Limits(10), None)
    assert sampler.num_feasible == 0
    with pytest.raises(SpaceExhaustedError):
        ask(new_study(sampler), TINY)


@pytest.mark.parametrize("kind", ["tpe", "random"])
def test_seen_designs_are_never_proposed(kind: str) -> None:
    designs = sorted(all_designs(TINY, 10**12), key=repr)
    seen, left = designs[::2], set(designs[1::2])
    sampler = BudgetSampler(TINY, TASK, Limits(10**12), base_of(kind), seen)
    study = new_study(sampler)
    assert set(search(study, TINY, len(left))) == left
    with pytest.raises(SpaceExhaustedError):
        ask(study, TINY)


def test_a_seen_design_is_known_in_every_form() -> None:
    designs = all_designs(TINY, 10**12)
    basic = Architecture(Stem(4), (Stage("basic", 1, 4, reduction=2),), "A")
    assert basic not in designs and basic.canonical() in designs
    sampler = BudgetSampler(TINY, TASK, Limits(10**12), None, [basic])
    assert set(search(new_study(sampler), TINY, len(designs) - 1)) == designs - {basic.canonical()}


@pytest.mark.parametrize("kind", ["tpe", "random"])
def test_running_trials_are_not_proposed_again(kind: str) -> None:
    designs = all_designs(TINY, 10**12)
    sampler = BudgetSampler(TINY, TASK, Limits(10**12), base_of(kind))
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
        study = new_study(BudgetSampler(MIDDLE, TASK, Limits(50_000), base_of(kind), seed=seed))
        search(study, MIDDLE, 25)
        return [trial.params for trial in study.trials]

    assert proposals(3) == proposals(3)
    assert proposals([3, 0]) == proposals([3, 0])
    assert proposals(3)[:10] != proposals(4)[:10]


def test_a_study_that_goes_on_does_not_repeat_its_draws() -> None:
    def draws(num_trials: int, seen: Iterable[Architecture] = ()) -> list[Architecture]:
        sampler = BudgetSampler(MIDDLE, TASK, Limits(50_000), None, seen, [3, num_trials])
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
    sampler = BudgetSampler(EVEN, odd, Limits(10**12), base_of(kind))
    study = new_study(sampler)
    assert set(search(study, EVEN, len(possible), odd)) == possible
    with pytest.raises(SpaceExhaustedError):
        ask(study, EVEN)


def test_a_space_of_which_no_design_is_possible_is_exhausted() -> None:
    values = EVEN.model_dump() | {"num_stages": 2}
    values["stage"]["kernel"] = 2
    space, odd = Space.model_validate(values), Task(15, 3, 10)
    with pytest.raises(SpaceExhaustedError):
        ask(new_study(BudgetSampler(space, odd, Limits(10**12), TPESampler(seed=0))), space)


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
    study.ask()
    frozen = study.get_trials()[0]
    for seed in range(1_500):
        sampler = BudgetSampler(TINY, TASK, Limits(1_500), None, seed=seed)
        vector = sampler.sample_relative(study, frozen, TINY.distributions)
        drawn[tuple(sorted(vector.items()))] += 1
    assert drawn.keys() <= set(vectors)
    assert chisquare([drawn[vector] for vector in vectors]).pvalue > 0.001


def test_first_proposals_have_the_weights_of_the_vectors_within_the_budget() -> None:
    """Also in the choices that a design does not depend on: TPE reads those too."""
    weights = {"num_stages": [3, 1], "stage": {"block": [1, 2], "reduction": [3, 1], "width": [2, 1]}}
    space = Space.model_validate(TINY.model_dump() | {"weights": weights})
    of_choice = {
        "block": {"basic": 1 / 3, "bottleneck": 2 / 3},
        "reduction": {0: 0.75, 1: 0.25},
        "width": [2 / 3, 1 / 3],
    }
    found: dict[int, dict[tuple[Any, ...], float]] = {1: {}, 2: {}}
    for indices in product(*(range(len(slot.choices)) for slot in space.slots)):
        vector = {slot.name: slot.value(index) for slot, index in zip(space.slots, indices, strict=True)}
        try:
            design = space.decode(vector, TASK)
        except ArchitectureError:
            continue
        if count_parameters(design) <= 1_500:
            factors = [of_choice[name[7:]][value] for name, value in vector.items() if name.startswith("stage")]
            found[len(design.stages)][tuple(sorted(vector.items()))] = prod(factors)
    expected = {
        vector: share * weight / sum(found[number].values())
        for number, share in ((1, 0.75), (2, 0.25))
        for vector, weight in found[number].items()
    }
    sampler, study = BudgetSampler(space, TASK, Limits(1_500), None), new_study(RandomSampler())
    study.ask()
    frozen = study.get_trials()[0]
    drawn: Counter[tuple[Any, ...]] = Counter()
    for _ in range(1_500):
        sampler._seen.clear()
        drawn[tuple(sorted(sampler.sample_relative(study, frozen, space.distributions).items()))] += 1
    assert drawn.keys() <= expected.keys()
    frequent = [vector for vector, share in expected.items() if 1_500 * share >= 5]
    shares = [expected[vector] for vector in frequent]
    observed, wanted = [drawn[vector] for vector in frequent], [1_500 * share for share in shares]
    rest = 1_500 * (1 - sum(shares))
    assert chisquare([*observed, 1_500 - sum(observed)], [*wanted, rest]).pvalue > 0.001


@pytest.mark.parametrize(
    ("weights", "shares"), [([1, 3, 0, 1], [0.2, 0.6, 0, 0.2]), (None, [0.25] * 4)], ids=["weighed", "uniform"]
)
def test_where_some_choices_make_the_same_network_proposals_have_the_weights_of_those(
    weights: list[int] | None, shares: list[float]
) -> None:
    """Sixteen inner channels without groups are one group of 16, or of 32, but not 16 of one channel."""
    stage = {"block": "bottleneck", "depth": 1, "width": 64, "group_width": [1, 16, 32, "none"]}
    weighing = {"weights": {"stage": {"group_width": weights}}} if weights else {}
    space = Space.model_validate({"stem": {"width": 8}, "num_stages": 1, "stage": stage} | weighing)
    sampler, study = BudgetSampler(space, TASK, Limits(10**12), None), new_study(RandomSampler())
    study.ask()
    frozen = study.get_trials()[0]
    drawn: Counter[int] = Counter()
    for _ in range(1_000):
        sampler._seen.clear()
        drawn[sampler.sample_relative(study, frozen, space.distributions)["stage1_group_width"]] += 1
    possible = [index for index, share in enumerate(shares) if share]
    assert sorted(drawn) == possible
    assert chisquare([drawn[index] for index in possible], [1_000 * shares[index] for index in possible]).pvalue > 0.001


def test_tpe_begins_with_the_weighed_draws() -> None:
    space = Space.model_validate(MIDDLE.model_dump() | {"weights": {"num_stages": [1, 0, 3], "dropout": [0, 1]}})
    by_tpe, at_random = (
        search(new_study(BudgetSampler(space, TASK, Limits(50_000), base_of(kind), seed=4)), space, 10)
        for kind in ("tpe", "random")
    )
    assert by_tpe == at_random
    assert {len(design.stages) for design in by_tpe} <= {1, 3}
    assert {stage.dropout for design in by_tpe for stage in design.stages} == {0.1}


@pytest.mark.parametrize("kind", [pytest.param("tpe", marks=pytest.mark.slow), "random"])
def test_what_weighs_nothing_is_still_in_the_space_and_comes_last(kind: str) -> None:
    weights = {"num_stages": [1, 0], "stage": {"block": [1, 0]}}
    space = Space.model_validate(TINY.model_dump() | {"weights": weights})
    designs, asked_for = (
        all_designs(TINY, 10**12),
        Architecture(Stem(4), (Stage("bottleneck", 1, 8), Stage("basic", 1, 8))),
    )
    study = new_study(BudgetSampler(space, TASK, Limits(10**12), base_of(kind), first=[asked_for]))
    proposed = search(study, space, len(designs))
    assert set(proposed) == designs
    assert proposed[0] == asked_for
    if kind == "random":  # of one basic stage there are two
        assert [(len(design.stages), design.stages[0].block) for design in proposed[1:3]] == [(1, "basic")] * 2


def test_where_nothing_has_a_weight_draws_are_uniform_over_the_designs() -> None:
    space = Space.model_validate(TINY.model_dump() | {"weights": {"num_stages": [0, 1]}})
    smallest = min(all_designs(TINY, 10**12), key=count_parameters)
    sampler = BudgetSampler(space, TASK, Limits(count_parameters(smallest)), None)
    assert search(new_study(sampler), space, 1) == [smallest]


def test_draws_are_counted() -> None:
    sampler = BudgetSampler(MIDDLE, TASK, Limits(10**12), None)
    search(new_study(sampler), MIDDLE, 5)
    assert (sampler.draws, sampler.fallbacks) == (5, 0)  # nothing is over this budget, and hardly anything comes twice


def test_a_base_that_only_proposes_what_is_refused_gives_way_to_uniform_draws() -> None:
    design = Architecture(Stem(4), (Stage("basic", 1, 4),))
    sampler = BudgetSampler(TINY, TASK, Limits(10**12), Stubborn(TINY.encode(design)))
    study = new_study(sampler)
    assert search(study, TINY, 1) == [design]
    assert (sampler.draws, sampler.fallbacks) == (1, 0)
    (other,) = search(study, TINY, 1)
    assert other != design
    assert sampler.fallbacks == 1
    assert sampler.draws > 1 + MAX_BASE_DRAWS
    over = BudgetSampler(TINY, TASK, Limits(count_parameters(design) - 1), Stubborn(TINY.encode(design)))
    for proposed in search(new_study(over), TINY, over.num_feasible):
        assert count_parameters(proposed) < count_parameters(design)
    assert over.fallbacks == over.num_feasible > 0


def test_choices_of_the_base_that_break_a_rule_are_moved_to_others_that_do_not() -> None:
    narrows = dict.fromkeys(TINY.distributions, 0) | {"stage1_block": "basic", "stage2_block": "basic"}
    narrows |= {"num_stages": 1, "stage1_width": 1, "stage2_width": 0}
    with pytest.raises(ArchitectureError):
        TINY.decode(narrows, TASK)
    sampler = BudgetSampler(TINY, TASK, Limits(10**12), Stubborn(narrows))
    study = new_study(sampler)
    assert search(study, TINY, 1)[0] == TINY.decode(narrows | {"stage2_width": 1}, TASK)
    assert (sampler.draws, sampler.repairs, sampler.fallbacks) == (1, 1, 0)
    assert search(study, TINY, 1)[0] in all_designs(TINY, 10**12)
    assert (sampler.repairs, sampler.fallbacks) == (1, 1)  # it is moved to the same design, which is not new


def convolutions(architecture: Architecture) -> tuple[str, ...]:
    """The layers of the network as it is built, in their order, whatever stages they belong to."""
    kinds = (nn.Conv2d, nn.Linear, nn.ReLU, nn.SiLU, nn.Dropout)
    return tuple(repr(module) for module in build_on_meta(architecture).modules() if isinstance(module, kinds))


def test_a_network_whose_blocks_may_be_grouped_in_several_ways_is_proposed_once() -> None:
    space = Space.model_validate({
        "stem": {"width": 8},
        "num_stages": [1, 2],
        "stage": {
            "block": ["basic", "inverted"], "depth": [1, 2], "width": [8, 16], "expansion": 2, "stride": ["none", 1],
        },
    })  # fmt: skip
    designs = all_designs(space, 10**12)
    networks = {convolutions(design) for design in designs}
    assert len(networks) < len(designs)
    sampler = BudgetSampler(space, TASK, Limits(10**12), None)
    proposed = search(new_study(sampler), space, len(networks))
    assert {convolutions(design) for design in proposed} == networks
    with pytest.raises(SpaceExhaustedError, match=f"^all {len(networks)} designs within the limits have been tried$"):
        ask(new_study(sampler), space)
    assert sampler.num_left == 0


def test_the_base_hears_of_every_trial() -> None:
    heard: list[str] = []

    class Listening(RandomSampler):
        def before_trial(self, *_: Any) -> None:
            heard.append("before")

        def after_trial(self, *_: Any) -> None:
            heard.append("after")

        def reseed_rng(self) -> None:
            heard.append("reseed")

    sampler = BudgetSampler(TINY, TASK, Limits(10**12), Listening())
    search(new_study(sampler), TINY, 2)
    sampler.reseed_rng()
    assert heard == ["before", "after", "before", "after", "reseed"]


@pytest.mark.parametrize("kind", ["tpe", "random"])
def test_a_parameter_outside_the_space_is_sampled_beside_it(kind: str) -> None:
    trial = ask(new_study(BudgetSampler(TINY, TASK, Limits(10**12), base_of(kind))), TINY)
    assert 0 <= trial.suggest_float("lr", 0, 1) <= 1
    assert TINY.decode(trial.params, TASK) in all_designs(TINY, 10**12)


# Several limits.


def some_limits(space: Space, share: float = 0.5) -> list[Limits]:
    """Limits of every kind that leave some designs of the space and refuse others."""
    designs = list(all_designs(space, 10**12))

    def at(cost: Callable[[Architecture], int], share: float) -> int:
        return sorted(map(cost, designs))[round(share * (len(designs) - 1))]

    params, macs = at(count_parameters, share), at(lambda design: count_macs(design, 32), share)
    peak = at(lambda design: peak_activations(design, 32), 0.7)
    return [
        Limits(params, fill=0.7),
        Limits(10**9, macs=macs),
        Limits(10**9, bytes=at(count_int8_bytes, share), bytes_precision="int8"),
        Limits(10**9, bytes=at(count_int8_bytes, share), bytes_precision="int8", fill=0.7),
        Limits(10**9, activations=peak, activations_precision="int8"),
        Limits(10**9, latency=1e-9),  # measured elsewhere: it refuses nothing here
        Limits(params, macs=macs, activations=4 * peak, fill=0.4),
    ]


@pytest.mark.parametrize("number", range(7))
@pytest.mark.parametrize("kind", ["tpe", "random"])
def test_under_any_limits_each_design_comes_once_and_then_the_space_is_exhausted(kind: str, number: int) -> None:
    limits = some_limits(TINY)[number]
    designs = {design for design in all_designs(TINY, 10**12) if limits.admits(design, 32)}
    assert 2 < len(designs) <= len(all_designs(TINY, 10**12))
    sampler = BudgetSampler(TINY, TASK, limits, base_of(kind))
    study = new_study(sampler)
    assert set(search(study, TINY, len(designs))) == designs
    with pytest.raises(SpaceExhaustedError, match=f"^all {len(designs)} designs within the limits have been tried$"):
        ask(study, TINY)
    assert sampler.num_feasible == len(designs)


@pytest.mark.parametrize(
    "limits",
    [
        Limits(5_000_000, fill=0.9),
        Limits(1_000_000, macs=20_000_000),
        Limits(5_000_000, bytes=300_000, bytes_precision="int8", activations=300_000, fill=0.01),
        # Many parameters for so few multiply-accumulates, which only late and wide stages have.
        Limits(300_000, macs=6_000_000, fill=0.9),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["tpe", "random"])
def test_40_trials_of_the_default_space_are_40_different_designs_within_all_limits(kind: str, limits: Limits) -> None:
    sampler = BudgetSampler(DEFAULT, TASK, limits, base_of(kind))
    designs = search(new_study(sampler), DEFAULT, 40)
    assert len(set(designs)) == 40
    assert all(limits.admits(design, 32) for design in designs)
    assert sampler.draws < 40 * (MAX_BASE_DRAWS + 2)


def test_where_designs_are_too_many_to_list_a_bounded_effort_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.space.draws.MAX_LISTED", 5)
    monkeypatch.setattr("search.space.sampler.MAX_LAST_DRAWS", 1_000)
    designs = all_designs(TINY, 10**12)
    sampler = BudgetSampler(TINY, TASK, Limits(10**12), None)
    study = new_study(sampler)
    assert set(search(study, TINY, len(designs))) == designs
    with pytest.raises(SpaceExhaustedError, match=r"^no new design within the limits was met in 1,000 uniform draws$"):
        ask(study, TINY)
    assert sampler.num_feasible == len(designs)
    assert BudgetSampler(TINY, TASK, Limits(10**12, macs=10**12), None).num_feasible is None


# Requested designs.


@pytest.mark.parametrize("kind", ["tpe", "random"])
def test_designs_that_were_asked_for_come_first_and_in_order_as_far_as_they_may_be_proposed(kind: str) -> None:
    limits = Limits(1_500, macs=1_000_000)
    possible = sorted((one for one in all_designs(TINY, 10**12) if limits.admits(one, 32)), key=repr)
    over = next(one for one in all_designs(TINY, 10**12) if not limits.admits(one, 32))
    outside = Architecture(Stem(5), (Stage("basic", 1, 8),))
    of_other_data = replace(possible[4], num_classes=7)
    first = [possible[2], over, possible[0], outside, possible[0], of_other_data, possible[3], possible[1]]
    sampler = BudgetSampler(TINY, TASK, limits, base_of(kind), seen=[possible[3]], first=first)
    proposed = search(new_study(sampler), TINY, 6)
    assert proposed[:3] == [possible[2], possible[0], possible[1]]
    assert len(set(proposed)) == 6 and possible[3] not in proposed
    assert sampler.draws >= 3  # a requested design is no draw


def test_a_design_that_was_asked_for_is_known_in_every_form() -> None:
    basic = Architecture(Stem(4), (Stage("basic", 1, 4, reduction=2),), "A")
    sampler = BudgetSampler(TINY, TASK, Limits(10**12), None, first=[basic])
    assert search(new_study(sampler), TINY, 1) == [basic.canonical()]


def test_hand_made_networks_can_be_the_first_trials_of_the_default_space() -> None:
    names = ("resnet20-b", "modified-resnet", "resnet102", "resnet18")
    networks = [find_baseline(name) for name in names]
    sampler = BudgetSampler(DEFAULT, TASK, Limits(5_000_000), TPESampler(seed=0), first=networks)
    proposed = search(new_study(sampler), DEFAULT, 5)
    assert proposed[:3] == [network.canonical() for network in networks[:3]]  # the last is over the budget
    assert networks[3].canonical() not in proposed


def test_hand_made_networks_need_not_fill_the_budget() -> None:
    small = find_baseline("resnet20-b").canonical()
    sampler = BudgetSampler(DEFAULT, TASK, Limits(5_000_000, fill=0.5), None, first=[small])
    proposed = search(new_study(sampler), DEFAULT, 4)
    assert proposed[0] == small
    assert all(2_500_000 <= count_parameters(design) <= 5_000_000 for design in proposed[1:])
