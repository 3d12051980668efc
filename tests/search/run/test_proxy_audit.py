"""The audit of the proxy: a sample that stands for all trials, trained at full length behind a closed test set."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from simulation import SimulatedFleet

from models.architecture import Architecture, Stage, Stem
from search.errors import InputError
from search.files import StudyFiles
from search.protocol import Failed, Job
from search.recipe import Recipe
from search.run.candidates import audit_candidates, is_trained, stratified_sample
from search.run.listener import Observer
from search.run.retraining import Retraining
from search.study.plan import Plan, run_seed
from search.study.reading import read_view
from search.study.results import read_audits, read_results, read_runs
from search.study.rounds import audit_round
from search.study.view import State, TrialView

FULL = Recipe(name="full", epochs=3, batch_size=16)


def trial(number: int, value: float | None, state: State = "complete") -> TrialView:
    architecture = Architecture(Stem(4), (Stage("basic", 1 + number, 8),), in_channels=1)
    return TrialView(number, state, value, 1_000, 1_000, architecture, {}, (), 1.0, None, 4)


def searched(num_complete: int, num_pruned: int) -> list[TrialView]:
    """Trials whose values neither rise nor fall with their numbers; the pruned ones' are the lowest."""
    values = sorted(((37 * i) % 101 / 101 for i in range(num_complete + num_pruned)), reverse=True)
    shuffled = [values[(11 * i) % len(values)] for i in range(len(values))]
    assert len(set(shuffled)) == len(values)
    complete = set(values[:num_complete])
    return [trial(i, value, "complete" if value in complete else "pruned") for i, value in enumerate(shuffled)]


def numbers(trials: list[TrialView]) -> list[int]:
    return [each.number for each in trials]


@pytest.mark.parametrize(("num_complete", "num_pruned"), [(60, 20), (10, 30), (20, 0), (0, 20), (39, 1)])
@pytest.mark.parametrize("num", [3, 8, 16, 20])
def test_a_sample_is_distinct_fixed_by_its_seed_and_holds_pruned_trials_in_proportion(
    num_complete: int, num_pruned: int, num: int
) -> None:
    trials = searched(num_complete, num_pruned)
    sample = stratified_sample(trials, num, 0)
    assert len(set(numbers(sample))) == num
    assert numbers(sample) == sorted(numbers(sample))
    assert stratified_sample(reversed(trials), num, 0) == sample
    drawn = sum(each.state == "pruned" for each in sample)
    assert abs(drawn - num * num_pruned / len(trials)) <= (0.5 if drawn > 1 else 1.0)
    assert (drawn > 0) == (num_pruned > 0)
    assert (drawn < num) == (num_complete > 0)


def test_another_seed_draws_another_sample() -> None:
    trials = searched(60, 20)
    assert len({tuple(numbers(stratified_sample(trials, 8, seed))) for seed in range(10)}) == 10


@pytest.mark.parametrize("seed", range(5))
def test_one_trial_is_drawn_from_each_quantile_of_the_values(seed: int) -> None:
    trials = searched(42, 21)
    for state, size in (("complete", 6), ("pruned", 3)):
        ranked = numbers(sorted((each for each in trials if each.state == state), key=lambda each: each.value or 0.0))
        drawn = [ranked.index(each.number) for each in stratified_sample(trials, 9, seed) if each.state == state]
        assert sorted(place * size // len(ranked) for place in drawn) == list(range(size))


def test_as_many_as_there_are_is_all_of_them() -> None:
    trials = searched(9, 3)
    assert stratified_sample(trials, 12, 4) == trials


def test_only_trained_trials_with_a_value_are_drawn() -> None:
    untrained = [trial(3, None, "failed"), trial(4, None, "running"), trial(5, 0.5, "running"), trial(6, float("nan"))]
    trials = [*searched(3, 0), *untrained]
    assert numbers(stratified_sample(trials, 3, 0)) == [0, 1, 2]
    assert not any(map(is_trained, untrained))


@pytest.mark.parametrize(
    ("num", "trials", "said"),
    [
        (2, searched(9, 3), "trials = 2: must be 3 or more, to compare their orders"),
        (13, searched(9, 3), "trials = 13: this study has only 12 trained trials, 9 complete and 3 pruned"),
        (3, [trial(0, None, "failed")], "trials = 3: this study has no trained trial yet; run nas search first"),
        (3, [], "trials = 3: this study has no trained trial yet; run nas search first"),
    ],
)
def test_a_sample_that_cannot_be_drawn_is_one_line(num: int, trials: list[TrialView], said: str) -> None:
    with pytest.raises(InputError) as caught:
        stratified_sample(trials, num, 0)
    assert str(caught.value) == said


Audit = Callable[..., Any]


def growing(job: Job, epoch: int) -> float:
    return 0.1 * epoch + 0.01 * job.architecture.stages[0].depth


@pytest.fixture
def retraining(files: StudyFiles, make_plan: Callable[..., Plan]) -> Callable[..., Retraining]:
    def make(fleet: SimulatedFleet, told: list[str] | None = None) -> Retraining:
        plan = make_plan(seed=5)
        plan.save(files)
        notes = told if told is not None else []
        return Retraining(
            plan, files, lambda: fleet, "GPU", Observer(on_note=lambda job, text: notes.append(f"{job.label}: {text}"))
        )

    return make


def jobs(fleet: SimulatedFleet) -> list[Job]:
    return [job for worker in fleet.workers for job in worker.jobs]  # type: ignore[attr-defined]


SAMPLE = [trial(2, 0.5), trial(5, 0.6), trial(7, 0.2, "pruned")]


def test_an_audit_trains_on_the_training_split_alone_and_leaves_the_test_set_closed(
    retraining: Callable[..., Retraining], files: StudyFiles, make_plan: Callable[..., Plan]
) -> None:
    fleet = SimulatedFleet(2, growing)
    audit = retraining(fleet)
    views = audit.audit(audit_candidates(SAMPLE, FULL, make_plan()), 2)
    assert [(view.label, view.seed, view.purpose, view.architecture) for view in views] == [
        (f"{each.number:04d}", seed, "proxy", each.architecture) for each in SAMPLE for seed in (0, 1)
    ]
    assert {(job.purpose, job.keep, job.max_params) for job in jobs(fleet)} == {("proxy", None, 6_000)}
    assert {(view.test_accuracy, view.test_loss, view.confusion) for view in views} == {(None, None, None)}
    assert not files.ledger(audit.plan.question.data.ledger_name).exists()
    assert [view.history[-1].validation_accuracy for view in views[::2]] == pytest.approx([0.33, 0.36, 0.38])


def test_an_audit_shares_no_seed_with_trials_and_finalists(
    retraining: Callable[..., Retraining], make_plan: Callable[..., Plan]
) -> None:
    fleet = SimulatedFleet(1, growing)
    retraining(fleet).audit(audit_candidates(SAMPLE, FULL, make_plan()), 2)
    seeds = {job.seed for job in jobs(fleet)}
    assert len(seeds) == 2  # the same for every trial
    assert not seeds & {run_seed(5, number) for number in range(1_000)}


def test_an_audit_stands_apart_from_finalists_and_final_runs(
    retraining: Callable[..., Retraining], files: StudyFiles, make_plan: Callable[..., Plan]
) -> None:
    candidates = audit_candidates(SAMPLE, FULL, make_plan())
    retraining(SimulatedFleet(1, growing)).choose(candidates[:1])
    views = retraining(SimulatedFleet(1, growing)).audit(candidates, 1)
    assert views[0].folder == files.folder / "proxy" / "0002" / views[0].key / "seed-0"
    assert {run.purpose for run in read_runs(files)} == {"finalist"}
    assert read_audits(files) == views
    assert read_view(files).proxy == tuple(views)


def test_runs_that_are_there_are_not_trained_again_but_those_of_another_recipe_are(
    retraining: Callable[..., Retraining], make_plan: Callable[..., Plan]
) -> None:
    candidates = audit_candidates(SAMPLE, FULL, make_plan())
    views = retraining(SimulatedFleet(1, growing)).audit(candidates[:2], 1)
    more, other = SimulatedFleet(1, growing), SimulatedFleet(1, growing)
    assert retraining(more).audit(candidates, 1)[:2] == views
    assert [job.label for job in jobs(more)] == ["0007 seed 0"]
    retraining(other).audit(audit_candidates(SAMPLE, FULL.model_copy(update={"lr": 0.05}), make_plan()), 1)
    assert len(jobs(other)) == 3


def test_a_design_that_fails_at_full_length_is_told_and_left_out(
    retraining: Callable[..., Retraining], files: StudyFiles, make_plan: Callable[..., Plan]
) -> None:
    def curve(job: Job, epoch: int) -> float | Failed:
        return Failed("training loss is nan in epoch 2") if job.label == "0005 seed 0" else growing(job, epoch)

    told: list[str] = []
    views = retraining(SimulatedFleet(1, curve), told).audit(audit_candidates(SAMPLE, FULL, make_plan()), 1)
    assert [view.label for view in views] == ["0002", "0007"]
    assert told == ["0005 seed 0: failed, and is left out: training loss is nan in epoch 2"]
    assert [view.label for view in read_audits(files)] == ["0002", "0007"]


def test_only_the_runs_of_the_recipe_with_most_trials_are_shown_and_all_are_kept(
    retraining: Callable[..., Retraining], files: StudyFiles, make_plan: Callable[..., Plan]
) -> None:
    longer = FULL.model_copy(update={"epochs": 5})

    def shown() -> list[tuple[str, int]]:
        return [(view.label, view.epochs) for view in audit_round(read_audits(files))]

    for recipe, sample in ((FULL, SAMPLE), (longer, [trial(2, 0.5)])):
        retraining(SimulatedFleet(1, growing)).audit(audit_candidates(sample, recipe, make_plan()), 1)
    assert shown() == [("0002", 3), ("0005", 3), ("0007", 3)]
    more = [trial(number, 0.5) for number in (8, 9)]
    retraining(SimulatedFleet(1, growing)).audit(audit_candidates(more, longer, make_plan()), 1)
    assert shown() == [("0002", 5), ("0008", 5), ("0009", 5)]
    assert len(read_audits(files)) == len(read_view(files).proxy) == 6


def test_a_damaged_result_is_a_line_and_the_rest_is_read(
    retraining: Callable[..., Retraining], files: StudyFiles, make_plan: Callable[..., Plan]
) -> None:
    assert read_results(files) == ((), ())
    views = retraining(SimulatedFleet(1, growing)).audit(audit_candidates(SAMPLE, FULL, make_plan()), 1)
    assert views[0].folder is not None
    path = views[0].folder / "result.json"
    path.write_text(json.dumps({"label": "0003"}))
    runs, unread = read_results(files)
    assert list(runs) == views[1:]
    assert len(unread) == 1 and unread[0].startswith(f"{path}: cannot be read (") and "\n" not in unread[0]
    assert read_view(files).unread == unread


def test_a_trial_of_equal_value_is_no_reason_for_another_sample() -> None:
    trials = [replace(each, value=0.5) for each in searched(12, 0)]
    assert stratified_sample(trials, 4, 1) == stratified_sample(reversed(trials), 4, 1)
