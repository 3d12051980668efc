"""A study as a reader sees it."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from databases import both_databases
from optuna.pruners import NopPruner
from optuna.samplers import RandomSampler
from optuna.trial import TrialState
from simulation import SimulatedFleet, SimulatedWorker, write_weights

from models.count import count_macs, count_parameters
from search.errors import StudyError
from search.files import StudyFiles
from search.identity import Identity
from search.protocol import Failed, Job, Lost, Measurement
from search.recipe import Recipe
from search.recipe_parts import SmallImages
from search.run.candidates import Candidate, best_first
from search.run.listener import Observer
from search.run.retraining import Retraining
from search.study.plan import Plan
from search.study.reading import read_view
from search.study.storage import Record
from search.study.view import LedgerEntry
from search.writing import append_line

Search = Callable[..., Any]


def curve(job: Job, epoch: int) -> float | Failed:
    number = int(job.label.removeprefix("trial "))
    if number == 2 and epoch == 3:
        return Failed("training loss is nan in epoch 3")
    return 0.9 - 0.1 * epoch if number < 6 else 0.01


def test_a_view_of_a_study_with_a_limit_of_latency_says_how_that_was_measured(
    make_plan: Callable[..., Plan], files: StudyFiles, record: Record
) -> None:
    for limits in (("macs=100000",), ("latency=0.005s",)):
        make_plan(limits=limits).save(files)
        asked = dict(read_view(files).asked)
        assert asked["further limits"] == limits[0]
        how = asked.get("latency", "")
        assert ("while no other worker of nas on that machine computes" in how) == (limits != ("macs=100000",))


def test_a_view_says_how_small_the_images_of_each_epoch_were(
    make_plan: Callable[..., Plan], files: StudyFiles, record: Record
) -> None:
    for small_images, pixels in ((None, ()), (SmallImages(epochs=0.25, size=0.5), (0.25, 1.0, 1.0, 1.0))):
        make_plan(recipe=Recipe(name="quick", epochs=4, small_images=small_images)).save(files)
        assert read_view(files).pixels == pixels


@both_databases
def test_a_view_tells_states_values_and_histories(search: Search, files: StudyFiles) -> None:
    found = search(9, curve=curve, pruner="median")
    view = read_view(files)
    states = [trial.state for trial in view.trials]
    assert states == ["complete"] * 2 + ["failed"] + ["complete"] * 3 + ["pruned"] * 4
    assert [trial.number for trial in view.trials] == list(range(10))
    for trial, recorded in zip(view.trials, found.trials, strict=True):
        told = tuple(measurement for number, measurement in found.diary.measurements if number == trial.number)
        assert trial.history == told
        assert trial.num_epochs == len(told) == {"complete": 4, "failed": 2, "pruned": 2}[trial.state]
        assert trial.params == count_parameters(trial.architecture) <= view.budget
        assert trial.macs == count_macs(trial.architecture, view.image_size)
        assert trial.seconds == {"complete": 4.0, "failed": 3.0, "pruned": 3.0}[trial.state]
        assert trial.choices["num_stages"] == len(trial.architecture.stages)
        chosen = found.plan.question.space.choices(recorded.params)
        absent = {name for name in chosen if name.startswith("stage") and int(name[5]) > len(trial.architecture.stages)}
        assert trial.choices == {name: value for name, value in chosen.items() if name not in absent}
    values = {state: {trial.value for trial in view.trials if trial.state == state} for state in states}
    assert values == {"complete": {0.9 - 0.1 * 4}, "pruned": {0.01}, "failed": {None}}
    assert [trial.reason for trial in view.trials if trial.reason] == ["training loss is nan in epoch 3"]


def test_a_view_tells_what_was_asked(search: Search, files: StudyFiles) -> None:
    search(3, seed=9, sampler="tpe", pruner="asha")
    view = read_view(files)
    assert (view.name, view.data, view.budget, view.num_trials, view.epochs) == ("toy", "toy", 6_000, 3, 4)
    assert view.classes == tuple("0123456789")
    asked = dict(view.asked)
    assert asked["data"] == "toy: greyscale, 8x8 pixels, 10 classes"
    assert asked["trials"] == "3, sampler tpe, pruner asha"
    assert asked["recipe"] == "quick, 4 epochs, precision fp32"
    assert asked["seed"] == "9"
    assert dict(view.versions) == {"device": "simulated", "python": "simulated"}


@pytest.mark.parametrize(("precision", "peak"), [("auto", 7e14), ("bf16", 7e14), ("fp32", None)])
def test_the_peak_of_a_gpu_is_that_of_the_precision_of_its_trials(
    search: Search, files: StudyFiles, precision: str, peak: float | None
) -> None:
    recipe = Recipe(name="quick", epochs=4, batch_size=16, precision=precision)
    gpu = SimulatedFleet(1, curve, device="NVIDIA H200", precision="bf16", peak=7e14)
    search(1, fleet=gpu, recipe=recipe)
    assert read_view(files).peak == peak
    plan = Plan.load(files)
    assert plan.circumstances.peak == 7e14, "it is a GPU"
    older = SimulatedFleet(1, curve, device="Tesla T4", precision="fp16", peak=6e13)
    search(2, fleet=older, plan=plan)
    assert read_view(files).peak is None, "trials are still trained in the precision that the study began with"


@both_databases
def test_a_running_trial_is_seen_with_its_epochs_so_far(
    search: Search, files: StudyFiles, url: str | None, make_plan: Callable[..., Plan]
) -> None:
    search(1)
    with Record(files, url) as record:
        first = record.trials[0]
        plan = make_plan()
        record.use(RandomSampler(seed=1), NopPruner())
        proposed = record.propose(plan.question.space.distributions)
        running = record.accept(proposed, {name: first.user_attrs[name] for name in ("architecture", "params", "macs")})
        running.report(Measurement(1, 0.5, 0.5, 0.5, 0.4, 0.1, 1.0))
        running.report(Measurement(2, 0.5, 0.5, 0.5, 0.3, 0.1, 1.0))
        trial = read_view(files).trials[1]
    assert (trial.state, trial.value, trial.num_epochs, trial.history, trial.seconds) == ("running", 0.3, 2, (), 0.0)


def test_an_epoch_that_comes_out_otherwise_after_a_lost_worker_ranks_a_trial_as_it_is_chosen(
    search: Search, files: StudyFiles
) -> None:
    lost = iter([Lost("worker ended by signal 9")])

    class Worker(SimulatedWorker):
        def advance(self) -> None:
            """One is lost after the last epoch of the second trial."""
            is_last = self.job is not None and self.job.label == "trial 1" and self.epoch == self.job.recipe.epochs
            if is_last and (message := next(lost, None)):
                self.fleet.post(0.0, self, message)
            else:
                super().advance()

    class Fleet(SimulatedFleet):
        def _new_worker(self) -> SimulatedWorker:
            worker = Worker(self, now=self.now)
            self.post(0.0, worker, self.ready)
            return worker

    def curve(job: Job, epoch: int) -> float:
        ends = {"trial 0": (0.5, 0.5), "trial 1": (0.6, 0.4)}
        return ends[job.label][job.attempt - 1] * epoch / job.recipe.epochs

    trials = search(2, fleet=Fleet(1, curve)).trials
    assert [trial.intermediate_values[4] for trial in trials] == [0.5, 0.6]
    assert [trial.value for trial in read_view(files).trials] == [trial.value for trial in trials] == [0.5, 0.4]
    assert [trial.number for trial in best_first(trials)] == [0, 1]


def test_a_trial_without_its_design_is_left_out(search: Search, files: StudyFiles) -> None:
    search(1)
    with Record(files) as record:
        record._disk.ask()
    assert [trial.number for trial in read_view(files).trials] == [0]


def test_draws_and_seconds_are_those_of_the_record(search: Search, files: StudyFiles) -> None:
    search(1)
    assert (read_view(files).draws, read_view(files).seconds) == (0, 4.0)  # it is `launch` that records the draws
    with Record(files) as record:
        record.set_attribute("draws", 17)
        record.set_attribute("seconds", 2.5)
    assert (read_view(files).draws, read_view(files).seconds) == (17, 2.5)


def test_the_ledger_is_that_of_the_studys_data_whichever_study_opened_it(
    files: StudyFiles, make_plan: Callable[..., Plan]
) -> None:
    plan = make_plan()
    plan.save(files)
    assert read_view(files).ledger == ()
    lines = [
        {
            "time": "2026-01-01T00:00:00+00:00",
            "study": study,
            "label": "0003",
            "seed": 0,
            "accuracy": 0.9,
            "recipe": "r",
        }
        for study in ("toy", "another")
    ]
    for line in lines:
        append_line(files.ledger(plan.question.data.ledger_name), line)
    append_line(files.ledger("other-data"), lines[0])
    assert read_view(files).ledger == tuple(
        LedgerEntry("2026-01-01T00:00:00+00:00", study, "0003", 0, 0.9) for study in ("toy", "another")
    )


def test_a_damaged_ledger_is_a_line_of_the_view(files: StudyFiles, make_plan: Callable[..., Plan]) -> None:
    plan = make_plan()
    plan.save(files)
    path = files.ledger(plan.question.data.ledger_name)
    path.parent.mkdir(parents=True)
    path.write_text("{")
    view = read_view(files)
    assert len(view.ledger) == 1 and view.ledger[0].accuracy is None
    assert len(view.unread) == 1 and view.unread[0].startswith(f"{path}, line 1: cannot be read")


def test_the_budget_of_a_view_is_what_networks_are_held_to(files: StudyFiles, make_plan: Callable[..., Plan]) -> None:
    make_plan(limits=("bytes=4000",)).save(files)
    assert read_view(files).budget == 1_000
    assert dict(read_view(files).asked)["budget"] == "6,000 parameters"


def test_runs_of_both_kinds_are_seen(files: StudyFiles, make_plan: Callable[..., Plan]) -> None:
    plan = make_plan()
    plan.save(files)
    smallest = {slot.name: slot.value(0) for slot in plan.question.space.slots}
    candidate = Candidate(
        Identity(trial=1), plan.question.space.decode(smallest, plan.task), plan.question.recipe, None
    )

    def keeping(job: Job, epoch: int) -> float:
        if job.keep is not None:
            write_weights(job.keep, job.architecture)
        return 0.1 * epoch

    retraining = Retraining(plan, files, lambda: SimulatedFleet(1, keeping), "GPU", Observer())
    retraining.choose([candidate])
    finals = retraining.finish([candidate], 1)
    runs = read_view(files).runs
    assert [(run.purpose, run.label, run.seed) for run in runs] == [
        ("finalist", "0001", 0),
        ("finalist", "0001", 1),
        ("final", "0001", 0),
    ]
    assert list(runs[2:]) == finals


def test_reading_a_study_that_is_not_there_is_refused(files: StudyFiles) -> None:
    with pytest.raises(StudyError, match=r"^study = 'toy': no such study in "):
        read_view(files)


def test_a_study_before_its_first_trial_has_none(files: StudyFiles, make_plan: Callable[..., Plan]) -> None:
    make_plan().save(files)
    view = read_view(files)
    assert (view.trials, view.runs, view.ledger, view.draws) == ((), (), (), 0)


@both_databases
def test_reading_disturbs_nothing(search: Search, files: StudyFiles) -> None:
    before = search(2).trials
    read_view(files)
    assert search(3).trials[:2] == before
    assert {trial.state for trial in before} == {TrialState.COMPLETE}


def test_a_reader_beside_a_running_search_sees_it_grow_and_disturbs_nothing(search: Search, files: StudyFiles) -> None:
    search(1)
    seen: list[int] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.02):
            seen.append(len(read_view(files).trials))

    reader = threading.Thread(target=look)
    reader.start()
    found = search(20, num_workers=2)
    over.set()
    reader.join()
    assert [trial.number for trial in found.of(TrialState.COMPLETE)] == list(range(20))
    assert len(found.trials) == 20
    assert len(seen) > 2 and seen == sorted(seen)


def test_a_view_tells_its_plan(search: Search, files: StudyFiles) -> None:
    search(1, limits=("macs=1e6",))
    assert yaml.safe_load(read_view(files).plan) == yaml.safe_load(files.plan.read_text())
    assert read_view(files).max_macs == 1_000_000
