from pathlib import Path

from tensorboardX.proto.event_pb2 import Event

from search.files import StudyFiles
from search.tracking.tensorboard import prepare_tensorboard
from search.tracking.tracker import Study


def read_events(path: Path) -> dict[tuple[str, int], float]:
    """All scalars of a TensorBoard file: a length of 8 bytes, 4 of checksum, the event, 4 of checksum."""
    content, scalars, place = path.read_bytes(), {}, 0
    while place < len(content):
        size = int.from_bytes(content[place : place + 8], "little")
        event = Event.FromString(content[place + 12 : place + 12 + size])
        scalars |= {(value.tag, event.step): value.simple_value for value in event.summary.value}
        place += size + 16
    return scalars


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
        scalars = read_events(path)
        assert scalars["train_loss", 1] == 1.0 and scalars["train_loss", 2] == 0.5
        assert {step for name, step in scalars if name == "first_loss"} == {1}
        assert (("final/validation_accuracy", 2) in scalars) == (run == "trial-0000")
        assert b"| params | 4242 |" in path.read_bytes()
