"""The actor of one worker, without a cluster: the order in which things are said, the data, the scratch folder."""

import errno
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.connection import Pipe
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from filelock import FileLock

from models.architecture import Architecture, Stage, Stem
from search.data.cache import cache_folder
from search.data.datasets import ARRAYS, load_cached
from search.protocol import STOP, Failed, Finished, Job, Lost, Measurement, Ready, Setup, Timing
from search.recipe import Recipe
from search.teaching import Lesson
from search.trained_network import TrainedNetwork
from search.workers import ray_node
from search.workers.ray_node import Bridge, DataWanted, Home, Located, Placed, read_chunks
from search.workers.ray_scratch import SCRATCH, Scratch, Written, name_of_teacher
from search.writing import write_atomically

FINGERPRINT = "0123456789abcdef" * 4
HERE = Located("node-7", "10.0.0.7")
READY = Ready("CPU", "fp32", {})
MEASURED = Measurement(1, 1.0, 0.5, 1.0, 0.5, 0.1, 1.0)
FINISHED = Finished(1.0, (0.5,), (0.25,))
NETWORK = Architecture(Stem(4), (Stage("basic", 1, 8),), in_channels=1)
RECIPE = Recipe(name="quick", epochs=2, batch_size=16)
ONE, TWO = "checkpoints/attempt-1/epoch-00001.ckpt", "checkpoints/attempt-1/epoch-00002.ckpt"


def job(checkpoints: Path | None = Path("/far/checkpoints"), keep: Path | None = None, attempt: int = 1) -> Job:
    return Job("trial 0", NETWORK, RECIPE, 0, "search", None, keep, checkpoints=checkpoints, attempt=attempt)


def leave_data(folder: Path, fingerprint: str = FINGERPRINT) -> Path:
    """A data set's cache, as decoding leaves it."""
    folder.mkdir(parents=True)
    for number, name in enumerate(ARRAYS, 1):
        images, labels = np.full((number, 8, 8, 1), number, np.uint8), np.zeros(number - 1, np.int64)
        np.save(folder / name, images if "images" in name else labels)
    dataset = {"name": "toy", "image_size": 8, "channels": 1, "classes": ["0", "1"], "fingerprint": fingerprint}
    sizes = {name: (folder / name).stat().st_size for name in ARRAYS}
    (folder / "meta.json").write_text(json.dumps(dataset | {"num_train": 1, "num_test": 3, "sizes": sizes}))
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class FakeRay:
    """Of an actor's node. Pieces in the object store are known by a number."""

    def __init__(self) -> None:
        self.stored: list[bytes] = []
        self.gets = 0
        self.util = SimpleNamespace(get_node_ip_address=lambda: "10.0.0.7")

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(get_node_id=lambda: "node-7")

    def get(self, piece: int) -> bytes:
        self.gets += 1
        return self.stored[piece]

    def put_data(self, folder: Path, size: int) -> ray_node.Chunks:
        chunks: ray_node.Chunks = {}
        for name, piece in read_chunks(folder, size):
            chunks.setdefault(name, []).append(len(self.stored))
            self.stored.append(bytes(piece))
        return chunks


class FakeWorker:
    """A worker process that says what a test lets it say, and hears what it is sent."""

    def __init__(self, setup: Setup, log: Path) -> None:
        self.setup = setup
        self.connection, self.far_end = Pipe()
        self.sent: list[Any] = []
        self.process = SimpleNamespace(returncode=-9)
        self.is_closed = False

    def says(self, *messages: Any) -> None:
        for message in messages:
            self.far_end.send(message)

    def ends(self, status: int) -> None:
        self.process.returncode = status
        self.far_end.close()

    def send(self, message: Any) -> None:
        self.sent.append(message)

    def how_it_ended(self) -> str:
        return f"it ended with {self.process.returncode}"

    def close(self) -> None:
        self.is_closed = True
        self.connection.close()
        self.far_end.close()


class Node:
    """A bridge on a faked node, and what it has around it."""

    def __init__(self, data: Path, home: Home) -> None:
        self.bridge = Bridge(Setup(data, 0, "cpu", 1), FINGERPRINT, home)
        self.stream = self.bridge.messages()
        assert next(self.stream) == HERE

    @property
    def worker(self) -> FakeWorker:
        worker = self.bridge._worker
        assert isinstance(worker, FakeWorker)
        return worker

    @property
    def folder(self) -> Path:
        """Of the running job."""
        sent = self.worker.sent[-1]
        assert isinstance(sent, Job) and sent.checkpoints is not None
        return sent.checkpoints.parent

    def placed(self) -> "Node":
        assert isinstance(next(self.stream), Placed)
        return self


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeRay:
    """Of a node with a cache, a folder for temporary files and a log of its own."""
    fake = FakeRay()
    for name in ("node-cache", "node-tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "log").write_text("Loading\n")
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "node-cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "node-tmp"))
    monkeypatch.setattr(ray_node, "import_ray", lambda: fake)
    monkeypatch.setattr(ray_node, "LocalWorker", FakeWorker)
    monkeypatch.setattr(ray_node, "LOG", tmp_path / "log")
    monkeypatch.setattr(ray_node, "SECONDS_BETWEEN_LOOKS", 0.0)
    return fake


@pytest.fixture
def make_node(ray: FakeRay, tmp_path: Path) -> Iterator[Callable[..., Node]]:
    """A node that has the data, unless told otherwise, and not the study's folder, unless it `is_shared`."""
    nodes: list[Node] = []

    def make(is_shared: bool = False, data: Path | None = None) -> Node:
        if data is None:
            data = tmp_path / "data"
            if not data.exists():
                leave_data(data)
        holder = tmp_path / "study" / "study.holder"
        holder.parent.mkdir(exist_ok=True)
        holder.write_text("process 1 on here" if is_shared else "process 1 on another machine")
        nodes.append(Node(data, Home(holder, "process 1 on here")))
        return nodes[-1]

    yield make
    for node in nodes:
        node.bridge.end()
    assert not list((tmp_path / "node-tmp").iterdir()), "a scratch folder is left behind"


# Whether the study's folder is seen.


def test_a_folder_with_the_same_holder_is_the_same(tmp_path: Path) -> None:
    holder = tmp_path / "study.holder"
    home = Home(holder, "process 1 on here")
    assert not home.is_here, "there is no such file"
    assert not Home(tmp_path / "none" / "study.holder", "").is_here, "there is no such folder"
    holder.write_text("process 2 on here")
    assert not home.is_here, "a folder of the same name holds another study"
    holder.write_text("process 1 on here")
    assert home.is_here


def test_a_folder_that_cannot_be_written_is_of_no_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    holder = tmp_path / "study.holder"
    holder.write_text("process 1 on here")
    asked: list[Any] = []

    def access(path: Path, mode: int) -> bool:  # root may write everywhere
        asked.append((path, mode))
        return False

    monkeypatch.setattr(os, "access", access)
    assert not Home(holder, "process 1 on here").is_here
    assert asked == [(tmp_path, os.W_OK)]


# What is said, and in which order.


def test_a_worker_that_has_its_data_and_the_study_is_passed_on_as_it_is(make_node: Callable[..., Node]) -> None:
    node = make_node(is_shared=True)
    assert next(node.stream) == Placed(is_shared=True)
    node.worker.says(READY, MEASURED)
    assert [next(node.stream) for _ in range(2)] == [READY, MEASURED]
    shared = job(Path("/shared/checkpoints"))
    for message in (shared, STOP):
        node.bridge.send(message, {})
    assert node.worker.sent == [shared, STOP]


def test_a_node_without_data_asks_for_it_before_it_has_a_worker(
    make_node: Callable[..., Node], ray: FakeRay, tmp_path: Path
) -> None:
    source = leave_data(tmp_path / "source")
    node = make_node(data=tmp_path / "nowhere")
    assert next(node.stream) == DataWanted()
    assert node.bridge._worker is None
    assert not list((tmp_path / "node-tmp").iterdir()), "it may be killed as long as it has no place"
    node.bridge.give_data(ray.put_data(source, 100))
    assert next(node.stream) == Placed(is_shared=False)
    assert node.worker.setup == Setup(cache_folder() / f"from-cluster-{FINGERPRINT[:16]}", 0, "cpu", 1)


def test_data_that_cannot_be_written_is_a_failure_in_one_line(
    make_node: Callable[..., Node], ray: FakeRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "file" / "cache"))
    node = make_node(data=tmp_path / "nowhere")
    assert next(node.stream) == DataWanted()
    node.bridge.give_data(ray.put_data(leave_data(tmp_path / "source"), 100))
    cache = str(tmp_path / "file" / "cache")
    reason = f"cannot write the data cache {cache!r}: Not a directory; set NAS_CACHE to another folder"
    assert list(node.stream) == [Failed(reason)]


def test_a_cache_whose_lock_cannot_be_had_is_a_failure_in_one_line(
    make_node: Callable[..., Node], ray: FakeRay, tmp_path: Path
) -> None:
    (cache_folder() / f".from-cluster-{FINGERPRINT[:16]}.lock").mkdir()
    node = make_node(data=tmp_path / "nowhere")
    next(node.stream)
    node.bridge.give_data(ray.put_data(leave_data(tmp_path / "source"), 100))
    (failed,) = node.stream
    assert isinstance(failed, Failed) and failed.reason.startswith("cannot write the data cache ")


def test_what_a_job_has_written_is_passed_on_ahead_of_what_it_says_next(make_node: Callable[..., Node]) -> None:
    node = make_node().placed()
    node.worker.says(READY)
    assert next(node.stream) == READY
    node.bridge.send(job(keep=Path("/far/keep")), {ONE: b"one"})
    write_atomically(node.folder / TWO, b"two")
    (node.folder / ONE).unlink()
    node.worker.says(MEASURED)
    assert [next(node.stream) for _ in range(2)] == [Written({TWO: b"two"}, (ONE,)), MEASURED]
    write_atomically(node.folder / "keep" / "weights.safetensors", b"weights")
    node.worker.says(FINISHED)
    assert [next(node.stream) for _ in range(2)] == [Written({"keep/weights.safetensors": b"weights"}, ()), FINISHED]


def test_what_a_silent_worker_writes_is_passed_on_as_well(make_node: Callable[..., Node]) -> None:
    node = make_node().placed()
    node.bridge.send(job(), {})
    write_atomically(node.folder / ONE, b"one")
    assert next(node.stream) == Written({ONE: b"one"}, ())


def test_a_worker_that_is_lost_has_its_last_checkpoint_passed_on_before(make_node: Callable[..., Node]) -> None:
    node = make_node().placed()
    node.bridge.send(job(), {})
    node.worker.says(MEASURED)
    write_atomically(node.folder / ONE, b"one")
    node.worker.ends(-9)
    assert list(node.stream) == [Written({ONE: b"one"}, ()), MEASURED, Lost("it ended with -9")]


def test_a_worker_that_python_ended_is_lost_with_what_python_said_last(
    make_node: Callable[..., Node], tmp_path: Path
) -> None:
    with (tmp_path / "log").open("a") as log:
        log.write("Traceback (most recent call last):\n  in x\nModuleNotFoundError: no\xff module\n\n")
    for status, why in ((1, ": ModuleNotFoundError: no\xff module"), (0, ""), (-11, "")):
        node = make_node().placed()
        node.worker.ends(status)
        assert list(node.stream) == [Lost(f"it ended with {status}{why}")]


def test_a_worker_whose_log_is_no_file_or_empty_is_lost_all_the_same(
    make_node: Callable[..., Node], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").touch()
    for log in (tmp_path / "none", tmp_path, tmp_path / "empty"):
        monkeypatch.setattr(ray_node, "LOG", log)
        node = make_node().placed()
        node.worker.ends(1)
        assert list(node.stream) == [Lost("it ended with 1")]


def test_tasks_without_files_and_jobs_without_checkpoints_go_through(make_node: Callable[..., Node]) -> None:
    node = make_node().placed()
    timing = Timing((NETWORK,), RECIPE)
    node.bridge.send(timing, {})
    node.bridge.send(job(checkpoints=None), {})
    assert node.worker.sent == [timing, job(checkpoints=None)]


def test_a_job_whose_files_cannot_be_written_is_refused_and_half_a_file_does_not_travel_back(
    make_node: Callable[..., Node],
) -> None:
    """Else nobody would hear of it, and the job be waited for."""
    node = make_node().placed()
    whole = Path.write_bytes

    def full(path: Path, written: bytes) -> int:
        whole(path, written[: len(written) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        node.bridge.send(job(), {ONE: b"checkpoint"})
    reason = "No space left on device; free some room on that disk and run the same command again"
    assert next(node.stream) == Failed(f"cannot write a job's files on its node: {reason}", "worker")
    assert node.worker.sent == []


def test_the_end_of_a_bridge_is_that_of_its_worker_and_its_folder(
    make_node: Callable[..., Node], tmp_path: Path
) -> None:
    node = make_node().placed()
    node.bridge.send(job(), {ONE: b"one"})
    assert len(list((tmp_path / "node-tmp").iterdir())) == 1
    node.bridge.end()
    assert node.worker.is_closed
    assert not list((tmp_path / "node-tmp").iterdir())
    make_node(is_shared=True).bridge.end()  # of one that has not been placed


# The data.


def own_copy() -> Path:
    return cache_folder() / f"from-cluster-{FINGERPRINT[:16]}"


def test_data_is_taken_where_it_is_the_same_the_coordinators_first(
    make_node: Callable[..., Node], tmp_path: Path
) -> None:
    node = make_node(data=tmp_path / "there")
    assert node.bridge._find_data() is None, "neither is there"
    leave_data(tmp_path / "there", fingerprint="f" * 64)
    assert node.bridge._find_data() is None, "that folder holds another data set here"
    leave_data(own_copy())
    assert node.bridge._find_data() == own_copy()
    same = make_node(data=leave_data(tmp_path / "same"))
    assert same.bridge._find_data() == tmp_path / "same"


def test_an_own_copy_of_other_or_damaged_data_is_not_taken(make_node: Callable[..., Node], tmp_path: Path) -> None:
    node = make_node(data=tmp_path / "nowhere")
    leave_data(own_copy(), fingerprint=FINGERPRINT[:16] + "f" * 48)
    assert node.bridge._find_data() is None
    (own_copy() / "meta.json").unlink()
    assert node.bridge._find_data() is None


@pytest.mark.parametrize("size", [1, 100, 256, 10_000])
def test_data_that_travels_in_pieces_arrives_as_it_was(
    make_node: Callable[..., Node], ray: FakeRay, tmp_path: Path, size: int
) -> None:
    source = leave_data(tmp_path / "source")
    folder = make_node(data=tmp_path / "nowhere").bridge._fetch_data(ray.put_data(source, size))
    assert folder == own_copy() and content(folder) == content(source)
    assert load_cached(folder).fingerprint == FINGERPRINT
    assert len(list(cache_folder().iterdir())) == 2, "the data and its lock"


def test_a_damaged_copy_is_fetched_anew(make_node: Callable[..., Node], ray: FakeRay, tmp_path: Path) -> None:
    source = leave_data(tmp_path / "source")
    (leave_data(own_copy()) / ARRAYS[0]).write_bytes(b"cut short")
    folder = make_node(data=tmp_path / "nowhere").bridge._fetch_data(ray.put_data(source, 100))
    assert content(folder) == content(source)


def test_a_worker_that_waited_while_another_fetched_the_data_does_not_fetch_it_again(
    make_node: Callable[..., Node], ray: FakeRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks = ray.put_data(leave_data(tmp_path / "source"), 100)
    entered: list[str] = []
    second_waits = threading.Event()
    get = ray.get

    class WatchedLock(FileLock):
        def __enter__(self) -> Any:
            entered.append(self.lock_file)
            if len(entered) == 2:
                second_waits.set()
            return super().__enter__()

    def slow(piece: int) -> bytes:
        assert second_waits.wait(60), "the second worker did not ask for the lock"
        return get(piece)

    monkeypatch.setattr(ray_node, "FileLock", WatchedLock)
    monkeypatch.setattr(ray, "get", slow)
    fetched: list[Path] = []
    workers = [
        threading.Thread(target=lambda node: fetched.append(node.bridge._fetch_data(chunks)), args=(node,))
        for node in (make_node(data=tmp_path / "nowhere"), make_node(data=tmp_path / "nowhere"))
    ]
    for each in workers:
        each.start()
    for each in workers:
        each.join(60)
    assert fetched == [own_copy()] * 2
    assert len(set(entered)) == 1
    assert ray.gets == len(ray.stored), "every piece once"


@pytest.mark.parametrize("size", [1, 100, 256, 512, 10_000])
def test_pieces_are_as_large_as_they_may_be_and_meta_json_comes_last(tmp_path: Path, size: int) -> None:
    source = leave_data(tmp_path / "source")
    found: dict[str, list[bytes]] = {}
    for name, piece in read_chunks(source, size):
        found.setdefault(name, []).append(bytes(piece))
    assert list(found) == [*ARRAYS, "meta.json"]
    for name, pieces in found.items():
        assert b"".join(pieces) == (source / name).read_bytes()
        assert {len(piece) for piece in pieces[:-1]} <= {size} and 0 < len(pieces[-1]) <= size


# The scratch folder.


@pytest.fixture
def scratch() -> Iterator[Scratch]:
    made = Scratch(is_shared=False)
    yield made
    made.close()


def adopted(scratch: Scratch, files: dict[str, bytes] | None = None, attempt: int = 1) -> Path:
    """The folder of a new job."""
    job_here = scratch.adopt(job(attempt=attempt), files or {})
    assert job_here.checkpoints is not None
    return job_here.checkpoints.parent


def test_a_job_finds_its_checkpoints_and_the_folder_of_its_attempt(scratch: Scratch) -> None:
    far = job(keep=Path("/far/keep"), attempt=2)
    here = scratch.adopt(far, {ONE: b"one", TWO: b"two"})
    assert here.checkpoints is not None and here.keep is not None
    assert (here.checkpoints / "attempt-1" / "epoch-00001.ckpt").read_bytes() == b"one"
    assert (here.checkpoints / "attempt-1" / "epoch-00002.ckpt").read_bytes() == b"two"
    assert (here.checkpoints / "attempt-2").is_dir()
    assert here.keep.parent == here.checkpoints.parent
    assert here == job(here.checkpoints, here.keep, attempt=2), "all else is as it was"
    assert scratch.changes() is None, "what came from the coordinator does not go back"


def test_a_job_that_keeps_no_weights_or_checkpoints_does_not_do_so_here(scratch: Scratch) -> None:
    assert scratch.adopt(job(checkpoints=None), {}) == job(checkpoints=None)
    assert scratch.adopt(job(), {}).keep is None


def test_where_checkpoints_go_into_the_study_the_weights_alone_are_told_of(tmp_path: Path) -> None:
    scratch, shared = Scratch(is_shared=True), tmp_path / "study"
    here = scratch.adopt(job(shared, keep=Path("/far/keep")), {})
    assert here.keep is not None and here == job(shared, keep=here.keep) and not shared.exists()
    write_atomically(here.keep / "weights.safetensors", b"weights")
    assert scratch.changes() == Written({"keep/weights.safetensors": b"weights"}, ())
    scratch.close()
    assert not here.keep.exists()


def test_the_weights_of_teachers_lie_here_and_do_not_go_back(scratch: Scratch) -> None:
    teacher = TrainedNetwork(NETWORK, Path("/far/weights.safetensors"), (0.5,), (0.25,), "fp32")
    taught = replace(job(), lesson=Lesson((teacher, teacher), 4.0, 0.9, "digest"))
    here = scratch.adopt(taught, {name_of_teacher(place): bytes([place]) for place in range(2)})
    assert here.lesson is not None
    assert [network.weights.read_bytes() for network in here.lesson.networks] == [b"\0", b"\1"]
    assert replace(here.lesson, networks=taught.lesson.networks) == taught.lesson  # type: ignore[union-attr]
    assert scratch.changes() is None


def test_what_killed_processes_have_left_is_removed_and_nothing_else(ray: FakeRay) -> None:
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    folder = Path(tempfile.gettempdir())
    left, living, other = (
        folder / f"{SCRATCH}{name}-x" for name in (ended.stdout.strip(), str(os.getpid()), "somebody")
    )
    for each in (left, living, other):
        each.mkdir()
        (each / "file").touch()
    Scratch(is_shared=False).close()
    assert sorted(folder.iterdir()) == sorted([living, other])


@pytest.mark.parametrize(("is_shared", "blame"), [(True, "disk"), (False, "worker")])
def test_a_full_disk_of_the_node_alone_is_the_workers_fault(
    make_node: Callable[..., Node], is_shared: bool, blame: str
) -> None:
    node = make_node(is_shared=is_shared).placed()
    node.worker.says(Failed("no space", "disk"))
    assert next(node.stream) == Failed("no space", blame)


def test_files_are_told_of_when_they_are_new_have_changed_or_are_gone(scratch: Scratch) -> None:
    assert scratch.changes() is None, "there is no job yet"
    folder = adopted(scratch, {ONE: b"one"})
    write_atomically(folder / TWO, b"two")
    assert scratch.changes() == Written({TWO: b"two"}, ())
    assert scratch.changes() is None
    write_atomically(folder / TWO, b"2.0")  # as long as before, at another time, however coarse the system's clock is
    os.utime(folder / TWO, ns=(1, 1))
    (folder / ONE).unlink()
    assert scratch.changes() == Written({TWO: b"2.0"}, (ONE,))
    (folder / TWO).unlink()
    assert scratch.changes() == Written({}, (TWO,))
    assert scratch.changes() is None


def test_files_that_are_not_whole_yet_and_folders_are_not_told_of(scratch: Scratch) -> None:
    folder = adopted(scratch)
    half = folder / "checkpoints" / "attempt-1" / ".epoch-00001.ckpt.x7"
    half.write_bytes(b"hal")
    (folder / "keep").mkdir()
    assert scratch.changes() is None
    half.rename(folder / ONE)
    assert scratch.changes() == Written({ONE: b"hal"}, ())


@pytest.fixture
def vanish(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets the file that ends so vanish when it is about to be read, once."""
    read = Path.read_bytes

    def arrange(end: str) -> None:
        def read_bytes(path: Path) -> bytes:
            if path.as_posix().endswith(end):
                path.unlink(missing_ok=True)
            return read(path)

        monkeypatch.setattr(Path, "read_bytes", read_bytes)

    return arrange


def test_a_new_file_that_vanishes_before_it_is_read_is_not_told_of(
    scratch: Scratch, vanish: Callable[[str], None]
) -> None:
    folder = adopted(scratch)
    write_atomically(folder / ONE, b"one")
    write_atomically(folder / TWO, b"two")
    vanish(ONE)
    assert scratch.changes() == Written({TWO: b"two"}, ())
    assert scratch.changes() is None
    write_atomically(folder / "keep" / ONE, b"one")
    assert scratch.changes() is None, "alone neither"


def test_a_file_that_was_told_of_and_vanishes_before_it_is_read_again_is_gone_at_the_next_look(
    scratch: Scratch, vanish: Callable[[str], None]
) -> None:
    folder = adopted(scratch, {ONE: b"one"})
    write_atomically(folder / ONE, b"another one")
    vanish(ONE)
    assert scratch.changes() is None
    assert scratch.changes() == Written({}, (ONE,))
    assert scratch.changes() is None


def test_an_older_checkpoint_is_not_gone_before_the_one_that_replaced_it_is_there(
    scratch: Scratch, vanish: Callable[[str], None]
) -> None:
    """The coordinator would have none at all, should the node be lost then."""
    folder = adopted(scratch, {ONE: b"one"})
    three = TWO.replace("2", "3")
    write_atomically(folder / TWO, b"two")
    (folder / ONE).unlink()
    vanish(TWO)  # since the worker is quick
    assert scratch.changes() is None
    write_atomically(folder / three, b"three")
    assert scratch.changes() == Written({three: b"three"}, (ONE,))


def test_a_file_that_vanishes_while_it_is_looked_for_is_not_there(
    scratch: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = adopted(scratch)
    write_atomically(folder / ONE, b"one")
    is_file = Path.is_file

    def once_more(path: Path) -> bool:
        found = is_file(path)
        path.unlink(missing_ok=True) if found else None
        return found

    monkeypatch.setattr(Path, "is_file", once_more)
    assert scratch.changes() is None


def test_what_an_earlier_job_wrote_is_removed_by_the_next_and_not_told_of(scratch: Scratch) -> None:
    first = adopted(scratch)
    write_atomically(first / ONE, b"one")
    assert scratch.changes() == Written({ONE: b"one"}, ())
    second = adopted(scratch)
    assert second != first and not first.exists()
    assert scratch.changes() is None, "the names of the first are not gone from the second"
    write_atomically(second / ONE, b"one")
    assert scratch.changes() == Written({ONE: b"one"}, ())


def test_a_scratch_folder_that_is_closed_is_gone_with_all_it_held() -> None:
    scratch = Scratch(is_shared=False)
    folder = adopted(scratch, {ONE: b"one"})
    scratch.close()
    assert not folder.parent.exists()
