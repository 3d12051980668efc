import builtins
from pathlib import Path
from typing import Any

import pytest
from tensorboardX.proto.event_pb2 import Event

from search.cli.logs import open_log
from search.errors import InputError
from search.files import StudyFiles
from search.protocol import Measurement


def read_events(path: Path) -> dict[tuple[str, int], float]:
    """All scalars of a TensorBoard file: a length of 8 bytes, 4 of checksum, the event, 4 of checksum."""
    content, scalars, place = path.read_bytes(), {}, 0
    while place < len(content):
        size = int.from_bytes(content[place : place + 8], "little")
        event = Event.FromString(content[place + 12 : place + 12 + size])
        scalars |= {(value.tag, event.step): value.simple_value for value in event.summary.value}
        place += size + 16
    return scalars


def test_every_epoch_of_every_run_is_logged_once(tmp_path: Path) -> None:
    files = StudyFiles(tmp_path, "toy")
    with open_log("tensorboard", files) as log:
        for run in ("trial-0000", "trial-0001"):
            for epoch in (1, 2):
                log(run, Measurement(epoch, 1.0 / epoch, 0.25, None, None, 0.1, 2.0, 2.5 if epoch == 1 else None))
    for run in ("trial-0000", "trial-0001"):
        (path,) = files.tensorboard(run).iterdir()
        scalars = read_events(path)
        assert scalars["train_loss", 1] == 1.0 and scalars["train_loss", 2] == 0.5
        assert {step for name, step in scalars if name == "first_loss"} == {1}
        assert not any(name.startswith("validation") for name, _ in scalars)


def test_without_a_log_nothing_is_written(tmp_path: Path) -> None:
    with open_log(None, StudyFiles(tmp_path / "studies", "toy")) as log:
        log("trial-0000", Measurement(1, 1.0, 0.25, None, None, 0.1, 2.0))
    assert not (tmp_path / "studies").exists()


def test_an_unknown_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^log = 'wandb': must be tensorboard$"):
        open_log("wandb", StudyFiles(tmp_path, "toy"))


def test_a_missing_package_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "tensorboardX":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"pip install 'budget-nas\[tensorboard\]'$"):
        open_log("tensorboard", StudyFiles(tmp_path, "toy"))
