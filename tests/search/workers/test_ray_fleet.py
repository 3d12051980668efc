"""Workers on a real cluster of two nodes on this machine: what is lost goes on elsewhere, and nothing stays behind."""

import json
import os
import secrets
import shlex
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from sysconfig import get_path
from types import SimpleNamespace
from typing import Any

import pytest
from optuna.trial import TrialState

from models.architecture import Architecture, Stage, Stem
from search.data.datasets import Dataset, open_dataset
from search.errors import InputError, StorageError, TrainingError
from search.files import StudyFiles
from search.identity import Identity
from search.protocol import OPEN, PAUSE, STOP, Job, Lost, Measurement, Ready, Setup, Timing
from search.recipe import Recipe, with_epochs
from search.recipes import FAST
from search.run import launch
from search.run.candidates import Candidate
from search.run.listener import Observer
from search.run.plans import fit_recipe
from search.sealed import seal
from search.space.space import Space
from search.study.plan import Circumstances, Data, Plan, Question
from search.study.storage import locked, read_study
from search.teaching import Lesson
from search.trained_network import TrainedNetwork
from search.workers import machine, ray_fleet
from search.workers import ray_cluster as cluster
from search.workers.machine import Machine
from search.workers.ray_cluster import Cluster, connect
from search.workers.ray_fleet import RayFleet
from search.workers.ray_node import DataWanted, Home, Located, Placed
from search.workers.ray_scratch import Written
from search.workers.ray_worker import RayWorker, newest_checkpoints, own_path

NETWORK = Architecture(Stem(4), (Stage("basic", 1, 8),), in_channels=1)
BUDGET = 20_000
SPACE = Space.model_validate(
    {
        "stem": {"width": [8, 16], "stride": 2},
        "num_stages": [1, 2],
        "stage": {"block": ["basic"], "depth": [1, 2], "width": [8, 16, 24]},
        "shortcut": ["b"],
    }
)
PATIENCE = 120.0  # seconds
EPOCHS = 6
NUM_TRIALS = 6
NAS = Path(get_path("scripts")) / "nas"


def job(folder: Path | None = None, keep: Path | None = None) -> Job:
    recipe = Recipe(name="quick", epochs=2, batch_size=16)
    return Job("trial 0", NETWORK, recipe, 0, "search", None, keep, checkpoints=folder)


# Without a cluster: fakes in the place of Ray.


class Sent:
    """The remote methods of an actor, which write down their calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return SimpleNamespace(remote=lambda *arguments: self.calls.append((name, *arguments)))


HERE = Located("node", "10.0.0.1")


def worker(is_shared: bool = False) -> tuple[RayWorker, Sent]:
    actor = Sent()
    handle = RayWorker(actor, "stream")
    handle.located, handle.placed = HERE, Placed(is_shared)
    return handle, actor


def test_words_and_tasks_go_to_the_actor_one_way_and_so_in_order() -> None:
    handle, actor = worker()
    timing = Timing((NETWORK,), job().recipe)
    handle.start(timing)
    handle.stop()
    handle.pause()
    handle.open()
    assert actor.calls == [("send", timing, {}), ("send", STOP, {}), ("send", PAUSE, {}), ("send", OPEN, {})]


def test_a_job_takes_its_checkpoints_along_where_the_node_does_not_see_them(tmp_path: Path) -> None:
    (tmp_path / "attempt-1").mkdir()
    (tmp_path / "attempt-1" / "epoch-00002.ckpt").write_bytes(b"two")
    for is_shared, files in ((False, {"checkpoints/attempt-1/epoch-00002.ckpt": b"two"}), (True, {})):
        handle, actor = worker(is_shared)
        handle.start(job(tmp_path))
        assert actor.calls == [("send", job(tmp_path), files)]


@pytest.mark.parametrize("is_shared", [True, False])
def test_a_job_takes_the_weights_of_its_teachers_along(tmp_path: Path, is_shared: bool) -> None:
    (tmp_path / "weights").write_bytes(b"weights")
    teacher = TrainedNetwork(NETWORK, tmp_path / "weights", (0.5,), (0.25,), "fp32")
    taught = replace(job(), lesson=Lesson((teacher,), 4.0, 0.9, "digest"))
    handle, actor = worker(is_shared)
    handle.start(taught)
    assert actor.calls == [("send", taught, {"teachers/0/weights.safetensors": b"weights"})]
    (tmp_path / "weights").unlink()
    with pytest.raises(StorageError, match="the weights of a teacher cannot be read"):
        handle.start(taught)


def test_a_job_has_whole_paths_wherever_the_command_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    handle, actor = worker(is_shared=True)
    handle.start(job(Path("studies/a"), Path("kept")))
    assert actor.calls == [("send", job(tmp_path / "studies" / "a", tmp_path / "kept"), {})]


def leave_checkpoints(folder: Path, epochs_of: dict[int, tuple[int, ...]]) -> None:
    """The checkpoints of attempts; negative epochs are damaged."""
    for attempt, epochs in epochs_of.items():
        (folder / f"attempt-{attempt}").mkdir()
        for epoch in epochs:
            content = seal(b"%d" % abs(epoch))
            path = folder / f"attempt-{attempt}" / f"epoch-{abs(epoch):05d}.ckpt"
            path.write_bytes(content if epoch > 0 else content[:-1])


def travelling(folder: Path) -> list[tuple[int, int]]:
    """The attempt and the epoch of every checkpoint that travels."""
    names = [name.split("/") for name in newest_checkpoints(folder)]
    return [(int(attempt.removeprefix("attempt-")), int(file[6:11])) for _, attempt, file in names]


def test_the_newest_checkpoints_travel_whatever_attempt_wrote_them(tmp_path: Path) -> None:
    assert newest_checkpoints(tmp_path / "none") == {}
    leave_checkpoints(tmp_path, {2: (1, 2), 10: (4, 5), 11: (), 12: (6,)})
    (tmp_path / "attempt-11" / ".epoch-00006.ckpt.x").write_bytes(b"half")
    (tmp_path / "attempt-x").mkdir()
    (tmp_path / "attempt-13").write_text("no folder")
    (tmp_path / "attempt-11" / "epoch-00007.ckpt").mkdir()
    assert travelling(tmp_path) == [(12, 6), (10, 5)]
    assert newest_checkpoints(tmp_path)["checkpoints/attempt-12/epoch-00006.ckpt"] == seal(b"6")


@pytest.mark.parametrize(
    ("epochs_of", "expected"),
    [
        ({1: (1, 2), 2: (-3,)}, [(2, 3), (1, 2), (1, 1)]),
        ({1: (1, 2), 2: (3, -4)}, [(2, 4), (2, 3), (1, 2)]),
        ({1: (1, 2), 2: (-3,), 3: (-4,), 4: (-5, -6)}, [(4, 6), (4, 5), (3, 4), (2, 3), (1, 2), (1, 1)]),
        ({1: (-1,)}, [(1, 1)]),
    ],
)
def test_a_damaged_checkpoint_does_not_keep_an_older_good_one_from_travelling(
    tmp_path: Path, epochs_of: dict[int, tuple[int, ...]], expected: list[tuple[int, int]]
) -> None:
    leave_checkpoints(tmp_path, epochs_of)
    assert travelling(tmp_path) == expected


def test_what_a_job_writes_arrives_and_what_it_removes_goes(tmp_path: Path) -> None:
    checkpoints, keep = tmp_path / "checkpoints", tmp_path / "seed-0"
    handle, _ = worker()
    handle.start(job(checkpoints, keep))
    (checkpoints / "attempt-1").mkdir(parents=True)
    one, two = "checkpoints/attempt-1/epoch-00001.ckpt", "checkpoints/attempt-1/epoch-00002.ckpt"
    handle.save(Written({one: b"one", "keep/weights.safetensors": b"weights"}, ()))
    assert (checkpoints / "attempt-1" / "epoch-00001.ckpt").read_bytes() == b"one"
    handle.save(Written({two: b"two"}, (one,)))
    assert [path.name for path in (checkpoints / "attempt-1").iterdir()] == ["epoch-00002.ckpt"]
    assert (keep / "weights.safetensors").read_bytes() == b"weights"


def test_checkpoints_of_an_attempt_that_nobody_wants_any_more_are_not_written(tmp_path: Path) -> None:
    handle, _ = worker()
    handle.start(job(tmp_path / "checkpoints"))
    name = "checkpoints/attempt-1/epoch-00001.ckpt"
    handle.save(Written({name: b"late"}, (name,)))
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize(
    "name",
    ["checkpoints/../x", "checkpoints//etc/x", "checkpoints/a/../../x", "keep/x", "x", "../x", "/x", "", "checkpoints",
     "checkpoints/", "checkpoints/./x", "models/x"],
)  # fmt: skip
def test_a_name_that_leads_out_of_the_jobs_folders_is_refused(tmp_path: Path, name: str) -> None:
    roots = {"checkpoints": tmp_path, "keep": None}
    with pytest.raises(StorageError, match=r"^a worker wrote '.*', which is no file of its job$"):
        own_path(roots, name)
    assert own_path(roots, "checkpoints/attempt-1/..ckpt") == tmp_path / "attempt-1" / "..ckpt"


class Stream:
    """What an actor says: values, and errors that are raised in their place."""

    def __init__(self, said: list[Any]) -> None:
        self.said = said

    def __next__(self) -> Any:
        return self.said.pop(0)


class FakeRay:
    """As much of Ray as a fleet asks for: one node of four CPUs; actors are said to have what `streams` holds next."""

    class RayError(Exception):
        pass

    class RayActorError(RayError):
        def __init__(self, text: str, actor_init_failed: bool = False) -> None:
            super().__init__(text)
            self.actor_init_failed = actor_init_failed

    class ActorUnavailableError(RayActorError):
        pass

    def __init__(self) -> None:
        self.exceptions = self
        self.streams: list[Stream] = []
        self.actors: list[Sent] = []
        self.selectors: list[str | None] = []  # where each actor may be
        self.killed: list[Sent] = []
        self.waited: list[int] = []
        self.is_down = False
        self.is_alive = True
        self.head = "127.0.0.1:1"
        self.num_cpus = 4.0
        self.others: list[str] = []  # nodes of four CPUs as well

    def nodes(self) -> list[dict[str, Any]]:
        node = {"NodeID": "node", "NodeManagerAddress": "10.0.0.1", "Resources": {"CPU": self.num_cpus}}
        others = [node | {"NodeID": name, "NodeManagerAddress": f"address of {name}"} for name in self.others]
        return [each | {"Alive": self.is_alive} for each in (node, *others)]

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(gcs_address=self.head)

    def remote(self, **_: Any) -> Any:
        def make(*_: Any) -> Any:
            actor = Sent()
            stream = self.streams.pop(0) if self.streams else Stream([])
            said = SimpleNamespace(remote=lambda: stream)
            actor.messages = SimpleNamespace(options=lambda **_: said)  # type: ignore[attr-defined]
            self.actors.append(actor)
            return actor

        def options(label_selector: dict[str, str] | None = None) -> Any:
            def make_there(*arguments: Any) -> Any:
                self.selectors.append(label_selector["ray.io/node-id"] if label_selector else None)
                return make(*arguments)

            return SimpleNamespace(remote=make_there)

        return lambda _: SimpleNamespace(options=options)

    def wait(self, refs: list[Any], num_returns: int, timeout: float) -> tuple[list[Any], list[Any]]:
        if refs and not isinstance(refs[0], Stream):
            self.waited.append(len(refs))
        return [each for each in refs if isinstance(each, Stream) and each.said][:1], []

    def get(self, value: Any) -> Any:
        if isinstance(value, Exception):
            raise value
        return value

    def put(self, value: Any) -> Any:
        return bytes(value)

    def kill(self, actor: Sent) -> None:
        self.killed.append(actor)

    def shutdown(self) -> None:
        self.is_down = True


PLACED = Placed(False)
READY = Ready("CPU", "fp32", {})
GONE = FakeRay.RayActorError("The actor died because its node has died. Node Id: 1")
DEAD = FakeRay.RayActorError("The actor is dead because its worker process has died. Causes of node deaths: (1)")
RAISED = FakeRay.RayActorError('in ray_node.py line 1\nModuleNotFoundError: No module named "filelock"', True)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRay]:
    ray = FakeRay()
    monkeypatch.setattr(ray_fleet, "import_ray", lambda: ray)
    monkeypatch.setattr("search.workers.ray_cluster.import_ray", lambda: ray)
    with closing(socket.create_server(("127.0.0.1", 0))) as head:
        ray.head = f"127.0.0.1:{head.getsockname()[1]}"
        yield ray


@pytest.fixture
def make_fleet(fake: FakeRay, files: StudyFiles, tmp_path: Path) -> Callable[..., tuple[RayFleet, list[str]]]:
    def make(*streams: list[Any], num_workers: int | None = None, most: int = 100) -> tuple[RayFleet, list[str]]:
        fake.streams = [Stream(each) for each in streams]
        data = tmp_path / "data"
        data.mkdir()
        for name in ("train-images.npy", "train-labels.npy", "test-images.npy", "test-labels.npy", "meta.json"):
            (data / name).write_bytes(name.encode())
        dataset = Dataset("toy", data, 8, 1, ("0", "1"), "f" * 64, 1, 1)
        said: list[str] = []
        setup = Setup(data, 0, "cpu", 1)
        with locked(files):
            return RayFleet(Cluster("auto", said.append), 0.0, setup, dataset, num_workers, most, files), said

    return make


def test_there_is_a_worker_for_every_place_unless_there_are_fewer_runs(
    fake: FakeRay, make_fleet: Callable[..., tuple[RayFleet, list[str]]]
) -> None:
    _, said = make_fleet(most=3)
    assert len(fake.actors) == 3
    assert said == ["ray: 4 places for workers of 1 CPU; the cluster offers 4 CPU and 0 GPU on 10.0.0.1"]


def test_as_many_workers_as_were_asked_for_wait_for_a_place(
    fake: FakeRay, make_fleet: Callable[..., tuple[RayFleet, list[str]]]
) -> None:
    fleet, _ = make_fleet([HERE, PLACED, READY], num_workers=50)
    assert len(fake.actors) == 50 and fleet.workers == []
    assert [fleet.receive(0.0) for _ in range(2)] == [None] * 2
    assert len(fleet.workers) == 1
    fleet.close()
    assert fake.waited == [1], "those that have no place have no worker process to end"
    assert len(fake.killed) == 50 and fake.is_down


def test_places_that_nodes_bring_are_used_and_the_lack_of_any_is_said(
    fake: FakeRay, make_fleet: Callable[..., tuple[RayFleet, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(ray_fleet, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=lambda _: None))
    fleet, said = make_fleet()
    del said[:]
    fake.num_cpus = 6.0
    now[0] = ray_fleet.SECONDS_BETWEEN_LOOKS - 0.1
    fleet.receive(0.0)
    assert len(fake.actors) == 4
    now[0] = ray_fleet.SECONDS_BETWEEN_LOOKS
    fleet.receive(0.0)
    assert len(fake.actors) == 6 and said == []
    now[0] = ray_fleet.SECONDS_OF_SILENCE
    fleet.receive(0.0)
    assert said == ["ray: no worker is ready; one needs 1 CPU, and the data"]


def test_a_cluster_whose_head_is_gone_for_three_looks_is_given_up_and_not_asked_any_more(
    fake: FakeRay, make_fleet: Callable[..., tuple[RayFleet, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(ray_fleet, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=lambda _: None))
    fleet, _ = make_fleet([PLACED], num_workers=1)
    there, nowhere = fake.head, "127.0.0.1:1"
    for fake.head in (nowhere, nowhere, there, nowhere, nowhere):
        now[0] += ray_fleet.SECONDS_BETWEEN_LOOKS
        assert fleet.receive(0.0) is None
    now[0] += ray_fleet.SECONDS_BETWEEN_LOOKS
    with pytest.raises(TrainingError, match=r"^ray = auto: the cluster's head does not answer any more; [^\n]*$"):
        fleet.receive(0.0)
    fleet.close()
    assert fake.waited == [] and fake.killed == [] and fake.is_down


@pytest.mark.parametrize("error", [FakeRay.RayError("the store is full\nmuch more"), OSError("the store is full")])
def test_what_a_cluster_refuses_is_one_line(
    fake: FakeRay, make_fleet: Callable[..., tuple[RayFleet, list[str]]], error: Exception
) -> None:
    def refuse(*_: Any) -> None:
        raise error

    fleet, _ = make_fleet([DataWanted()], num_workers=1)
    fake.put = refuse  # type: ignore[method-assign]
    with pytest.raises(TrainingError) as caught:
        fleet.receive(0.0)
    assert str(caught.value) == "ray: the cluster failed: the store is full; run the same command again"


NO_START = Lost("no torch")


class Timed:
    """A fleet on a cluster of the nodes 'node' and 'good', of four places each, in time that a test lets pass."""

    def __init__(self, fake: FakeRay, make: Callable[..., tuple[RayFleet, list[str]]], patch: Any, **how: Any) -> None:
        self.now = 0.0
        patch.setattr(ray_fleet, "time", SimpleNamespace(monotonic=lambda: self.now, sleep=lambda _: None))
        fake.others = ["good"]
        self.fake = fake
        self.fleet, self.said = make([HERE, PLACED, NO_START], **how)
        heard = [self.fleet.receive(0.0) for _ in range(3)][-1]
        assert heard is not None and heard[1] == NO_START
        self.failed = heard[0]

    def passes(self, seconds: float) -> list[str | None]:
        """Returns where the actors that are new may be."""
        self.now += seconds
        before = len(self.fake.actors)
        self.fleet.receive(0.0)
        return self.fake.selectors[before:]


def test_a_node_where_no_worker_can_start_is_left_out_for_a_while(
    fake: FakeRay, make_fleet: Callable[..., tuple[RayFleet, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    timed = Timed(fake, make_fleet, monkeypatch)
    assert len(fake.actors) == 8
    timed.fleet.dismiss(timed.failed, "no torch")
    assert timed.said[-1] == "ray: a worker on node 10.0.0.1 could not start; none is tried there for 60 s: no torch"
    assert timed.failed not in timed.fleet.workers and len(fake.killed) == 1
    assert timed.passes(59.0) == [], "there are workers for all four places that are left"
    assert timed.passes(10.0) == [None]


def test_with_a_number_of_workers_the_place_of_a_dismissed_one_is_filled_elsewhere_at_once(
    fake: FakeRay, make_fleet: Callable[..., tuple[RayFleet, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    timed = Timed(fake, make_fleet, monkeypatch, num_workers=3)
    timed.fleet.dismiss(timed.failed, "no torch")
    assert timed.passes(10.0) == ["!in(node)"]
    assert timed.passes(10.0) == []
    assert timed.passes(40.0) == [None], "it still waits for a place, and may now be anywhere again"
    assert len(fake.actors) - len(fake.killed) == 3


def test_whether_others_are_on_their_way_is_known(
    fake: FakeRay, make_fleet: Callable[..., tuple[RayFleet, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    timed = Timed(fake, make_fleet, monkeypatch, num_workers=2)
    fleet = timed.fleet
    assert fleet.expects_more, "the second has no place yet"
    fake.others = []
    assert fleet.expects_more, "and might get one on this node"
    fleet.dismiss(timed.failed, "no torch")
    assert not fleet.expects_more, "where none can start"
    fake.others = ["good"]
    assert fleet.expects_more
    fake.others = []
    (waiting,) = fleet._by_stream.values()
    waiting.located = Located("good", "10.0.0.2")
    assert fleet.expects_more, "it is being given the data"
    waiting.placed = PLACED
    assert not fleet.expects_more, "it is there"


def test_a_node_where_a_worker_has_started_after_all_is_left_out_no_longer(
    fake: FakeRay, make_fleet: Callable[..., tuple[RayFleet, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    timed = Timed(fake, make_fleet, monkeypatch, num_workers=2)
    timed.fleet.dismiss(timed.failed, "no torch")
    (other,) = timed.fleet._by_stream.values()
    other.stream.said += [HERE, PLACED, READY]
    assert [timed.fleet.receive(0.0) for _ in range(3)] == [None, None, (other, READY)]
    assert timed.passes(10.0) == [None], "the new one may be on that node"


def test_an_actor_that_cannot_be_made_is_known_by_its_nodes_address(
    fake: FakeRay, make_fleet: Callable[..., tuple[RayFleet, list[str]]]
) -> None:
    text = "because of an error raised in its creation task, ray::Bridge.__init__() (pid=1, ip={}, actor_id=2)\nno"
    streams = [[FakeRay.RayActorError(text.format(ip), True)] for ip in ("10.0.0.1", "10.9.9.9")]
    fleet, _ = make_fleet(*streams, num_workers=2)
    heard = [fleet.receive(0.0) for _ in range(2)]
    assert [each[0].place for each in heard if each] == ["node", ""]


def test_an_actor_that_ray_has_lost_is_not_waited_for(
    fake: FakeRay, make_fleet: Callable[..., tuple[RayFleet, list[str]]]
) -> None:
    fleet, _ = make_fleet([HERE, PLACED, DEAD], [HERE, PLACED, Lost("ended")], num_workers=1)
    for waited in ([], [1]):
        fleet.receive(0.0)
        fleet.receive(0.0)
        heard = fleet.receive(0.0)
        assert heard is not None
        fleet.replace(heard[0])
        assert fake.waited == waited
    assert len(fake.killed) == 2 and len(fake.actors) == 3


def test_a_node_is_given_the_data_it_has_not_got_and_is_told_of_once(
    fake: FakeRay, make_fleet: Callable[..., tuple[RayFleet, list[str]]], files: StudyFiles
) -> None:
    fleet, said = make_fleet(*([HERE, DataWanted(), PLACED, READY] for _ in range(2)), num_workers=2)
    heard = [fleet.receive(0.0) for _ in range(8)]
    assert [each[1] for each in heard if each] == [READY, READY]
    chunks = [actor.calls for actor in fake.actors]
    assert chunks[0] == chunks[1] and chunks[0][0][0] == "give_data"
    assert chunks[0][0][1]["meta.json"] == [b"meta.json"] and len(chunks[0][0][1]) == 5
    assert chunks[0][0][1] is chunks[1][0][1], "read and stored once"
    assert said[1:] == ["ray: workers on node 10.0.0.1; their checkpoints and weights travel here through Ray"]


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (GONE, Lost("the worker's node is gone, or does not answer", with_node=True)),
        (FakeRay.ActorUnavailableError("x"), Lost("the worker's node is gone, or does not answer", with_node=True)),
        (DEAD, Lost("the worker's Ray actor was ended")),
        (RAISED, Lost('ModuleNotFoundError: No module named "filelock"')),
        (FakeRay.RayError("Traceback\n  in x\nOSError: no\n"), Lost("OSError: no")),
        (FakeRay.RayError(), Lost("RayError")),
    ],
)
@pytest.mark.parametrize("said", [[], [HERE, PLACED], [HERE, PLACED, READY]])
def test_a_worker_that_is_lost_says_why_in_one_line(
    make_fleet: Callable[..., tuple[RayFleet, list[str]]], said: list[Any], error: Exception, lost: Lost
) -> None:
    fleet, _ = make_fleet([*said, error], num_workers=1)
    heard = [fleet.receive(0.0) for _ in range(len(said) + 1)]
    assert heard[-1] is not None and heard[-1][1] == lost


@pytest.mark.parametrize("how", ["preempted", "dead", "lost data"])
def test_what_is_lost_with_its_node_is_told_apart(
    fake: FakeRay, make_fleet: Callable[..., tuple[RayFleet, list[str]]], how: str
) -> None:
    error = FakeRay.RayError("an object is lost") if how == "lost data" else FakeRay.RayActorError("a process died")
    if how == "preempted":
        error.preempted = True  # type: ignore[attr-defined]
    fleet, _ = make_fleet([HERE, PLACED, error], num_workers=1)
    fleet.receive(0.0)
    fleet.receive(0.0)
    fake.is_alive = how == "preempted"
    heard = fleet.receive(0.0)
    assert heard is not None and heard[1] == Lost("the worker's node is gone, or does not answer", with_node=True)


def test_what_a_replaced_worker_says_is_not_heard(make_fleet: Callable[..., tuple[RayFleet, list[str]]]) -> None:
    fleet, _ = make_fleet([HERE, PLACED, READY, Lost("late")], [HERE, PLACED], num_workers=1)
    fleet.receive(0.0)
    fleet.receive(0.0)
    heard = fleet.receive(0.0)
    assert heard is not None
    fleet.replace(heard[0])
    assert [fleet.receive(0.0) for _ in range(3)] == [None] * 3
    assert heard[0] not in fleet.workers and len(fleet.workers) == 1


# A real cluster: two nodes of one CPU, which keep their own cache of the data.


@dataclass
class Nodes:
    """The cluster of this module; `second` is the node that tests may remove."""

    cluster: Any
    second: Any

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def of(self, node: Any) -> list[int]:
        """The torch processes that a node runs."""
        raylet = node.all_processes["raylet"][0].process.pid
        return [pid for pid in torch_processes() if parent(parent(pid)) == raylet]

    @property
    def workers(self) -> list[int]:
        return [pid for node in (self.cluster.head_node, self.second) for pid in self.of(node)]

    def lose_second(self) -> None:
        self.cluster.remove_node(self.second, allow_graceful=False)

    def add_second(self) -> None:
        self.second = self.cluster.add_node(num_cpus=1)


def parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def torch_processes() -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if b"search.training.worker" in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


def until(condition: Callable[[], object], seconds: float = PATIENCE) -> bool:
    """Whether it comes true in time."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return bool(condition())


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    pytest.importorskip("ray", reason="Ray is not installed")
    from ray._private.authentication_test_utils import reset_auth_token_state
    from ray.cluster_utils import Cluster as TwoNodes

    with (
        tempfile.TemporaryDirectory(prefix="nas-", ignore_cleanup_errors=True) as name,
        pytest.MonkeyPatch.context() as patch,
    ):
        folder = Path(name)  # a short one: sockets have short names
        for variable, value in {
            "HOME": name,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
            "NAS_CACHE": str(folder / "node-cache"),
            "TMPDIR": name,
        }.items():
            patch.setenv(variable, value)
        reset_auth_token_state()  # what another test has made of the environment
        cluster = TwoNodes(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        try:
            yield Nodes(cluster, cluster.add_node(num_cpus=1))
        finally:
            cluster.shutdown()


@pytest.fixture
def digits() -> Dataset:
    return open_dataset("digits")


@pytest.fixture
def question(digits: Dataset) -> Question:
    recipe = fit_recipe(with_epochs(FAST, EPOCHS), digits).model_copy(update={"precision": "fp32"})
    return Question(
        budget=BUDGET,
        data=Data.of(digits),
        space=SPACE,
        recipe=recipe,
        sampler="random",
        pruner="none",
        seed=0,
        warm_start=False,
    )


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def on_ray(nodes: Nodes, said: list[str]) -> Iterator[Machine]:
    """All places of the cluster; when the test is over, no worker process may be left there."""
    yield Machine("cpu", None, cluster=Cluster(nodes.address, said.append))
    assert until(lambda: not nodes.workers), "worker processes are left behind"


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The nodes see neither the study nor the coordinator's cache, as on other machines."""

    def fleet(cluster: Cluster, gpus: float, setup: Setup, *others: Any) -> RayFleet:
        return RayFleet(cluster, gpus, replace(setup, data=Path("/nowhere/digits")), *others)

    monkeypatch.setattr(machine, "RayFleet", fleet)
    monkeypatch.setattr(ray_fleet, "Home", lambda holder, _: Home(holder, "another study"))


@pytest.fixture
def frequent_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """The staged code writes a checkpoint after every epoch."""
    staged_code = cluster.staged_code

    @contextmanager
    def hurried() -> Iterator[Path]:
        with staged_code() as folder:
            path = folder / "search" / "training" / "run_log.py"
            text = path.read_text().replace("SECONDS_BETWEEN_CHECKPOINTS = 30.0", "SECONDS_BETWEEN_CHECKPOINTS = 0.0")
            assert text != path.read_text()
            path.write_text(text)
            yield folder

    monkeypatch.setattr(cluster, "staged_code", hurried)


@pytest.mark.slow
@pytest.mark.usefixtures("elsewhere", "frequent_checkpoints")
def test_trials_go_on_where_node_worker_and_actor_are_lost_and_their_number_is_exact(
    nodes: Nodes, on_ray: Machine, files: StudyFiles, question: Question, said: list[str], diary: Callable[[], Any]
) -> None:
    told = diary()
    head = nodes.cluster.head_node
    # Each in the third epoch of a trial. Once the second node is gone, it is the head's: nobody else is there.
    faults: list[Callable[[], None]] = [
        nodes.lose_second,
        lambda: os.kill(nodes.of(head)[0], signal.SIGKILL),
        lambda: os.kill(parent(nodes.of(head)[0]), signal.SIGKILL),
        nodes.add_second,
    ]
    struck: list[int] = []
    heard: dict[int, int] = {}  # the last epoch of every trial
    losses: list[tuple[int, int]] = []
    measured, noted = told.measured, told.noted

    def strike(number: int, measurement: Measurement) -> None:
        measured(number, measurement)
        heard[number] = measurement.epoch
        if faults and measurement.epoch == 3 and number not in struck:
            faults.pop(0)()
            struck.append(number)

    def note(number: int, text: str) -> None:
        noted(number, text)
        if "new process" in text:
            losses.append((number, heard.get(number, 0)))

    told.measured, told.noted = strike, note
    outcome = launch.search(files, launch.SearchRequest(question, "digits", NUM_TRIALS), on_ray, told)
    trials, _ = read_study(files, None)
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * NUM_TRIALS
    assert outcome.num_trained == NUM_TRIALS and not faults
    for trial in trials:
        assert sorted(trial.intermediate_values) == list(range(1, EPOCHS + 1))

    restarts = [text.removesuffix("; goes on in a new process") for _, text in told.notes if "new process" in text]
    lost = [
        "the worker's node is gone, or does not answer",
        "worker ended by signal 9",
        "the worker's Ray actor was ended",
    ]
    assert sorted(restarts) == sorted(lost)
    assert max(epoch for _, epoch in losses) >= 3
    for trial, epoch in losses:  # the checkpoint of an epoch comes here ahead of what is said of the next
        after = [text for number, text in told.notes if number == trial and "new process" not in text]
        resumed = [int(text.rpartition(" ")[2]) for text in after if text.startswith("goes on after epoch")]
        assert epoch < 2 or max(resumed) >= epoch - 1, told.notes

    assert sum(text.endswith("their checkpoints and weights travel here through Ray") for text in said) in (2, 3)
    caches = list(Path(os.environ["HOME"], "node-cache").glob("from-cluster-*"))
    assert len(caches) == 1
    assert not list(files.folder.glob("trials/*")), "what was kept for a restart is gone"


@pytest.mark.slow
def test_a_node_that_is_left_out_gets_no_worker_until_it_is_not(
    nodes: Nodes, on_ray: Machine, files: StudyFiles, digits: Dataset
) -> None:
    with locked(files):
        fleet = replace(on_ray, num_workers=2).hire(digits, 0, 2)(files)
        assert isinstance(fleet, RayFleet)
        try:
            ready: dict[str, RayWorker] = {}

            def listen() -> None:
                fleet._looked = -inf  # it looks around at once
                received = fleet.receive(0.1)
                if received is not None and isinstance(received[1], Ready):
                    assert isinstance(received[0], RayWorker)
                    ready[received[0].place] = received[0]

            assert until(lambda: listen() or len(ready) == 2)
            bad = ready.popitem()[1]
            fleet.dismiss(bad, "no torch")
            assert not until(lambda: listen() or len(ready) == 2, seconds=10.0)
            assert len(fleet.workers) == 1 and fleet.expects_more, "another waits, but for any other node"
            fleet._left_out.forgive(bad.place)
            assert until(lambda: listen() or len(ready) == 2) and bad.place in ready
        finally:
            fleet.close()


@pytest.mark.slow
def test_retraining_writes_the_same_where_the_node_sees_the_study_and_where_files_travel(
    on_ray: Machine, question: Question, said: list[str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    recipe = question.recipe.model_copy(update={"name": "full"})
    candidate = Candidate(Identity(trial=0), NETWORK, recipe, BUDGET)
    plan = Plan(
        question=question,
        circumstances=Circumstances(source="digits", storage=None, created="2026-01-01T00:00:00+00:00", num_trials=1),
    )
    results = []
    for way in ("shared", "travelling"):
        if way == "travelling":
            request.getfixturevalue("elsewhere")
            request.getfixturevalue("frequent_checkpoints")
        files = StudyFiles(tmp_path / way, "toy")
        arrived: set[str] = set()

        def on_epoch(job: Job, _: Measurement, arrived: set[str] = arrived) -> None:
            assert job.checkpoints is not None
            arrived.update(path.name for path in job.checkpoints.glob("attempt-1/*"))

        asked = launch.RetrainRequest((candidate,), num_seeds=2)
        _, runs = launch.retrain(files, plan, asked, on_ray, Observer(on_epoch))
        folders = [run.folder for run in runs if run.folder is not None]
        assert [sorted(path.name for path in folder.iterdir()) for folder in folders] == [
            ["architecture.json", "result.json", "weights.safetensors"]
        ] * 2
        written = [json.loads((folder / "result.json").read_text()) for folder in folders]
        weights = [(folder / "weights.safetensors").read_bytes() for folder in folders]
        results.append(([each["test_accuracy"] for each in written], weights))
        assert bool(arrived) == (way == "travelling")
        assert len(files.ledger(plan.question.data.ledger_name).read_text().splitlines()) == 2  # a line a run
    assert results[0] == results[1]
    shared = f"their checkpoints are written into {tmp_path / 'shared' / 'toy'} there, their weights travel here"
    assert any(shared in text for text in said)
    assert any(text.endswith("travel here through Ray") for text in said)


@pytest.mark.slow
def test_a_killed_coordinator_leaves_nothing_and_the_same_command_goes_on(
    nodes: Nodes, tmp_path: Path, nas_process: Callable[..., Any]
) -> None:
    """In a folder that holds a `models` and a `search` of the user's own."""
    for package in ("models", "search"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("raise SystemExit('this is not the package you look for')")
    (tmp_path / "small.yaml").write_text(SPACE.model_dump_json())  # which is YAML too
    options = "--data digits --budget 20k --space small.yaml --trials 4 --epochs 20 --pruner none --no-warm-start"
    command = shlex.split(f"search {options} --study toy --device cpu")
    log = tmp_path / "log"
    with log.open("w") as output:
        first = subprocess.Popen([NAS, *command, "--ray", nodes.address], cwd=tmp_path, stdout=output, stderr=output)
        assert until(lambda: len(list(tmp_path.glob("studies/toy/trials/*/attempt-1"))) == 2), log.read_text()
        assert len(nodes.workers) == 2
        first.kill()
        first.wait()
    assert until(lambda: not nodes.workers), "worker processes are left behind"

    second = nas_process(*command, "--ray", nodes.address, timeout=PATIENCE)
    assert second.returncode == 0, second.stderr
    trials, _ = read_study(StudyFiles(tmp_path / "studies", "toy"), None)
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 4
    assert "4 trials trained" in second.stdout
    assert until(lambda: not nodes.workers), "worker processes are left behind"


@pytest.mark.slow
def test_joining_a_cluster_brings_our_code_and_leaves_our_signals_alone(nodes: Nodes, said: list[str]) -> None:
    import ray

    def handler(*_: object) -> None:
        pass

    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        assert connect(Cluster(nodes.address, said.append), "auto") == 0.0
        assert [signal.getsignal(number) for number in before] == [handler] * 2
        assert connect(Cluster(nodes.address, said.append), "cpu") == 0.0, "once more changes nothing"

        def places() -> list[str]:
            import models
            import search

            return [str(package.__file__) for package in (models, search)]

        for place in ray.get(ray.remote(num_cpus=0)(places).remote()):
            assert "working_dir_files" in place
    finally:
        for number, each in before.items():
            signal.signal(number, each)
        ray.shutdown()


@pytest.mark.slow
def test_more_than_any_node_has_is_refused_with_what_there_is(nodes: Nodes, said: list[str]) -> None:
    import ray

    with pytest.raises(InputError) as caught:
        connect(Cluster(nodes.address, said.append, gpus_per_worker=2.0), "auto")
    line = str(caught.value)
    assert line.startswith(
        f"ray = {nodes.address}: no node has 1 CPU and 2 GPU; the cluster offers 1 CPU and 0 GPU on "
    )
    assert line.count("1 CPU and 0 GPU on") == 2 and "\n" not in line
    assert caught.value.exit_status == 2 and not ray.is_initialized()


@pytest.mark.slow
def test_another_token_is_refused_in_one_line(
    nodes: Nodes, nas_process: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
    monkeypatch.setenv("RAY_NUM_REDIS_GET_RETRIES", "2")  # Ray itself asks 20 times, once a second
    refused = nas_process("search", "--data", "digits", "--budget", "20k", "--ray", nodes.address)
    assert refused.returncode == 2
    assert refused.stderr == (
        f"nas: ray = {nodes.address}: no cluster answers there, or none with this token "
        "(RAY_AUTH_MODE, RAY_AUTH_TOKEN, ~/.ray/auth_token)\n"
    )
