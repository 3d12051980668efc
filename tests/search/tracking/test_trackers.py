"""Trackers are told of every run once, and one that fails, hangs or does not keep up stops and slows nothing."""

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from models.architecture import Architecture, Stage, Stem
from models.count import count_macs, count_parameters
from search.errors import InputError
from search.files import StudyFiles
from search.protocol import Measurement
from search.recipes import FAST
from search.tracking import trackers
from search.tracking.parameters import design_parameters
from search.tracking.tracker import Opening, Study, Values
from search.tracking.trackers import Trackers, prepare

NETWORK = Architecture(Stem(4), (Stage("basic", 1, 8), Stage("bottleneck", 2, 16)), in_channels=1, num_classes=10)


def epoch(number: int) -> Measurement:
    return Measurement(number, 1.0 / number, 0.25, None, None, 0.1, 2.0)


class Diary:
    """A tracker that writes down what it is told, and raises or waits where it is asked to."""

    def __init__(self, fail_at: str = "", known: int = 0, wait_at: str = "") -> None:
        self.lines: list[Any] = []
        self.parameters: Values = {}
        self.known = known
        self.fail_at, self.wait_at = fail_at, wait_at
        self.released = threading.Event()

    def _note(self, *line: Any) -> None:
        if line[0] == self.wait_at:
            self.released.wait()
        self.lines.append(line)
        if line[0] == self.fail_at:
            raise ConnectionError("the server\nhas gone")

    def begin(self, run: str, parameters: Values) -> int:
        self.parameters = parameters
        self._note("begin", run)
        return self.known

    def measure(self, run: str, epoch: int, scalars: Mapping[str, float]) -> None:
        self._note("measure", run, epoch, scalars["train_loss"])

    def end(self, run: str, state: str, values: Values) -> None:
        self._note("end", run, state, dict(values))

    def keep_report(self, page: Path) -> None:
        self._note("report", page.name)

    def close(self) -> None:
        self._note("close")


@pytest.fixture
def study(tmp_path: Path) -> Callable[[], Study]:
    return lambda: Study(StudyFiles(tmp_path, "toy"), "2026-01-01", 8, {"budget": 5000})


@pytest.fixture
def said() -> Iterator[list[str]]:
    lines: list[str] = []
    yield lines


def opened(study: Callable[[], Study], said: list[str], *diaries: Diary, keeps_reports: bool = True) -> Trackers:
    openings = [
        (f"diary-{at}", Opening(lambda _, diary=diary: diary, keeps_reports)) for at, diary in enumerate(diaries)
    ]
    return Trackers(openings, study, said.append)


def test_a_tracker_hears_of_runs_in_order_and_of_every_epoch_once(
    study: Callable[[], Study], said: list[str], tmp_path: Path
) -> None:
    diary = Diary()
    told = opened(study, said, diary)
    told.begin("trial-0000", NETWORK, FAST, seed=7)
    for number in (1, 2, 1, 2, 3):  # a worker was lost after the second
        told.measure("trial-0000", epoch(number))
    told.end("trial-0000", "complete", {"validation_accuracy": 0.5})
    told.begin("trial-0001", NETWORK, FAST)
    told.end("trial-0002", "failed", {})  # which was never begun
    told.keep_report(tmp_path / "report.html")
    told.close()
    assert diary.lines == [
        ("begin", "trial-0000"),
        *(("measure", "trial-0000", number, 1.0 / number) for number in (1, 2, 3)),
        ("end", "trial-0000", "complete", {"validation_accuracy": 0.5}),
        ("begin", "trial-0001"),
        ("report", "report.html"),
        ("end", "trial-0001", "interrupted", {}),
        ("close",),
    ]
    assert not said


def test_a_run_that_goes_on_is_told_only_of_what_is_new(study: Callable[[], Study], said: list[str]) -> None:
    diary = Diary(known=2)
    told = opened(study, said, diary)
    told.begin("trial-0000", NETWORK, FAST)
    for number in (1, 2, 3):
        told.measure("trial-0000", epoch(number))
    told.close()
    assert [line[2] for line in diary.lines if line[0] == "measure"] == [3]


@pytest.mark.parametrize("place", ["begin", "measure", "end", "report", "close"])
def test_a_tracker_that_fails_is_named_once_and_left_out_while_others_go_on(
    study: Callable[[], Study], said: list[str], tmp_path: Path, place: str
) -> None:
    failing, other = Diary(fail_at=place), Diary()
    told = opened(study, said, failing, other)
    for run in ("trial-0000", "trial-0001"):
        told.begin(run, NETWORK, FAST)
        told.measure(run, epoch(1))
        told.end(run, "complete", {})
    told.keep_report(tmp_path / "report.html")
    told.close()
    message = "the server has gone; it is left out from here on, and nothing else changes"
    assert said == [f"log = diary-0: {message}"]
    assert [line[0] for line in other.lines] == [*("begin", "measure", "end") * 2, "report", "close"]


def test_a_tracker_that_cannot_be_opened_is_left_out(study: Callable[[], Study], said: list[str]) -> None:
    def no_disk(_: Study) -> Diary:
        raise OSError(28, "No space left on device")

    told = Trackers([("full", Opening(no_disk))], study, said.append)
    told.begin("trial-0000", NETWORK, FAST)
    told.close()
    (line,) = said
    assert "No space left on device; it is left out" in line


@pytest.mark.parametrize("hurried", [True, False])
def test_nobody_waits_for_a_tracker_that_hangs(
    study: Callable[[], Study], said: list[str], monkeypatch: pytest.MonkeyPatch, hurried: bool
) -> None:
    monkeypatch.setattr(trackers, "PATIENCE", 0.05)
    monkeypatch.setattr(trackers, "HURRY", 0.05)
    diary = Diary(wait_at="begin")
    told = opened(study, said, diary)
    told.begin("trial-0000", NETWORK, FAST)
    for number in range(1, 100):
        told.measure("trial-0000", epoch(number))  # returns at once
    assert not said and not diary.lines
    told.close(hurried)
    diary.released.set()
    assert said == ["log = diary-0: does not answer, so that what it was told last may be missing"]


def test_nobody_waits_long_for_one_that_failed_and_then_hangs(
    study: Callable[[], Study], said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trackers, "HURRY", 0.05)
    diary = Diary(fail_at="begin", wait_at="close")
    told = opened(study, said, diary)
    told.begin("trial-0000", NETWORK, FAST)
    told.close()
    diary.released.set()
    assert len(said) == 1 and "the server has gone; it is left out" in said[0]


def test_a_tracker_that_does_not_keep_up_is_left_out(
    study: Callable[[], Study], said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trackers, "MAX_WAITING", 10)
    diary = Diary(wait_at="begin")
    told = opened(study, said, diary)
    told.begin("trial-0000", NETWORK, FAST)
    for number in range(1, 100):
        told.measure("trial-0000", epoch(number))
    diary.released.set()
    told.close()
    assert said == ["log = diary-0: 10 messages wait for it; it is left out from here on, and nothing else changes"]


def test_nothing_is_opened_before_a_run_begins(said: list[str]) -> None:
    threads = threading.active_count()
    told = opened(lambda: pytest.fail("the study has not begun"), said, Diary())
    told.close(hurried=True)
    assert threading.active_count() == threads and not said


def test_a_report_is_asked_for_only_where_one_is_kept(study: Callable[[], Study], said: list[str]) -> None:
    assert not Trackers((), study, said.append).keep_reports
    assert not opened(study, said, Diary(), keeps_reports=False).keep_reports
    assert opened(study, said, Diary()).keep_reports


def test_what_a_network_is_stands_under_short_names(study: Callable[[], Study], said: list[str]) -> None:
    parameters = design_parameters(NETWORK, 8)
    assert (parameters["params"], parameters["macs"]) == (count_parameters(NETWORK), count_macs(NETWORK, 8))
    assert (parameters["stage-1.width"], parameters["stage-2.block"], parameters["stem.width"]) == (8, "bottleneck", 4)
    diary = Diary()
    told = opened(study, said, diary)
    told.begin("trial-0000", NETWORK, FAST, seed=7)
    told.close()
    assert diary.parameters.items() >= {**parameters, "recipe": "fast", "epochs": FAST.epochs, "seed": 7}.items()


def test_ids_of_runs_are_the_same_whenever_a_study_goes_on_and_no_others(tmp_path: Path) -> None:
    files = StudyFiles(tmp_path, "toy")
    ids = {
        Study(study, created, 8, {}).id_of(run)
        for study in (files, StudyFiles(tmp_path, "other"))
        for created in ("2026-01-01", "2026-01-02")
        for run in ("trial-0000", "trial-0001", "study-toy")
        for _ in range(2)
    }
    assert len(ids) == 12


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["tensorbord"], "log = 'tensorbord': must be one of tensorboard, mlflow, wandb, wandb:offline"),
        (["wandb:offline", "wandb"], "log = wandb, wandb:offline: give one of them"),
        ([""], "log = '': must be one of"),
    ],
)
def test_a_mistake_is_one_line(names: list[str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        prepare(names)
    assert str(caught.value).startswith(message)
