from collections.abc import Iterator
from pathlib import Path

from tensorboardX.proto.event_pb2 import Event, SessionLog

from search.files import StudyFiles
from search.tracking.tensorboard import prepare_tensorboard
from search.tracking.tracker import Study


def events(path: Path) -> Iterator[Event]:
    """The events of a TensorBoard file: a length of 8 bytes, 4 of checksum, the event, 4 of checksum."""
    content, place = path.read_bytes(), 0
    while place < len(content):
        size = int.from_bytes(content[place : place + 8], "little")
        yield Event.FromString(content[place + 12 : place + 12 + size])
        place += size + 16


def read_scalars(path: Path) -> dict[tuple[str, int], float]:
    return {(value.tag, event.step): value.simple_value for event in events(path) for value in event.summary.value}


def read_starts(path: Path) -> list[int]:
    """The epochs from which on TensorBoard forgets earlier files."""
    return [event.step for event in events(path) if event.session_log.status == SessionLog.START]


def test_every_run_is_a_file_with_its_design_its_epochs_and_its_final_numbers(tmp_path: Path) -> None:
    files = StudyFiles(tmp_path, "toy")
    tracker = prepare_tensorboard().tracker(Study(files, "2026-01-01", 8, {}))
    for run in ("trial-0000", "trial-0001"):
        assert tracker.begin(run, {"params": 4242}) == 0
        for epoch in (1, 2):
            tracker.measure(run, epoch, {"train_loss": 1.0 / epoch} | ({"first_loss": 2.5} if epoch == 1 else {}))
    tracker.end("trial-0000", "complete", {"validation_accuracy": 0.5, "reason": "none"})
    tracker.close()
    for run in ("trial-0000", "trial-0001"):
        (path,) = files.tensorboard(run).iterdir()
        scalars = read_scalars(path)
        assert scalars["train_loss", 1] == 1.0 and scalars["train_loss", 2] == 0.5
        assert {step for name, step in scalars if name == "first_loss"} == {1}
        assert (("final/validation_accuracy", 2) in scalars) == (run == "trial-0000")
        assert b"| params | 4242 |" in path.read_bytes()


def test_epochs_that_are_told_again_take_the_place_of_the_earlier_ones(tmp_path: Path) -> None:
    """A search tells all epochs of a trial that goes on, a retraining only those that were not told."""
    files = StudyFiles(tmp_path, "toy")
    starts = []
    for first, last in ((1, 2), (3, 4), (1, 5)):
        tracker = prepare_tensorboard().tracker(Study(files, "2026-01-01", 8, {}))
        tracker.begin("trial-0000", {"params": 4242})
        tracker.begin("trial-0001", {})  # never measured
        for epoch in range(first, last + 1):
            tracker.measure("trial-0000", epoch, {"train_loss": 1.0 / epoch})
        tracker.end("trial-0001", "failed", {"trained_epochs": 0})
        tracker.close()
        newest = max(files.tensorboard("trial-0000").iterdir(), key=lambda path: path.stat().st_mtime_ns)
        starts.append(read_starts(newest)[-1])
    assert starts == [1, 3, 1]
    assert not files.tensorboard("trial-0001").exists()
