"""Checkpoints on disk: whole or not at all, the newest that is whole, and nothing from outside."""

import hashlib
import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from search.errors import StorageError
from search.files import new_attempt
from search.training.checkpoint import NUM_KEPT, Checkpoints

CPU = torch.device("cpu")
KEY = "a network, by a recipe"


def opened(root: Path, key: str = KEY) -> Checkpoints:
    """The checkpoints of a new attempt."""
    return Checkpoints(root, new_attempt(root), key)


def state(epoch: int) -> dict[str, Any]:
    return {"epoch": epoch, "weights": {"w": torch.full((3, 2), float(epoch))}, "lr": 0.1, "name": "sgd", "none": None}


def newest_epoch(checkpoints: Checkpoints) -> int | None:
    newest, _ = checkpoints.newest(CPU)
    return None if newest is None else int(newest["epoch"])


def refusals(checkpoints: Checkpoints) -> list[str]:
    return checkpoints.newest(CPU)[1]


def file_of(checkpoints: Checkpoints, epoch: int) -> Path:
    return checkpoints.folder / f"epoch-{epoch:05d}.ckpt"


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "flipped":
        content[len(content) // 2] ^= 1
    elif how == "digest flipped":
        content[0] ^= 1
    else:
        del content[{"truncated": -1, "halved": len(content) // 2, "empty": 0}[how] :]
    path.write_bytes(content)


def written_by_hand(path: Path, content: bytes) -> None:
    """A file with a digest that is right: what somebody could put there on purpose."""
    path.write_bytes(hashlib.sha256(content).digest() + content)


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    checkpoints = opened(tmp_path)
    checkpoints.write(3, state(3))
    newest, refused = checkpoints.newest(CPU)
    assert newest is not None and refused == []
    assert torch.equal(newest["weights"]["w"], torch.full((3, 2), 3.0))
    assert {name: value for name, value in newest.items() if name != "weights"} == {
        "epoch": 3,
        "lr": 0.1,
        "name": "sgd",
        "none": None,
    }


def test_where_nothing_was_written_nothing_is_found(tmp_path: Path) -> None:
    assert opened(tmp_path).newest(CPU) == (None, [])
    assert Checkpoints(tmp_path / "nowhere", 1, KEY).newest(CPU) == (None, [])


def test_the_two_newest_of_an_attempt_are_kept(tmp_path: Path) -> None:
    checkpoints = opened(tmp_path)
    for epoch in (1, 2, 9, 10, 100):
        checkpoints.write(epoch, state(epoch))
    assert NUM_KEPT == 2
    assert sorted(path.name for path in checkpoints.folder.iterdir()) == ["epoch-00010.ckpt", "epoch-00100.ckpt"]


def test_an_attempt_leaves_the_files_of_others_alone(tmp_path: Path) -> None:
    first = opened(tmp_path)
    first.write(1, state(1))
    second = opened(tmp_path)
    for epoch in (2, 3, 4):
        second.write(epoch, state(epoch))
    assert [path.name for path in first.folder.iterdir()] == ["epoch-00001.ckpt"]


def test_the_newest_attempt_goes_first_and_then_the_newest_epoch(tmp_path: Path) -> None:
    attempts = [opened(tmp_path) for _ in range(11)]
    attempts[1].write(7, state(7))
    attempts[9].write(5, state(5))  # the tenth attempt, which a comparison of names would take for an early one
    assert newest_epoch(attempts[10]) == 5, "an attempt goes on from where the last one began, if it had begun again"
    attempts[10].write(6, state(6))
    assert newest_epoch(attempts[10]) == 6


def test_a_stray_worker_of_an_earlier_attempt_cannot_touch_what_a_later_one_writes(tmp_path: Path) -> None:
    stray, current = opened(tmp_path), opened(tmp_path)
    current.write(2, state(2))
    before = file_of(current, 2).read_bytes()
    for epoch in (2, 3, 4):
        stray.write(epoch, state(epoch + 100))
    assert file_of(current, 2).read_bytes() == before
    assert newest_epoch(current) == 2
    assert newest_epoch(stray) == 104, "and reads nothing of a later attempt"


@pytest.mark.parametrize("how", ["flipped", "digest flipped", "truncated", "halved", "empty"])
def test_a_damaged_file_is_refused_with_a_line_and_the_one_before_it_used(tmp_path: Path, how: str) -> None:
    checkpoints = opened(tmp_path)
    for epoch in (1, 2):
        checkpoints.write(epoch, state(epoch))
    damage(file_of(checkpoints, 2), how)
    assert newest_epoch(checkpoints) == 1
    assert refusals(checkpoints) == ["attempt-1/epoch-00002.ckpt is refused: its content is damaged"]


def test_a_flipped_bit_is_noticed_wherever_it_is(tmp_path: Path) -> None:
    checkpoints = opened(tmp_path)
    checkpoints.write(1, state(1))
    path = file_of(checkpoints, 1)
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        assert newest_epoch(checkpoints) is None, f"byte {place} of {len(whole)}"


def test_whatever_lies_among_the_attempts_has_its_line_and_stops_nothing(tmp_path: Path) -> None:
    opened(tmp_path).write(1, state(1))
    (tmp_path / "attempt-2").write_text("no folder")
    (tmp_path / "attempt-3").symlink_to(tmp_path / "nowhere")
    (tmp_path / "attempt-4" / "epoch-00009.ckpt").mkdir(parents=True)
    os.mkfifo(tmp_path / "attempt-4" / "epoch-00008.ckpt")
    (tmp_path / "attempt-4" / "notes.txt").write_text("mine")
    (tmp_path / "attempt-x").write_text("neither")
    checkpoints = opened(tmp_path)
    assert checkpoints.folder.name == "attempt-5"
    assert newest_epoch(checkpoints) == 1
    assert [line.partition(": ")[0] for line in refusals(checkpoints)] == [
        "attempt-4/epoch-00009.ckpt is refused",
        "attempt-4/epoch-00008.ckpt is refused",
        "attempt-3 is refused",
        "attempt-2 is refused",
    ]


def test_a_state_that_is_not_accepted_is_refused_with_the_reason_and_the_one_before_it_used(tmp_path: Path) -> None:
    checkpoints = opened(tmp_path)
    for epoch in (1, 2):
        checkpoints.write(epoch, state(epoch))

    def accept(state: dict[str, Any]) -> None:
        if state["epoch"] == 2:
            raise ValueError("it is no good")

    newest, refused = checkpoints.newest(CPU, accept)
    assert newest is not None and newest["epoch"] == 1
    assert refused == ["attempt-1/epoch-00002.ckpt is refused: it is no good"]


def test_where_every_file_is_damaged_each_has_its_line_and_the_training_begins_again(tmp_path: Path) -> None:
    first = opened(tmp_path)
    first.write(4, state(4))
    second = opened(tmp_path)
    second.write(5, state(5))
    damage(file_of(first, 4), "halved")
    damage(file_of(second, 5), "flipped")
    newest, refused = second.newest(CPU)
    assert newest is None
    assert [line.partition(" ")[0] for line in refused] == ["attempt-2/epoch-00005.ckpt", "attempt-1/epoch-00004.ckpt"]


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    opened(tmp_path).write(1, state(1))
    other = opened(tmp_path, key="another network")
    assert newest_epoch(other) is None
    assert refusals(other) == ["attempt-1/epoch-00001.ckpt is refused: it is of another training"]


def test_files_with_other_names_are_no_checkpoints(tmp_path: Path) -> None:
    checkpoints = opened(tmp_path)
    checkpoints.write(1, state(1))
    whole = file_of(checkpoints, 1).read_bytes()
    for name in (".epoch-00002.ckpt.x1", "epoch-00003.ckpt.old", "epoch-four.ckpt"):
        (checkpoints.folder / name).write_bytes(whole)
    (tmp_path / "attempt-one").mkdir()
    assert checkpoints.newest(CPU)[1] == [] and newest_epoch(checkpoints) == 1


class Ill:
    """Opens a file when it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return open, (str(self.witness), "w")


@pytest.mark.parametrize("plain", [True, False])
def test_a_pickle_that_would_run_something_is_refused_though_its_digest_is_right(tmp_path: Path, plain: bool) -> None:
    checkpoints, witness = opened(tmp_path), tmp_path / "it ran"
    checkpoints.write(1, state(1))
    loaded = {"key": KEY, "state": Ill(witness)}
    buffer = io.BytesIO()
    if plain:
        pickle.dump(loaded, buffer)
    else:
        torch.save(loaded, buffer)
    written_by_hand(file_of(checkpoints, 2), buffer.getvalue())
    assert newest_epoch(checkpoints) == 1
    (line,) = refusals(checkpoints)
    assert line.startswith("attempt-1/epoch-00002.ckpt is refused: ") and "\n" not in line
    assert not witness.exists()
    pickle.loads(pickle.dumps(Ill(witness))).close()
    assert witness.exists(), "it would have run"


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04"])
def test_what_torch_cannot_read_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    checkpoints = opened(tmp_path)
    checkpoints.write(1, state(1))
    written_by_hand(file_of(checkpoints, 2), content)
    assert newest_epoch(checkpoints) == 1
    (line,) = refusals(checkpoints)
    assert line.startswith("attempt-1/epoch-00002.ckpt is refused: ") and "\n" not in line


def test_a_removed_attempt_is_not_made_again(tmp_path: Path) -> None:
    checkpoints = opened(tmp_path)
    checkpoints.write(1, state(1))
    file_of(checkpoints, 1).unlink()
    checkpoints.folder.rmdir()
    with pytest.raises(StorageError, match=r"^.*/attempt-1: is gone$"):
        checkpoints.write(2, state(2))
    assert not checkpoints.folder.exists()


# Killed while it writes. What a kill leaves is what stands when nothing more is done: a hook raises there, and the
# temporary file that a real kill would leave beside it is put back.


class Killed(BaseException):
    """The process would have ended here."""


def kill_at(patch: pytest.MonkeyPatch, moment: str) -> None:
    """Raise before the file is on disk, before it takes its name, or before the folder is on disk."""

    def never(*_: object) -> None:
        raise Killed

    fsync, calls = os.fsync, []

    def first_or_second(handle: int) -> None:
        calls.append(handle)
        if len(calls) == {"before fsync": 1, "before the folder's fsync": 2}[moment]:
            raise Killed
        fsync(handle)

    patch.setattr(Path, "unlink", lambda *_, **__: None)  # the dead remove nothing
    if moment == "before replace":
        patch.setattr(Path, "replace", never)
    else:
        patch.setattr(os, "fsync", first_or_second)


@pytest.mark.parametrize(
    ("moment", "epoch"), [("before fsync", 2), ("before replace", 2), ("before the folder's fsync", 3)]
)
def test_a_kill_while_a_checkpoint_is_written_leaves_the_one_before_it_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, epoch: int
) -> None:
    checkpoints = opened(tmp_path)
    for written in (1, 2):
        checkpoints.write(written, state(written))
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_at(patch, moment)
        checkpoints.write(3, state(3))
    assert len(list(checkpoints.folder.iterdir())) == 3, "the two before it, and what was being written"
    successor = opened(tmp_path)
    newest, refused = successor.newest(CPU)
    assert refused == []
    assert newest is not None and newest["epoch"] == epoch
    successor.write(4, state(4))
    assert newest_epoch(successor) == 4


def test_a_disk_that_fails_leaves_the_one_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = opened(tmp_path)
    checkpoints.write(1, state(1))

    def fail(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(StorageError, match=r"^cannot write .*/epoch-00002.ckpt: No space left on device; free "):
            checkpoints.write(2, state(2))
    assert [path.name for path in checkpoints.folder.iterdir()] == ["epoch-00001.ckpt"]
    assert newest_epoch(checkpoints) == 1


def test_what_else_lies_among_the_attempts_is_no_attempt(tmp_path: Path) -> None:
    opened(tmp_path).write(1, state(1))
    (tmp_path / "attempt-2").write_text("foreign")
    (tmp_path / "attempt-x").mkdir()
    checkpoints = opened(tmp_path)
    assert checkpoints.folder.name == "attempt-3" and newest_epoch(checkpoints) == 1
