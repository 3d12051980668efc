"""Where the time goes: every second of a worker is in the record, whatever ended the trial or the search."""

import signal
from collections.abc import Callable
from typing import Any

import pytest
from optuna.trial import TrialState
from simulation import SimulatedFleet

from search.files import StudyFiles
from search.protocol import Failed, Job, Lost, Message, TooSlow
from search.run.accounting import SECONDS_BETWEEN_NOTES, StudyClock
from search.run.interruption import Interruption
from search.study.reading import read_view
from search.study.storage import Record
from search.study.view import StudyView
from search.workers.fleet import Worker

Search = Callable[..., Any]
EPOCH = 20.0  # seconds, of four


class EndingFleet(SimulatedFleet):
    """After `num_messages` messages something happens."""

    def __init__(self, curve: Any, num_messages: int, event: Callable[[], None]) -> None:
        super().__init__(1, curve, EPOCH)
        self.num_messages = num_messages
        self.event = event

    def receive(self, timeout: float) -> tuple[Worker, Message] | None:
        if self.num_messages == 0:
            self.event()
        self.num_messages -= 1
        return super().receive(timeout)


def kill() -> None:
    raise KeyboardInterrupt


def seconds(view: StudyView) -> list[float]:
    return [trial.seconds for trial in view.trials]


def lost(view: StudyView) -> list[float]:
    return [trial.lost_seconds for trial in view.trials]


def once(number: int, message: Any, at: int = 2) -> Callable[[Job, int], Any]:
    """A curve on which the first attempt at a trial ends so in epoch `at`."""
    left = [message]

    def curve(job: Job, epoch: int) -> Any:
        return left.pop() if left and job.label == f"trial {number}" and epoch == at else 0.1 * epoch

    return curve


def test_trials_are_recorded_with_what_they_took_and_the_study_with_what_there_was(
    search: Search, files: StudyFiles
) -> None:
    search(3, fleet=SimulatedFleet(2, lambda job, epoch: 0.5, EPOCH))
    view = read_view(files)
    assert (seconds(view), lost(view)) == ([80.0] * 3, [0.0] * 3)
    assert (view.seconds, view.worker_seconds) == (160.0, 320.0)


def test_a_study_of_two_runs_adds_up_their_workers_times(search: Search, files: StudyFiles) -> None:
    search(2, fleet=SimulatedFleet(2, lambda job, epoch: 0.5, EPOCH))
    search(3, fleet=SimulatedFleet(1, lambda job, epoch: 0.5, EPOCH))
    view = read_view(files)
    assert (view.seconds, view.worker_seconds) == (160.0, 240.0)


def test_a_failed_trial_is_recorded_with_all_it_took(search: Search, files: StudyFiles) -> None:
    search(2, fleet=SimulatedFleet(1, once(0, Failed("out of memory"), at=3), EPOCH))
    view = read_view(files)
    assert (view.trials[0].state, seconds(view), lost(view)) == ("failed", [60.0, 80.0, 80.0], [0.0] * 3)


def test_a_design_that_is_too_slow_is_recorded_with_what_timing_it_took(search: Search, files: StudyFiles) -> None:
    search(1, fleet=SimulatedFleet(1, once(0, TooSlow(0.1), at=1), EPOCH), limits=("latency=5ms",))
    assert seconds(read_view(files)) == [20.0, 80.0]


def test_what_a_lost_worker_had_done_is_lost(search: Search, files: StudyFiles) -> None:
    search(2, fleet=SimulatedFleet(1, once(1, Lost("worker ended by signal 9"), at=3), EPOCH))
    view = read_view(files)
    assert (seconds(view), lost(view)) == ([80.0, 80.0], [0.0, 60.0])
    assert view.worker_seconds == sum(seconds(view)) + sum(lost(view))


def test_a_worker_that_hung_is_lost_with_the_time_it_was_waited_for(search: Search, files: StudyFiles) -> None:
    search(2, fleet=SimulatedFleet(1, once(1, None, at=3), EPOCH))
    view = read_view(files)
    assert (seconds(view), lost(view)[0]) == ([80.0, 80.0], 0.0)
    assert lost(view)[1] > 300
    assert view.worker_seconds == pytest.approx(sum(seconds(view)) + sum(lost(view)))


def test_a_trial_that_loses_two_workers_failed_with_both_their_times(search: Search, files: StudyFiles) -> None:
    def curve(job: Job, epoch: int) -> Any:
        return Lost("worker ended by signal 9") if job.label == "trial 0" and epoch == 2 else 0.5

    search(1, fleet=SimulatedFleet(1, curve, EPOCH))
    view = read_view(files)
    assert (view.trials[0].state, seconds(view), lost(view)) == ("failed", [80.0, 80.0], [0.0, 0.0])


def test_a_killed_search_has_recorded_the_epochs_it_was_told_of(search: Search, files: StudyFiles) -> None:
    """Ready, Timed, five of trial 0, two epochs of trial 1: a killed process writes nothing in the end."""
    with pytest.raises(KeyboardInterrupt):
        search(2, fleet=EndingFleet(lambda job, epoch: 0.5, 9, kill))
    view = read_view(files)
    assert [trial.state for trial in view.trials] == ["complete", "running"]
    assert seconds(view) == [80.0, 40.0]
    search(2, fleet=SimulatedFleet(1, lambda job, epoch: 0.5, EPOCH))  # which does not read checkpoints
    view = read_view(files)
    assert (seconds(view), lost(view)) == ([80.0, 80.0], [0.0, 40.0])
    assert view.worker_seconds == 200.0


def test_an_interrupted_search_records_what_its_running_trials_took(search: Search, files: StudyFiles) -> None:
    with Interruption() as interruption:
        fleet = EndingFleet(lambda job, epoch: 0.5, 4, lambda: signal.raise_signal(signal.SIGINT))
        search(2, fleet=fleet, interruption=interruption)
    view = read_view(files)
    assert [trial.state for trial in view.trials] == ["running"]
    assert seconds(view)[0] >= 60.0  # two epochs and the one in which it was asked to pause
    assert view.worker_seconds == seconds(view)[0]


def test_the_clock_of_a_study_is_kept_as_it_runs(record: Record) -> None:
    now = 100.0
    clock = StudyClock(record, lambda: 4, lambda: now)
    now += SECONDS_BETWEEN_NOTES / 2
    clock.note()
    assert record.attribute("seconds", None) is None
    now += SECONDS_BETWEEN_NOTES
    clock.note()
    assert record.attribute("seconds", None) == 1.5 * SECONDS_BETWEEN_NOTES
    assert record.attribute("worker_seconds", None) == 6 * SECONDS_BETWEEN_NOTES


def test_the_time_of_workers_is_that_of_those_who_were_there(record: Record) -> None:
    """They come and go between notes: the clock is asked to count at every turn of the coordinator."""
    now, num_workers = 100.0, 2
    clock = StudyClock(record, lambda: num_workers, lambda: now)
    expected = 0.0
    for num_workers, seconds in ((2, 3.0), (0, 4.0), (5, 2.0), (1, 0.5)):
        now += seconds
        expected += num_workers * seconds
        clock.note()
        assert record.attribute("worker_seconds", None) is None, "it was not kept yet"
    now += 2.0
    num_workers = 3
    clock.keep()
    assert record.attribute("seconds", None) == 11.5
    assert record.attribute("worker_seconds", None) == expected + 6.0 == 22.5
    clock.keep()
    assert record.attribute("worker_seconds", None) == 22.5, "no second is counted twice"


def test_a_worker_that_comes_and_goes_between_two_keeps_counts(record: Record) -> None:
    now, num_workers = 0.0, 1
    clock = StudyClock(record, lambda: num_workers, lambda: now)
    clock.keep()
    for num_workers in (1, 11, 1):  # noqa: B007
        now += 1.0
        clock.note()
    clock.keep()
    assert record.attribute("worker_seconds", None) == 13.0


def test_notes_are_kept_after_as_much_time_as_before_however_often_they_are_made(record: Record) -> None:
    now = 0.0
    clock = StudyClock(record, lambda: 1, lambda: now)
    kept = []
    for _ in range(25):
        now += 1.0
        clock.note()
        kept.append(record.attribute("seconds", 0.0))
    assert kept == [0.0] * 9 + [10.0] * 10 + [20.0] * 6


def test_a_study_that_goes_on_adds_to_the_time_of_its_workers(record: Record) -> None:
    for num_workers in (4, 1):
        now = 50.0
        clock = StudyClock(record, lambda: num_workers, lambda: now)  # noqa: B023
        now += 10.0
        clock.note()
    assert record.attribute("seconds", None) == 20.0
    assert record.attribute("worker_seconds", None) == 50.0


def test_of_a_study_begun_before_the_workers_times_were_kept_they_stay_unknown(
    search: Search, files: StudyFiles
) -> None:
    search(1)
    with Record(files) as record:
        record.set_attribute("worker_seconds", None)
    search(2)
    view = read_view(files)
    assert (view.seconds, view.worker_seconds) == (8.0, None)
    assert [trial.state for trial in view.trials] == ["complete"] * 2


def test_a_trial_that_was_pruned_has_the_seconds_up_to_its_stop(search: Search, files: StudyFiles) -> None:
    fleet = SimulatedFleet(1, lambda job, epoch: 0.9 if int(job.label.split()[1]) < 5 else 0.1, EPOCH)
    found = search(6, fleet=fleet, pruner="median")
    assert found.trials[5].state == TrialState.PRUNED
    assert seconds(read_view(files)) == [80.0] * 5 + [60.0]
