from collections.abc import Callable, Iterator
from dataclasses import replace

import optuna
import pytest
import yaml
from optuna.pruners import BasePruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.trial import TrialState

from models.architecture import Architecture
from models.count import count_parameters
from search.errors import SpaceError, StudyError
from search.files import StudyFiles
from search.run.proposals import (
    AfterStartup,
    hand_made,
    make_pruner,
    make_sampler,
    require_feasible,
    with_default_fill,
)
from search.space.draws import Draws
from search.space.limits import Limits
from search.space.sampler import ask
from search.space.space import Space, load_space
from search.study.plan import Plan, Question, require_same

BUDGET = 6_000  # of the plan that the fixture makes


def test_a_budget_below_the_smallest_network_is_refused_with_its_size(make_plan: Callable[..., Plan]) -> None:
    plan = make_plan(budget=100)
    smallest = min(count_parameters(design) for design in all_designs(plan))
    with pytest.raises(SpaceError) as caught:
        require_feasible(plan.question)
    expected = f"budget = 100: the smallest network of this space on toy has {smallest:,} parameters"
    assert str(caught.value) == expected
    assert require_feasible(make_plan(budget=smallest).question) is None
    with pytest.raises(SpaceError, match=f"budget = {smallest - 1}: "):
        require_feasible(make_plan(budget=smallest - 1).question)


def all_designs(plan: Plan) -> Iterator[Architecture]:
    return Draws(plan.question.space, plan.task, Limits(10**9), "designs").designs()


def test_a_space_without_networks_is_refused(make_plan: Callable[..., Plan]) -> None:
    space = Space.model_validate(
        {
            "stem": {"width": 16},
            "num_stages": 1,
            "stage": {"block": "basic", "depth": 1, "width": [4, 8]},
            "rules": {"non_decreasing_width": True},
        }
    )
    with pytest.raises(SpaceError, match=r"^space: no choice of its values is a network$"):
        require_feasible(make_plan(space=space).question)


def test_a_few_guesses_come_before_the_networks_of_reports(make_plan: Callable[..., Plan]) -> None:
    question = make_plan(space=load_space(), budget=300_000).question
    networks = hand_made(question)
    guessed = [name for name in networks.values() if name.startswith("guess-")]
    assert guessed == ["guess-1", "guess-2", "guess-3", "guess-5"] == [*networks.values()][:4]
    sizes = [count_parameters(network) for network in networks][4:]
    assert sizes == sorted(sizes, reverse=True) and len(sizes) >= 16
    proposed = make_sampler(question, [], tuple(networks))
    study = optuna.create_study(sampler=proposed)
    for network in [*networks][:4]:
        assert question.space.decode(ask(study, question.space.distributions).params, question.data.task) == network


def test_a_search_below_the_smallest_guess_says_so_and_goes_on(
    make_plan: Callable[..., Plan], caplog: pytest.LogCaptureFixture
) -> None:
    question = make_plan(space=load_space(), budget=19_000).question
    assert not any(name.startswith("guess") for name in hand_made(question).values())
    (said,) = caplog.messages
    assert said == (
        "no guess is within budget=19000: the smallest has 19,810 parameters and 193,344 MACs; "
        "the search goes on without"
    )


def test_without_a_warm_start_nothing_is_proposed_first_and_nothing_said(
    make_plan: Callable[..., Plan], caplog: pytest.LogCaptureFixture
) -> None:
    assert hand_made(make_plan(budget=19_000, warm_start=False).question) == {}
    assert caplog.messages == []


def test_pruners_are_what_their_names_say() -> None:
    assert isinstance(make_pruner("none", 8), NopPruner)
    assert isinstance(make_pruner("median", 8), MedianPruner)
    asha = make_pruner("asha", 8)
    assert isinstance(asha, AfterStartup) and isinstance(asha.pruner, SuccessiveHalvingPruner)
    for name in ("none", "median", "asha"):
        make_pruner(name, 1)  # the shortest schedule


def epochs_of(pruner: BasePruner, curves: list[list[float]]) -> list[int]:
    """How many epochs each trial gets, one after the other."""
    study, trained = optuna.create_study(direction="maximize", pruner=pruner), []
    for curve in curves:
        trial, is_pruned = study.ask(), False
        for epoch, value in enumerate(curve, 1):
            trial.report(value, epoch)
            if is_pruned := trial.should_prune() and epoch < len(curve):
                break
        study.tell(trial, None if is_pruned else value, TrialState.PRUNED if is_pruned else TrialState.COMPLETE)
        trained.append(epoch)
    return trained


@pytest.mark.parametrize(("epochs", "rung"), [(8, 4), (7, 4), (6, 3), (2, 1)])
def test_asha_ends_at_half_of_the_schedule_what_is_not_among_the_best_third(epochs: int, rung: int) -> None:
    better = [[0.1 * number] * epochs for number in (1, 2, 3, 4, 5)]  # each is the best so far
    sixth_of_six, second_of_seven, third_of_eight = [[value] * epochs for value in (0.05, 0.45, 0.42)]
    curves = [*better, sixth_of_six, second_of_seven, third_of_eight]
    assert epochs_of(make_pruner("asha", epochs), curves) == [epochs] * 5 + [rung, epochs, rung]


def test_the_first_trials_are_trained_to_the_end_however_poor_they_are() -> None:
    falling = [[1 / (1 + number)] * 8 for number in range(7)]
    for name in ("asha", "median"):
        trained = epochs_of(make_pruner(name, 8), falling)
        assert trained[:5] == [8] * 5 and max(trained[5:]) < 8


def test_a_schedule_of_one_epoch_is_never_cut() -> None:
    assert epochs_of(make_pruner("asha", 1), [[1 / (1 + number)] for number in range(9)]) == [1] * 9


def test_limits_are_kept_in_one_form_however_they_are_written(make_plan: Callable[..., Plan]) -> None:
    written = make_plan(limits=("latency=5ms", "bytes=4KB@int8"), fill=0.1).question
    same = make_plan(limits=("bytes=4000@INT8", "latency=5000us"), fill=0.1).question
    assert written == same
    assert written.limits == ("bytes=4000@int8", "latency=0.005s")
    assert written.all_limits == Limits(BUDGET, bytes=4_000, bytes_precision="int8", latency=0.005, fill=0.1)
    assert make_plan().question.all_limits == Limits(BUDGET)


def test_a_plan_with_limits_is_read_back_equal(files: StudyFiles, make_plan: Callable[..., Plan]) -> None:
    plan = make_plan(limits=("macs=1M", "bytes=4KB@int8"), fill=0.25, warm_start=False)
    plan.save(files)
    assert Plan.load(files) == plan
    assert require_same(files, Plan.load(files).question, plan.question) is None


def test_a_plan_from_before_there_were_limits_is_still_read(files: StudyFiles, make_plan: Callable[..., Plan]) -> None:
    make_plan().save(files)
    values = yaml.safe_load(files.plan.read_text())
    for name in ("limits", "fill", "warm_start"):
        del values["question"][name]
    files.plan.write_text(yaml.safe_dump(values))
    assert Plan.load(files) == make_plan()


def test_a_plan_that_names_the_removed_control_is_read_where_it_asked_for_none(
    files: StudyFiles, make_plan: Callable[..., Plan]
) -> None:
    make_plan().save(files)
    values = yaml.safe_load(files.plan.read_text())
    values["question"]["control"] = 0.0
    files.plan.write_text(yaml.safe_dump(values))
    assert Plan.load(files) == make_plan()
    values["question"]["control"] = 0.25
    files.plan.write_text(yaml.safe_dump(values))
    with pytest.raises(StudyError) as caught:
        Plan.load(files)
    rule = "the study was begun with --control, which nas no longer has; start a new --study"
    assert str(caught.value) == f"{files.plan}: question.control = 0.25: {rule}"


def test_changed_limits_are_shown_in_one_line(files: StudyFiles, make_plan: Callable[..., Plan]) -> None:
    old, new = make_plan().question, make_plan(limits=("macs=1M",), fill=0.5, warm_start=False).question
    with pytest.raises(StudyError) as caught:
        require_same(files, old, new)
    assert str(caught.value) == (
        "study = 'toy': was begun with another question (limits = [], now ['macs=1000000']; fill = 0.0, now 0.5; "
        "warm_start = True, now False); give it a new name with --study"
    )


def test_limits_that_no_design_meets_are_refused_with_what_could_be_reached(make_plan: Callable[..., Plan]) -> None:
    with pytest.raises(SpaceError, match=r"^limit bytes = 100@int8: the smallest network of this space on toy takes"):
        require_feasible(make_plan(limits=("bytes=100@int8",)).question)
    with pytest.raises(SpaceError, match=r"^limit macs = 10: the smallest network of this space on toy needs"):
        make_sampler(make_plan(limits=("macs=10",)).question, [])
    with pytest.raises(SpaceError, match=r"^fill = 1.0: asks for at least 6,000 parameters, and the largest network"):
        require_feasible(make_plan(fill=1.0).question)


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_the_sampler_of_a_question_keeps_its_limits_and_proposes_what_is_wanted_first(
    make_plan: Callable[..., Plan], sampler: str
) -> None:
    plan = make_plan(sampler=sampler, limits=("macs=60k", "bytes=4KB@int8"), fill=0.3)
    limits, designs = plan.question.all_limits, [*all_designs(plan)]
    wanted = [design for design in designs if limits.admits(design, 8)][5:7]
    over = next(design for design in designs if not replace(limits, fill=0.0).admits(design, 8))
    study = optuna.create_study(sampler=make_sampler(plan.question, [wanted[0]], [over, *wanted]))
    asked = [study.ask(fixed_distributions=plan.question.space.distributions) for _ in range(15)]
    found = [plan.question.space.decode(trial.params, plan.task) for trial in asked]
    assert found[0] == wanted[1]
    assert len(set(found)) == 15 and wanted[0] not in found
    assert all(limits.admits(design, 8) for design in found)


def test_most_of_the_budget_is_used_unless_the_space_is_small(make_plan: Callable[..., Plan]) -> None:
    small = make_plan().question  # 1,298 designs within the budget, fewer of them with most of it
    assert with_default_fill(small) == small
    large = make_plan(space=load_space(), budget=300_000).question
    assert with_default_fill(large) == Question.model_validate(large.model_dump() | {"fill": 0.8})


def test_what_cannot_use_half_of_the_budget_is_not_asked_to(make_plan: Callable[..., Plan]) -> None:
    for changes in ({"budget": 10**9}, {"limits": ("bytes=1KB@int8",)}):
        question = make_plan(**changes).question
        assert with_default_fill(question) == question
