"""The loop of a search, on workers that train nothing: exactly the trials asked for, told as they were."""

import json
import math
import random
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
import simulation
from databases import both_databases
from optuna.trial import FrozenTrial, TrialState, create_trial
from simulation import SimulatedFleet, SimulatedWorker

from models.architecture import Architecture
from models.baselines import find_baseline
from models.count import count_macs, count_parameters
from search.errors import SpaceError, TrainingError
from search.files import StudyFiles
from search.protocol import Failed, Finished, Job, Lost, Measurement, Message, Ready, Timing, TooSlow
from search.recipe import Recipe
from search.report.caveats import caveats
from search.report.findings import find
from search.run.plans import is_for_gpu
from search.space.limits import Limits
from search.space.space import Space
from search.study.plan import Plan, run_seed
from search.study.reading import read_view, trial_view
from search.study.storage import Record, architecture_of, read_study
from search.workers.fleet import Worker
from search.workers.machine import Machine

Search = Callable[..., Any]
TRAINED = (TrialState.COMPLETE, TrialState.PRUNED)
SUPPORT = Path(simulation.__file__).parent  # where a process of its own finds the simulated workers

# 4 designs on greyscale images: depth 1 or 2, width 4 or 8.
FOUR = Space.model_validate(
    {
        "stem": {"width": 4},
        "num_stages": 1,
        "stage": {"block": "basic", "depth": [1, 2], "width": [4, 8]},
        "shortcut": "B",
    }
)


def numbers(trials: list[FrozenTrial]) -> list[int]:
    return [trial.number for trial in trials]


def number_of(job: Job) -> int:
    return int(job.label.removeprefix("trial "))


def designs(trials: list[FrozenTrial]) -> list[Architecture]:
    return [architecture_of(trial) for trial in trials]


def jobs(fleet: SimulatedFleet) -> list[Job]:
    return [job for worker in fleet.workers for job in worker.jobs]  # type: ignore[attr-defined]


def failing(numbers: set[int], message: Failed | Lost, at: int = 1) -> Callable[[Job, int], float | Failed | Lost]:
    """A curve on which these trials fail in epoch `at`."""
    return lambda job, epoch: message if number_of(job) in numbers and epoch == at else 0.1 * epoch


class KillingFleet(SimulatedFleet):
    """Raises where a coordinator would die: after `num_messages` messages."""

    def __init__(self, num_workers: int, curve: Callable[[Job, int], float], num_messages: int) -> None:
        super().__init__(num_workers, curve)
        self.num_messages = num_messages

    def receive(self, timeout: float) -> tuple[Worker, Message] | None:
        if self.num_messages == 0:
            raise KeyboardInterrupt
        self.num_messages -= 1
        return super().receive(timeout)


@contextmanager
def by_hand(files: StudyFiles, url: str | None) -> Iterator[optuna.Study]:
    """The study as somebody else opens it, with Optuna alone."""
    storage = optuna.storages.RDBStorage(url or f"sqlite:///{files.database}")
    yield optuna.load_study(study_name="toy", storage=storage)
    storage.remove_session()
    storage.engine.dispose()


@pytest.mark.parametrize(("sampler", "pruner"), [("random", "none"), ("tpe", "median"), ("tpe", "asha")])
@pytest.mark.parametrize("num_workers", [1, 3])
def test_a_search_trains_exactly_the_trials_asked_for(
    search: Search, sampler: str, pruner: str, num_workers: int
) -> None:
    found = search(25, num_workers=num_workers, sampler=sampler, pruner=pruner)
    assert numbers(found.trials) == list(range(25))
    assert found.of(*TRAINED) == found.trials
    assert len(set(designs(found.trials))) == 25
    assert max(count_parameters(design) for design in designs(found.trials)) <= found.plan.question.budget
    assert (found.outcome.num_trained, found.outcome.num_proposed, found.outcome.early_stop) == (25, 25, None)
    # Guesses are proposed without a draw.
    assert found.outcome.draws >= sum(trial.user_attrs["baseline"] is None for trial in found.trials) > 20


@pytest.mark.parametrize("num_workers", [1, 3])
@pytest.mark.parametrize("peak", [None, 1e12])
def test_a_gpu_gets_its_next_job_before_the_end_of_the_last_is_written(
    search: Search, files: StudyFiles, num_workers: int, peak: float | None
) -> None:
    num_ended: list[int] = []

    def curve(job: Job, epoch: int) -> float:
        if epoch == 1:  # a worker has just been given the job
            trials, _ = read_study(files, None)
            num_ended.append(sum(trial.state in TRAINED for trial in trials))
        return 0.1 * epoch

    found = search(8, fleet=SimulatedFleet(num_workers, curve, peak=peak))
    assert numbers(found.of(*TRAINED)) == list(range(8)) and found.outcome.num_proposed == 8
    assert len(set(designs(found.trials))) == 8
    at_once = [number - num_workers + 1 for number in range(8)]
    assert num_ended == [max(0, ended - (peak is not None)) if ended > 0 else 0 for ended in at_once]


def test_a_design_that_waits_is_trained_first_when_the_search_goes_on(search: Search) -> None:
    fleet = SimulatedFleet(1, lambda job, epoch: 0.1 * epoch, peak=1e12)
    found = search(8, fleet=fleet, timeout=10)  # two trials of 4 s, and a third that is begun
    assert found.outcome.early_stop and found.outcome.num_unfinished == 1
    waiting = found.of(TrialState.RUNNING)
    later = SimulatedFleet(1, lambda job, epoch: 0.1 * epoch, peak=1e12)
    found = search(8, fleet=later)
    assert number_of(jobs(later)[0]) == waiting[0].number
    assert numbers(found.of(*TRAINED)) == list(range(8)) and len(set(designs(found.trials))) == 8


class SlowlyReplacedFleet(SimulatedFleet):
    """A worker in the place of a lost one is ready after a minute."""

    def _new_worker(self) -> SimulatedWorker:
        worker = SimulatedWorker(self, now=self.now)
        delay = 60.0 if self.replaced else 0.0
        self.post(delay, worker, self.ready)
        return worker


def test_a_worker_that_takes_over_from_a_lost_one_gets_no_other_job_with_it(search: Search) -> None:
    lost = [Lost("worker ended by signal 9")]
    curve = lambda job, epoch: lost.pop() if lost and number_of(job) == 0 and epoch == 3 else 0.1 * epoch  # noqa: E731
    fleet = SlowlyReplacedFleet(2, curve, peak=1e12)
    found = search(6, fleet=fleet)
    assert fleet.replaced == 1 and not lost
    assert numbers(found.of(*TRAINED)) == list(range(6))


class LateSignalFleet(SimulatedFleet):
    """A signal comes while the coordinator waits for the end of a job."""

    def __init__(self) -> None:
        super().__init__(1, lambda job, epoch: 0.1 * epoch, peak=1e12)
        self.is_interrupted = False

    def receive(self, timeout: float) -> tuple[Worker, Message] | None:
        received = super().receive(timeout)
        self.is_interrupted |= received is not None and isinstance(received[1], Finished)
        return received


def test_after_a_signal_no_job_begins_not_even_one_that_waits(search: Search) -> None:
    fleet = LateSignalFleet()
    found = search(8, fleet=fleet, interruption=lambda: fleet.is_interrupted)
    assert [number_of(job) for job in jobs(fleet)] == [0]
    assert (found.outcome.num_trained, found.outcome.num_unfinished) == (1, 1)


def test_what_is_recorded_of_a_design_is_what_it_costs(search: Search, files: StudyFiles) -> None:
    plan = search(5).plan
    trials, _ = read_study(files, None)
    for trial in trials:
        decoded = plan.question.space.decode(trial.params, plan.task)
        assert decoded == architecture_of(trial)
        assert trial.user_attrs["params"] == count_parameters(decoded)
        assert trial.user_attrs["macs"] == count_macs(decoded, plan.question.data.image_size)
        assert trial.user_attrs["seconds"] == 4.0


def test_the_value_of_a_trial_is_its_last_epochs_accuracy_never_its_best(search: Search) -> None:
    curve = {1: 0.5, 2: 0.9, 3: 0.7, 4: 0.6}
    found = search(3, curve=lambda job, epoch: curve[epoch])
    assert [trial.value for trial in found.trials] == [0.6] * 3
    assert [trial.intermediate_values for trial in found.trials] == [curve] * 3
    assert [value for _, _, value, _ in found.diary.ends] == [0.6] * 3


def test_every_epoch_is_recorded_and_told(search: Search, files: StudyFiles) -> None:
    found = search(4, num_workers=2)
    trials, _ = read_study(files, None)
    for trial in trials:
        told = [measurement for number, measurement in found.diary.measurements if number == trial.number]
        assert [measurement.epoch for measurement in told] == [1, 2, 3, 4]
        assert [Measurement(**epoch) for epoch in json.loads(trial.user_attrs["history"])] == told
        assert list(trial.intermediate_values.values()) == [measurement.validation_accuracy for measurement in told]


def test_what_happens_is_told_in_order(search: Search) -> None:
    diary = search(3).diary
    assert diary.resumptions == [(0, None)]
    assert diary.readies == [("simulated", "fp32", None)]
    assert diary.begun == [0, 1, 2]
    assert [(number, state, reason) for number, state, _, reason in diary.ends] == [
        (0, TrialState.COMPLETE, None),
        (1, TrialState.COMPLETE, None),
        (2, TrialState.COMPLETE, None),
    ]


def test_jobs_carry_the_limit_the_recipe_and_a_seed_of_their_own(search: Search) -> None:
    fleet = SimulatedFleet(2, lambda job, epoch: 0.5)
    found = search(6, fleet=fleet, seed=7)
    done = sorted(jobs(fleet), key=number_of)
    assert [job.seed for job in done] == [run_seed(7, number) for number in range(6)]
    assert len({job.seed for job in done}) == 6
    assert {(job.max_params, job.purpose, job.keep) for job in done} == {(found.plan.question.budget, "search", None)}
    assert {job.recipe.precision for job in done} == {"fp32"}  # what 'auto' stands for on the first worker
    assert found.plan.circumstances.precision == "fp32"
    assert [job.architecture for job in done] == designs(found.trials)


def test_the_precision_of_a_study_stays_as_its_first_run_found_it(search: Search, make_plan: Search) -> None:
    fleet = SimulatedFleet(1, lambda job, epoch: 0.5)
    found = search(1, fleet=fleet, plan=make_plan(1).with_circumstances(precision="bf16"))
    assert jobs(fleet)[0].recipe.precision == found.plan.circumstances.precision == "bf16"


def test_a_search_goes_on_with_another_kind_of_device_in_its_precision_and_with_its_batches(
    search: Search, files: StudyFiles
) -> None:
    gpu, cpu = ("NVIDIA H100", "bf16", 7e14), ("CPU, 2 threads", "fp32", None)
    plan = None
    for number, (device, precision, peak) in enumerate([gpu, cpu, cpu, gpu], 1):
        fleet = SimulatedFleet(1, lambda job, epoch: 0.5, device=device, precision=precision, peak=peak)
        found = search(number, fleet=fleet, plan=plan)
        plan = found.plan.with_circumstances(num_trials=number + 1)
        assert [job.recipe.precision for job in jobs(fleet)] == ["bf16"]
        assert found.diary.readies == [(device, "bf16", "NVIDIA H100" if peak is None else None)]
        assert is_for_gpu(files, Machine("cpu")), "or its batches would be another question"
    view = read_view(files)
    assert (view.devices, view.peak) == (("NVIDIA H100", "CPU, 2 threads"), None)
    (sentence,) = [text for text in caveats(find(view)) if text.startswith("Trials were trained on")]
    assert sentence.startswith("Trials were trained on NVIDIA H100 and CPU, 2 threads, in one precision: ")


def test_half_precision_ends_a_search_on_a_cpu_before_any_trial(search: Search, make_plan: Search) -> None:
    plan = make_plan(2).with_circumstances(precision="fp16", device="Tesla T4", peak=6e13)
    fleet = SimulatedFleet(1, lambda job, epoch: 0.5, device="CPU, 2 threads")
    with pytest.raises(TrainingError, match=r"^precision = fp16, that of the study: needs a CUDA device$"):
        search(2, fleet=fleet, plan=plan)
    assert jobs(fleet) == []


def test_timed_designs_are_within_the_budget(search: Search) -> None:
    fleet = UntimedFleet([])
    ((forecast, _),) = search(1, fleet=fleet).diary.forecasts
    assert len(forecast.macs) == len(forecast.seconds_per_epoch) == len(fleet.timed[0]) == 3
    assert max(map(count_parameters, fleet.timed[0])) <= 6_000


def test_timed_designs_can_take_the_images(search: Search, make_plan: Search) -> None:
    """An even kernel cannot halve an odd size: most designs of this space are no networks for images of 7 pixels."""
    space = Space.model_validate(
        {
            "stem": {"width": 4},
            "num_stages": 3,
            "stage": {"block": "basic", "depth": [1, 2], "width": 4, "kernel": [2, 3]},
        }
    )
    data = make_plan().question.data.model_copy(update={"image_size": 7})
    fleet = UntimedFleet([])
    found = search(3, fleet=fleet, space=space, data=data)
    for architecture in (*fleet.timed[0], *designs(found.trials)):
        assert count_macs(architecture, 7) > 0


def test_a_trial_that_falls_behind_is_stopped_and_told_pruned(search: Search) -> None:
    fleet = SimulatedFleet(1, lambda job, epoch: 0.9 if number_of(job) < 5 else 0.1)
    found = search(10, fleet=fleet, pruner="median")
    assert numbers(found.of(TrialState.COMPLETE)) == [0, 1, 2, 3, 4]
    for trial in found.of(TrialState.PRUNED):
        assert trial.intermediate_values == {1: 0.1, 2: 0.1}
        assert trial.user_attrs["seconds"] == 3.0  # the worker was in epoch 3 when it was told to stop
        assert len(json.loads(trial.user_attrs["history"])) == 2
    assert numbers(found.of(TrialState.PRUNED)) == [5, 6, 7, 8, 9]


def test_measurements_after_the_stop_are_ignored(search: Search) -> None:
    fleet = SimulatedFleet(1, lambda job, epoch: 0.9 if number_of(job) < 5 or epoch > 2 else 0.1)
    found = search(6, fleet=fleet, pruner="median")
    assert found.trials[5].state == TrialState.PRUNED
    assert found.trials[5].intermediate_values == {1: 0.1, 2: 0.1}
    assert [measurement.epoch for number, measurement in found.diary.measurements if number == 5] == [1, 2]
    assert found.diary.ends[5][2] == 0.1


def test_a_trial_is_not_pruned_after_its_last_epoch(search: Search) -> None:
    found = search(8, curve=lambda job, epoch: 0.5 if epoch < 4 else 0.9 - 0.1 * number_of(job), pruner="median")
    assert {trial.state for trial in found.trials} == {TrialState.COMPLETE}


def test_pruned_trials_count_as_trained(search: Search) -> None:
    found = search(12, curve=lambda job, epoch: 1 / (1 + number_of(job)), pruner="median")
    assert found.outcome.num_trained == 12
    assert len(found.of(TrialState.PRUNED)) == 7


def test_failed_trials_do_not_count_and_are_not_tried_again(search: Search) -> None:
    found = search(20, curve=failing({0, 3, 7}, Failed("out of memory")), num_workers=2)
    assert len(found.of(TrialState.COMPLETE)) == found.outcome.num_trained == 20
    assert numbers(found.of(TrialState.FAIL)) == [0, 3, 7]
    assert {trial.user_attrs["reason"] for trial in found.of(TrialState.FAIL)} == {"out of memory"}
    assert {trial.value for trial in found.of(TrialState.FAIL)} == {None}
    assert max(Counter(designs(found.trials)).values()) == 1


def test_failed_trials_are_not_tried_again_by_the_next_run(search: Search) -> None:
    first = search(2, curve=failing({1}, Failed("out of memory")), space=FOUR)
    second = search(4, space=FOUR)
    assert numbers(first.of(TrialState.FAIL)) == [1]
    assert len(set(designs(second.trials))) == len(second.trials) == 4
    assert second.outcome.num_trained == 3
    assert second.outcome.early_stop == "all 4 designs within the limits have been tried"


def test_a_failure_keeps_the_epochs_before_it(search: Search) -> None:
    found = search(1, curve=failing({0}, Failed("training loss is nan in epoch 3"), at=3))
    assert found.trials[0].state == TrialState.FAIL
    assert found.trials[0].intermediate_values == pytest.approx({1: 0.1, 2: 0.2})
    assert found.diary.ends[0] == (0, TrialState.FAIL, pytest.approx(0.2), "training loss is nan in epoch 3")


def test_no_number_that_is_not_finite_enters_the_study(search: Search, files: StudyFiles) -> None:
    search(10, curve=failing({2, 5}, Failed("training loss is inf in epoch 2"), at=2))
    trials, _ = read_study(files, None)
    stored = [value for trial in trials for value in (trial.value, *trial.intermediate_values.values())]
    assert all(value is None or math.isfinite(value) for value in stored)
    assert [trial.value for trial in trials if trial.state == TrialState.FAIL] == [None, None]


def test_five_failures_in_a_row_end_the_search_with_the_commonest_reason(search: Search, files: StudyFiles) -> None:
    reasons = {3: "out of memory", 4: "unlucky", 5: "out of memory", 6: "unlucky", 7: "out of memory"}
    with pytest.raises(TrainingError) as caught:
        search(50, curve=lambda job, epoch: Failed(reasons[n]) if (n := number_of(job)) in reasons else 0.5)
    assert str(caught.value) == "5 trials failed, 3 of them with: out of memory"
    trials, _ = read_study(files, None)
    assert Counter(trial.state for trial in trials) == {TrialState.COMPLETE: 3, TrialState.FAIL: 5}


def test_four_failures_in_a_row_do_not_end_the_search(search: Search) -> None:
    assert search(8, curve=failing({1, 2, 3, 4, 6, 7, 8, 9}, Failed("unlucky"))).outcome.num_trained == 8


def test_more_failures_than_trials_end_the_search(search: Search) -> None:
    with pytest.raises(TrainingError, match=r"^4 trials failed, 4 of them with: unlucky$"):
        search(3, curve=failing({0, 1, 3, 4}, Failed("unlucky")))


def test_a_search_that_was_ended_by_failures_can_go_on(search: Search) -> None:
    with pytest.raises(TrainingError):
        search(9, curve=failing({1, 2, 3, 4, 5}, Failed("no space left")), num_workers=3)
    found = search(9, num_workers=3)
    assert found.outcome.num_trained == 9
    assert len(set(designs(found.trials))) == len(found.trials)
    assert not found.of(TrialState.RUNNING)


def losing(numbers: set[int], times: int, at: int = 2) -> Callable[[Job, int], float | Lost]:
    """A curve on which the workers of these trials are lost in epoch `at`, so many times each."""
    lost: Counter[int] = Counter()

    def curve(job: Job, epoch: int) -> float | Lost:
        number = number_of(job)
        if number in numbers and epoch == at and lost[number] < times:
            lost[number] += 1
            return Lost("worker ended by signal 9")
        return 0.1 * epoch

    return curve


def test_the_trial_of_a_lost_worker_goes_on_in_a_new_one(search: Search) -> None:
    fleet = SimulatedFleet(2, losing({1}, times=1))
    before = fleet.workers
    found = search(6, fleet=fleet)
    assert fleet.replaced == 1
    assert len(set(before) & set(fleet.workers)) == 1
    assert found.diary.notes == [(1, "worker ended by signal 9; goes on in a new process")]
    assert {trial.state for trial in found.trials} == {TrialState.COMPLETE}
    assert [epoch["epoch"] for epoch in json.loads(found.trials[1].user_attrs["history"])] == [1, 2, 3, 4]
    assert found.outcome.num_trained == len(found.trials) == 6


def test_a_trial_that_loses_two_workers_has_failed(search: Search) -> None:
    fleet = SimulatedFleet(2, losing({1}, times=2))
    found = search(6, fleet=fleet)
    assert fleet.replaced == 2
    assert found.trials[1].state == TrialState.FAIL
    assert found.trials[1].user_attrs["reason"] == "worker ended by signal 9"
    assert found.outcome.num_trained == 6


def test_a_pruned_trial_whose_worker_is_lost_before_it_stopped_is_pruned_and_keeps_its_history(search: Search) -> None:
    lost = losing({5}, times=1, at=3)

    def curve(job: Job, epoch: int) -> float | Lost:
        said = lost(job, epoch)
        return said if isinstance(said, Lost) else 0.1 if number_of(job) == 5 else 0.9

    fleet = SimulatedFleet(1, curve)
    found = search(7, fleet=fleet, pruner="median")
    assert fleet.replaced == 1
    trial = found.trials[5]
    assert (trial.state, trial.intermediate_values) == (TrialState.PRUNED, {1: 0.1, 2: 0.1})
    assert [epoch["epoch"] for epoch in json.loads(trial.user_attrs["history"])] == [1, 2]
    assert [measurement.epoch for number, measurement in found.diary.measurements if number == 5] == [1, 2]


def test_checkpoints_of_a_trial_that_has_ended_are_removed_by_the_next_run(search: Search, files: StudyFiles) -> None:
    """An earlier one may have been killed between the two."""
    search(2)
    left = files.trial(1) / "attempt-1"
    left.mkdir(parents=True)
    search(3)
    assert not left.parent.exists()


def test_a_new_worker_works(search: Search) -> None:
    fleet = SimulatedFleet(1, losing({0, 1, 2}, times=2))
    assert search(4, fleet=fleet).outcome.num_trained == 4
    assert fleet.replaced == 6
    assert len(jobs(fleet)) == 4


def test_a_worker_that_says_nothing_is_replaced_and_its_trial_goes_on(search: Search) -> None:
    hung = Counter[int]()

    def curve(job: Job, epoch: int) -> float | None:
        hung[number_of(job)] += 1
        return None if number_of(job) == 2 and hung[2] == 3 else 0.1 * epoch

    fleet = SimulatedFleet(1, curve)
    found = search(4, fleet=fleet)
    assert fleet.replaced == 1
    assert found.diary.notes == [(2, "no word for 300 s; goes on in a new process")]
    assert {trial.state for trial in found.trials} == {TrialState.COMPLETE}


def test_long_epochs_are_waited_for(search: Search) -> None:
    fleet = SimulatedFleet(1, lambda job, epoch: 0.5, epoch_seconds=3_600.0)
    assert search(3, fleet=fleet).outcome.num_trained == 3
    assert fleet.replaced == 0


def test_an_interrupted_trial_goes_on_with_workers_that_are_lost(
    search: Search, curve: Callable[[Job, int], float]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        search(3, fleet=KillingFleet(2, curve, 9))
    found = search(3, curve=losing({0}, times=2))
    assert found.diary.begun == [0, 1, 2, 3]
    assert numbers(found.of(TrialState.COMPLETE)) == [1, 2, 3]


def test_between_two_proposals_it_is_heard_what_was_said_meanwhile(search: Search, diary: Callable[[], Any]) -> None:
    told, heard = diary(), []

    def curve(job: Job, epoch: int) -> float:
        if (number_of(job), epoch) == (0, 2):  # the first epoch has been heard of
            heard.append(len(told.begun))
        return 0.5

    fleet = SimulatedFleet(4, curve, work_clock=lambda: 5.0 * len(told.begun))  # a proposal takes five epochs
    assert search(4, fleet=fleet, diary=told).outcome.num_trained == 4
    assert heard == [1]


def test_a_search_can_be_interrupted_between_two_proposals(search: Search, diary: Callable[[], Any]) -> None:
    told = diary()
    found = search(4, num_workers=4, diary=told, interruption=lambda: len(told.begun) == 2)
    assert told.begun == [0, 1]
    assert (found.outcome.num_proposed, found.outcome.early_stop) == (2, "interrupted")


def test_several_workers_are_all_used_and_never_share_a_design(search: Search) -> None:
    fleet = SimulatedFleet(3, lambda job, epoch: 0.5)
    found = search(30, fleet=fleet, sampler="tpe")
    assert [len(worker.jobs) for worker in fleet.workers] == [10, 10, 10]
    assert len({job.architecture for job in jobs(fleet)}) == 30
    assert found.outcome.num_trained == 30


def test_no_more_trials_begin_than_are_asked_for_with_many_workers(search: Search) -> None:
    found = search(4, num_workers=10)
    assert found.diary.begun == [0, 1, 2, 3]
    assert found.outcome.num_trained == len(found.trials) == 4


@both_databases
def test_running_again_goes_on_to_the_total(search: Search) -> None:
    first = search(4, sampler="tpe")
    second = search(10, sampler="tpe")
    assert second.outcome.num_trained == 10
    assert second.outcome.num_proposed == 6
    assert second.trials[:4] == first.trials
    assert len(set(designs(second.trials))) == 10
    assert second.diary.resumptions == [(4, max(trial.value for trial in first.trials))]


@both_databases
def test_running_again_with_the_same_total_trains_nothing(search: Search) -> None:
    first, fleet = search(4), SimulatedFleet(1, lambda job, epoch: 0.5)
    second = search(4, fleet=fleet)
    assert second.trials == first.trials
    assert jobs(fleet) == second.diary.forecasts == []


def test_a_continued_study_does_not_repeat_its_draws(search: Search, files: StudyFiles, make_plan: Search) -> None:
    """The seed is drawn on from the number of trials: else every run would begin by drawing the same designs."""
    search(5)
    found = search(10)
    assert found.outcome.draws < 10


@pytest.mark.parametrize(
    ("url", "num_messages"),
    [*(("sqlite", number) for number in (5, 6, 8, 9, 10)), ("postgres", 6), ("postgres", 9)],
    indirect=["url"],
)
def test_a_trial_that_was_interrupted_is_resumed_under_its_own_number(
    search: Search, curve: Callable[[Job, int], float], files: StudyFiles, url: str | None, num_messages: int
) -> None:
    with pytest.raises(KeyboardInterrupt):
        search(4, fleet=KillingFleet(1, curve, num_messages))
    before, _ = read_study(files, url)
    found = search(4)
    assert numbers(found.of(TrialState.COMPLETE)) == [0, 1, 2, 3]
    orphans = numbers([trial for trial in before if trial.state == TrialState.RUNNING])
    assert found.diary.begun == [*orphans, *range(len(before), 4)]
    assert [architecture_of(trial) for trial in before] == designs(found.trials)[: len(before)]
    assert [list(trial.intermediate_values) for trial in found.trials] == [[1, 2, 3, 4]] * 4


def test_an_uninterrupted_search_and_one_of_pieces_train_the_same_trials_alike(
    search: Search, curve: Callable[[Job, int], float], files: StudyFiles
) -> None:
    with pytest.raises(KeyboardInterrupt):
        search(3, fleet=KillingFleet(1, curve, 6))
    resumed = search(3).trials[0]
    files.database.unlink()
    whole = search(3).trials[0]
    assert resumed.params == whole.params
    assert resumed.values == whole.values
    assert resumed.user_attrs == whole.user_attrs


@both_databases
def test_several_interrupted_trials_are_all_resumed(search: Search, curve: Callable[[Job, int], float]) -> None:
    with pytest.raises(KeyboardInterrupt):
        search(9, fleet=KillingFleet(3, curve, 9))
    found = search(9, num_workers=2)
    assert found.diary.begun == list(range(9))
    assert numbers(found.of(TrialState.COMPLETE)) == list(range(9))
    assert found.outcome.num_unfinished == 0


@both_databases
@pytest.mark.parametrize("num_workers", [1, 4])
def test_interrupted_trials_are_resumed_as_far_as_they_are_asked_for_and_the_others_wait(
    search: Search, curve: Callable[[Job, int], float], num_workers: int
) -> None:
    with pytest.raises(KeyboardInterrupt):
        search(9, fleet=KillingFleet(3, curve, 9))
    found = search(2, num_workers=num_workers)
    assert [trial.state.name for trial in found.trials] == ["COMPLETE", "COMPLETE", "RUNNING"]
    assert (found.outcome.num_trained, found.outcome.num_unfinished) == (2, 1)
    assert search(2, num_workers=num_workers).diary.begun == []
    assert search(4, num_workers=num_workers).diary.begun == [2, 3]


def test_an_interrupted_trial_that_fails_makes_room_for_the_next(
    search: Search, curve: Callable[[Job, int], float]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        search(9, fleet=KillingFleet(3, curve, 9))
    found = search(2, failing({0}, Failed("out of memory")))
    assert [trial.state.name for trial in found.trials] == ["FAIL", "COMPLETE", "COMPLETE"]


KILLED = """
import os, signal, sys
from pathlib import Path
from search.files import StudyFiles
from simulation import SimulatedFleet
from search.run.coordinator import Coordinator
from search.study.plan import Plan
from search.study.storage import Record, locked

class Silent:
    def __getattr__(self, name):
        return lambda *_: None

def curve(job, epoch):
    if job.label == "trial 2" and epoch == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return 0.1 * epoch

files = StudyFiles(Path(sys.argv[1]), "toy")
plan = Plan.load(files)
with locked(files), Record(files, sys.argv[2] or None) as record:
    Coordinator(plan, record, SimulatedFleet(1, curve), Silent()).run(5)
"""


@both_databases
def test_a_search_that_was_killed_goes_on(
    search: Search, files: StudyFiles, url: str | None, make_plan: Callable[..., Plan]
) -> None:
    make_plan(5).save(files)
    command = [sys.executable, "-c", KILLED, str(files.studies), url or ""]
    done = subprocess.run(command, cwd=SUPPORT, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    before, _ = read_study(files, url)
    assert [trial.state for trial in before] == [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.RUNNING]
    assert before[2].intermediate_values == {1: 0.1}
    found = search(5, curve=lambda job, epoch: 0.1 * epoch)
    assert found.diary.begun == [2, 3, 4]
    assert found.outcome.num_trained == 5
    assert designs(found.trials)[2] == architecture_of(before[2])
    assert found.trials[2].intermediate_values == pytest.approx({1: 0.1, 2: 0.2, 3: 0.3, 4: 0.4})


def test_a_resumed_trial_is_stopped_when_it_falls_behind(search: Search) -> None:
    def curve(job: Job, epoch: int) -> float:
        return 0.1 if number_of(job) == 5 else 0.9

    with pytest.raises(KeyboardInterrupt):
        search(7, fleet=KillingFleet(1, curve, 2 + 5 * 5 + 1), pruner="median")
    found = search(7, curve=curve, pruner="median")
    assert found.trials[5].state == TrialState.PRUNED
    assert found.outcome.num_trained == 7


def test_of_trials_that_another_program_wrote_none_repeats_a_design(search: Search, files: StudyFiles) -> None:
    first = search(2).trials[0]
    with by_hand(files, None) as study:
        for _ in range(2):
            attributes = {name: first.user_attrs[name] for name in ("architecture", "params", "macs")}
            study.add_trial(create_trial(state=TrialState.RUNNING, user_attrs=attributes))
    found = search(4)
    assert numbers(found.of(TrialState.COMPLETE)) == [0, 1, 4, 5]
    refused = [(number, reason) for number, state, _, reason in found.diary.ends if state == TrialState.FAIL]
    assert refused == [(2, "its design is that of trial 0"), (3, "its design is that of trial 0")]


@both_databases
def test_a_trial_recorded_without_its_design_is_told_failed(search: Search, files: StudyFiles, url: str | None) -> None:
    search(2)
    with by_hand(files, url) as study:
        study.add_trial(create_trial(state=TrialState.RUNNING))
    found = search(4)
    assert [trial.state.name for trial in found.trials] == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    on_disk, _ = read_study(files, url)
    assert on_disk[2].state == TrialState.FAIL
    assert on_disk[2].user_attrs["reason"] == "recorded without its design"


def test_a_trial_interrupted_after_its_last_epoch_is_complete_not_pruned(search: Search) -> None:
    """As it would have been without the interruption: a trial is not pruned after its last epoch."""

    def curve(job: Job, epoch: int) -> float:
        return 0.5 if epoch < 4 else 0.9 - 0.1 * number_of(job)

    with pytest.raises(KeyboardInterrupt):
        search(8, fleet=KillingFleet(1, curve, 2 + 5 * 6 + 4), pruner="median")
    found = search(8, curve=curve, pruner="median")
    assert found.diary.begun == [6, 7]
    assert {trial.state for trial in found.trials} == {TrialState.COMPLETE}


@both_databases
def test_a_trial_that_was_enqueued_by_hand_is_told_failed_and_stops_nothing(
    search: Search, files: StudyFiles, url: str | None
) -> None:
    params = search(2).trials[0].params
    with by_hand(files, url) as study:
        study.enqueue_trial(params)
    found = search(5)
    assert numbers(found.of(TrialState.COMPLETE)) == [0, 1, 3, 4, 5]
    assert numbers(found.of(TrialState.FAIL)) == [2]


def test_when_the_time_is_over_running_trials_are_finished_and_none_begins(
    search: Search,
) -> None:
    fleet = SimulatedFleet(2, lambda job, epoch: 0.5)
    found = search(100, fleet=fleet, timeout=10.0)
    assert fleet.now == 12.0  # three rounds of four epochs, the last begun after eight seconds
    assert found.outcome.num_trained == len(found.of(TrialState.COMPLETE)) == len(found.trials) == 6
    assert found.outcome.early_stop == "the time given is over"
    assert search(8).outcome.early_stop is None


def test_a_search_that_is_done_as_its_time_ends_has_not_stopped_early(
    search: Search,
) -> None:
    fleet = SimulatedFleet(1, lambda job, epoch: 0.5)
    outcome = search(2, fleet=fleet, timeout=7.0).outcome
    assert (outcome.num_trained, outcome.early_stop) == (2, None)


def test_no_time_at_all_leaves_interrupted_trials_for_later(search: Search, curve: Callable[[Job, int], float]) -> None:
    with pytest.raises(KeyboardInterrupt):
        search(3, fleet=KillingFleet(1, curve, 6))
    found = search(3, timeout=-1.0)
    assert [trial.state for trial in found.trials] == [TrialState.RUNNING]
    assert search(3).diary.begun == [0, 1, 2]


class LeavingFleet(SimulatedFleet):
    """Its only worker is gone, with its node, once it has measured an epoch; nobody comes in its place."""

    def replace(self, worker: Worker) -> None:
        super().replace(worker)
        self._workers.clear()
        self._events.clear()


def test_a_search_without_any_worker_ends_when_its_time_is_over(search: Search) -> None:
    found = search(3, fleet=SimulatedFleet(0, lambda job, epoch: 0.5), timeout=10.0)
    assert (found.outcome.num_trained, found.outcome.early_stop) == (0, "the time given is over")
    assert found.trials == []


def test_when_the_time_is_over_nobody_waits_for_workers_that_are_gone(search: Search) -> None:
    def curve(job: Job, epoch: int) -> float | Lost:
        return 0.5 if epoch == 1 else Lost("the node is gone", with_node=True)

    fleet = LeavingFleet(1, curve)
    found = search(3, fleet=fleet, timeout=20.0)
    assert found.outcome.early_stop == "the time given is over" and fleet.now < 30.0
    assert [trial.state for trial in found.trials] == [TrialState.RUNNING]
    assert search(3).diary.begun == [0, 1, 2]


@pytest.mark.parametrize("sampler", ["random", "tpe"])
@pytest.mark.parametrize("num_workers", [1, 3])
def test_an_exhausted_space_ends_the_search_early(search: Search, sampler: str, num_workers: int) -> None:
    found = search(100, space=FOUR, sampler=sampler, num_workers=num_workers)
    assert len(set(designs(found.trials))) == found.outcome.num_trained == 4
    assert found.outcome.early_stop == "all 4 designs within the limits have been tried"
    assert len(found.trials) == 4


def test_a_spent_space_is_asked_once_more_also_where_designs_are_drawn_ahead(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, propose = [], Record.propose
    monkeypatch.setattr(Record, "propose", lambda record, space: asked.append(space) or propose(record, space))
    fleet = SimulatedFleet(8, lambda job, epoch: 0.1 * epoch, device="NVIDIA H100", peak=7e14)
    found = search(100, space=FOUR, fleet=fleet)
    assert found.outcome.num_trained == 4 and len(asked) == 5


@pytest.mark.parametrize("sampler", ["random", "tpe"])
@pytest.mark.parametrize("num_stages", [1, [1, 2]])
def test_the_only_design_of_a_space_is_trained_once_whether_or_not_anything_is_free_to_choose(
    search: Search, sampler: str, num_stages: Any
) -> None:
    space = Space.model_validate(
        {
            "stem": {"width": 4},
            "num_stages": num_stages,
            "stage": {"block": "basic", "depth": 1, "width": 4},
            "shortcut": "B",
        }
    )
    budget = 700  # one stage takes 398 parameters, two take 726
    found = search(5, space=space, sampler=sampler, num_workers=2, budget=budget)
    assert len(found.trials) == found.outcome.num_trained == found.outcome.num_proposed == 1
    assert found.outcome.early_stop == "the only design within the limits has been tried"
    assert [(len(forecast.macs), num) for forecast, num in found.diary.forecasts] == [(1, 1)]
    assert search(5, space=space, sampler=sampler, budget=budget).diary.begun == []


def test_an_exhausted_space_stays_exhausted(search: Search) -> None:
    first, again = search(100, space=FOUR), search(100, space=FOUR)
    assert [num_trials for _, num_trials in first.diary.forecasts] == [4], "as many as there are"
    assert again.diary.forecasts == []
    assert (again.outcome.num_trained, again.outcome.num_proposed) == (4, 0)
    assert again.outcome.early_stop == "all 4 designs within the limits have been tried"


def test_that_a_space_is_exhausted_is_kept_for_pages_until_the_next_run(search: Search, files: StudyFiles) -> None:
    search(100, space=FOUR)
    assert read_study(files, None)[1]["exhausted"] == "all 4 designs within the limits have been tried"
    search(4, space=FOUR)
    assert read_study(files, None)[1]["exhausted"] is None


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_study_whose_limits_no_design_meets_any_more_goes_on_and_ends(
    search: Search, monkeypatch: pytest.MonkeyPatch, sampler: str
) -> None:
    question: dict[str, Any] = {"space": FOUR, "sampler": sampler, "limits": ("bytes=450@int8",)}
    with pytest.raises(SpaceError, match="takes at least"):
        search(2, **question)
    with monkeypatch.context() as earlier:  # when a byte a parameter was all that int8 was said to take
        earlier.setattr(Limits, "max_int8_bytes", None)
        with pytest.raises(KeyboardInterrupt):
            search(2, fleet=KillingFleet(1, lambda job, epoch: 0.1 * epoch, 3), **question)
    found = search(2, **question)
    assert found.diary.begun == [0]
    assert (found.outcome.num_trained, found.outcome.num_proposed) == (1, 0)
    assert found.outcome.early_stop == "no design is within the limits"
    assert found.diary.forecasts == []


@pytest.mark.parametrize(("sampler", "pruner"), [("random", "none"), ("tpe", "median"), ("tpe", "asha")])
def test_the_same_seed_gives_the_same_proposals_and_values(
    search: Search, files: StudyFiles, sampler: str, pruner: str
) -> None:
    first = search(20, sampler=sampler, pruner=pruner, num_workers=2)
    files.database.unlink()
    second = search(20, sampler=sampler, pruner=pruner, num_workers=2)
    for one, other in zip(first.trials, second.trials, strict=True):
        assert (one.params, one.state, one.values) == (other.params, other.state, other.values)
        assert one.intermediate_values == other.intermediate_values


def test_another_seed_gives_other_proposals(search: Search, files: StudyFiles) -> None:
    first = search(5)
    files.database.unlink()
    assert designs(search(5, seed=1).trials) != designs(first.trials)


def test_a_sampler_that_learns_finds_better_designs_than_its_start(search: Search) -> None:
    found = search(30, sampler="tpe")
    values = [trial.value for trial in found.trials]
    assert sum(values[-10:]) > sum(values[:10])


@pytest.mark.parametrize("message", [Failed("data cache: missing or damaged"), Lost("data cache: missing or damaged")])
def test_a_worker_that_cannot_start_ends_the_search(search: Search, message: Failed | Lost) -> None:
    class BrokenFleet(SimulatedFleet):
        def _new_worker(self) -> SimulatedWorker:
            worker = SimulatedWorker(self)
            self.post(0.0, worker, message)
            return worker

    with pytest.raises(TrainingError, match=r"^a worker could not start: data cache: missing or damaged$"):
        search(3, fleet=BrokenFleet(2, lambda job, epoch: 0.5))


def test_a_worker_that_cannot_be_replaced_ends_the_search(search: Search) -> None:
    class OnceFleet(SimulatedFleet):
        def replace(self, worker: Worker) -> None:
            super().replace(worker)
            self._events = [(0.0, 0, self._workers[0], Lost("the driver is gone"))]

    fleet = OnceFleet(1, losing({1}, times=1))
    with pytest.raises(TrainingError, match=r"^a worker could not start: the driver is gone$"):
        search(3, fleet=fleet)


class UntimedFleet(SimulatedFleet):
    """The first timings end in these messages, one each."""

    def __init__(self, messages: list[Failed | Lost], epoch_seconds: float = 1.0) -> None:
        self.messages = messages
        self.timed: list[tuple[Architecture, ...]] = []
        super().__init__(1, lambda job, epoch: 0.5, epoch_seconds)

    def _new_worker(self) -> SimulatedWorker:
        fleet = self

        class UntimedWorker(SimulatedWorker):
            def start(self, task: Any) -> None:
                if isinstance(task, Timing):
                    fleet.timed.append(task.architectures)
                    if fleet.messages:
                        fleet.post(0.0, self, fleet.messages.pop(0))
                        return
                super().start(task)

        worker = UntimedWorker(self)
        self.post(0.0, worker, Ready("simulated", "fp32", {}))
        return worker


def test_where_designs_cannot_be_timed_others_are(search: Search) -> None:
    fleet = UntimedFleet([Failed("out of memory")])
    found = search(3, fleet=fleet)
    assert found.diary.untimed_reasons == ["out of memory"]
    assert len(found.diary.forecasts) == 1
    assert [len(each) for each in fleet.timed] == [3, 3]
    assert not set(fleet.timed[0]) & set(fleet.timed[1])
    assert found.outcome.num_trained == 3


def test_a_timing_that_ends_its_worker_twice_gives_way_to_another(search: Search) -> None:
    fleet = UntimedFleet([Lost("worker ended by signal 9")] * 2)
    found = search(3, fleet=fleet)
    assert fleet.replaced == 2
    assert fleet.timed[0] == fleet.timed[1] != fleet.timed[2]
    assert found.diary.untimed_reasons == ["worker ended by signal 9"]
    assert len(found.diary.forecasts) == 1 and found.outcome.num_trained == 3


def test_a_search_goes_on_without_any_timing_and_then_waits_long_for_its_first_epochs(search: Search) -> None:
    fleet = UntimedFleet([Failed("out of memory")] * 3, epoch_seconds=3_000.0)
    found = search(3, fleet=fleet)
    assert found.diary.untimed_reasons == ["out of memory"] * 3
    assert found.diary.forecasts == []
    assert (found.outcome.num_trained, fleet.replaced) == (3, 0)


def test_a_budget_that_nothing_fits_writes_no_trial(search: Search, files: StudyFiles) -> None:
    with pytest.raises(SpaceError, match=re.escape("budget = 100: the smallest network")):
        search(3, budget=100)
    assert read_study(files, None) == ([], {})


# The baselines resnet20-a and resnet20-b are in it, which is guess-3 too, and four designs more.
HAND_MADE = Space.model_validate(
    {
        "stem": {"width": 16},
        "num_stages": 3,
        "stage": {"block": "basic", "depth": [3], "width": [16, 32, 64]},
        "overrides": {1: {"width": 16}, 2: {"width": [16, 32]}},
        "shortcut": ["A", "B"],
        "rules": {"non_decreasing_width": True},
    }
)


def test_guesses_and_then_hand_made_networks_are_the_first_trials_and_marked(search: Search) -> None:
    found = search(5, space=HAND_MADE, budget=300_000)
    assert [trial.user_attrs["baseline"] for trial in found.trials] == ["guess-3", "resnet20-a", None, None, None]
    own = [find_baseline(name, 1, 10).canonical() for name in ("resnet20-b", "resnet20-a")]
    assert designs(found.trials)[:2] == own


def test_a_continued_search_does_not_repeat_its_warm_start(search: Search) -> None:
    search(1, space=HAND_MADE, budget=300_000)
    found = search(4, space=HAND_MADE, budget=300_000)
    assert [trial.user_attrs["baseline"] for trial in found.trials] == ["guess-3", "resnet20-a", None, None]


def test_only_hand_made_networks_within_the_budget_are_trained(
    search: Search, caplog: pytest.LogCaptureFixture
) -> None:
    found = search(3, space=HAND_MADE, budget=270_000)  # the one with projections has 272,186 on greyscale
    assert [trial.user_attrs["baseline"] for trial in found.trials] == ["resnet20-a", None, None]
    no_guess = "no guess is within budget=270000: the smallest has 272,186 parameters and 2,532,992 MACs"
    assert caplog.messages == [f"{no_guess}; the search goes on without"]


def test_a_study_begun_without_guesses_goes_on_with_them(search: Search) -> None:
    begun = designs(search(2, warm_start=False).trials)
    found = search(5)
    assert designs(found.trials)[:2] == begun
    marks = [trial.user_attrs["baseline"] for trial in found.trials]
    assert marks[:2] == [None, None] and str(marks[2]).startswith("guess-")
    assert len(found.trials) == found.outcome.num_trained == 5


def test_without_a_warm_start_nothing_is_marked(search: Search) -> None:
    found = search(6, space=HAND_MADE, budget=300_000, warm_start=False)
    assert {trial.user_attrs["baseline"] for trial in found.trials} == {None}


def by_number(job: Job, epoch: int) -> float:
    """Looks random, and does not depend on the design, which a resumed search draws anew."""
    return random.Random(100 * number_of(job) + epoch).random() / 2 + 0.1 * epoch


@pytest.mark.parametrize("pruner", ["asha", "median"])
def test_a_search_of_pieces_prunes_as_one_without_interruption(search: Search, files: StudyFiles, pruner: str) -> None:
    def pruned(trials: list[FrozenTrial]) -> list[tuple[str, dict[int, float]]]:
        return [(trial.state.name, trial.intermediate_values) for trial in trials]

    whole = pruned(search(14, by_number, pruner=pruner).trials)
    assert {"PRUNED", "COMPLETE"} == {state for state, _ in whole}
    files.database.unlink()
    for num_messages in (3, 9, 17):
        with pytest.raises(KeyboardInterrupt):
            search(14, fleet=KillingFleet(1, by_number, num_messages), pruner=pruner)
    assert pruned(search(14, by_number, pruner=pruner).trials) == whole


def slow(numbers: set[int]) -> Callable[[Job, int], float | TooSlow]:
    return lambda job, epoch: TooSlow(0.0075) if number_of(job) in numbers else 0.1 * epoch


def test_a_design_that_is_too_slow_is_no_trained_trial_and_no_failure(search: Search) -> None:
    found = search(4, slow(set(range(1, 9))), limits=("latency=5ms",))
    assert (found.outcome.num_trained, found.outcome.too_slow, len(found.trials)) == (4, 8, 12)
    missed = found.of(TrialState.FAIL)
    assert {trial.user_attrs["reason"] for trial in missed} == {
        "latency = 7.5 ms, with no other worker computing: the limit is 5 ms"
    }
    assert all(trial.user_attrs["too_slow"] for trial in missed)


def test_a_limit_of_latency_that_nothing_meets_ends_the_search(search: Search) -> None:
    with pytest.raises(
        TrainingError, match=r"^100 designs in a row were too slow; the last had latency = 7.5 ms, with "
    ):
        search(4, slow(set(range(1_000))), limits=("latency=5ms",))


def test_workers_are_told_the_limits_they_check(search: Search) -> None:
    fleet = SimulatedFleet(1, lambda job, epoch: 0.5)
    search(2, fleet=fleet, limits=("latency=5ms", "bytes=4000@int8"))
    assert {(job.max_latency, job.max_params) for job in jobs(fleet)} == {(0.005, 4_000)}


def test_run_seeds_depend_on_both_numbers() -> None:
    seeds = {run_seed(seed, number) for seed in range(20) for number in range(50)}
    assert len(seeds) == 1_000
    assert all(0 <= seed < 2**32 for seed in seeds)


TORCHLESS = """
import sys
from pathlib import Path
import search.cli, search.report.page, search.run.launch, search.run.coordinator
from search.files import StudyFiles
from simulation import SimulatedFleet
from search.run.coordinator import Coordinator
from search.study.plan import Plan
from search.study.reading import read_view
from search.study.storage import Record, locked

class Silent:
    def __getattr__(self, name):
        return lambda *_: None

files = StudyFiles(Path(sys.argv[1]), "toy")
with locked(files), Record(files) as record:
    plan = Plan.load(files)
    print(Coordinator(plan, record, SimulatedFleet(2, lambda job, epoch: 0.1 * epoch), Silent()).run(15).num_trained)
print(len(read_view(files).trials))
print(sorted({"torch", "torchvision", "fvcore", "safetensors"} & {name.partition(".")[0] for name in sys.modules}))
"""


def test_torch_never_enters_the_coordinator(files: StudyFiles, make_plan: Callable[..., Plan]) -> None:
    make_plan(15, sampler="tpe", pruner="median").save(files)
    command = [sys.executable, "-c", TORCHLESS, str(files.studies)]
    done = subprocess.run(command, cwd=SUPPORT, capture_output=True, text=True)
    assert done.stdout.split("\n") == ["15", "15", "[]", ""], done.stderr


# Memory.


@pytest.mark.parametrize("halve_batch", [True, False])
def test_a_trial_without_memory_fails_or_goes_on_with_half_of_its_batch(search: Search, halve_batch: bool) -> None:
    recipe = Recipe(name="quick", epochs=4, batch_size=16, halve_batch=halve_batch)

    def curve(job: Job, epoch: int) -> float | Failed:
        batch_size = job.recipe.batch_size
        if number_of(job) == 2 and batch_size == 16:
            return Failed(f"out of memory at batch_size = {batch_size} with 1,000 parameters", "memory")
        return 0.1 * epoch

    found = search(4, curve=curve, recipe=recipe)
    said = "out of memory at batch_size = 16 with 1,000 parameters"
    if halve_batch:
        assert found.diary.notes == [(2, f"{said}; now with batch_size = 8 and lr = 0.05; goes on in a new process")]
        assert [trial.user_attrs["batch_size"] for trial in found.of(*TRAINED)] == [16, 16, 8, 16]
    else:
        assert found.diary.notes == [(2, f"{said}; goes on in a new process")]
        assert {trial.number: trial.user_attrs["reason"] for trial in found.of(TrialState.FAIL)} == {2: said}
        assert [trial.user_attrs["batch_size"] for trial in found.of(*TRAINED)] == [16] * 4
    assert found.outcome.num_trained == 4
    views = [trial_view(trial, found.plan) for trial in found.trials]
    assert [view.batch_size for view in views] == [trial.user_attrs.get("batch_size") for trial in found.trials]
