"""Workers on a Ray cluster, each an actor that passes on the messages of a worker process on its node."""

import re
import time
from typing import Any

from search.data.datasets import Dataset
from search.errors import TrainingError
from search.files import StudyFiles
from search.protocol import Lost, Message, Noted, Ready, Setup
from search.quantities import plural
from search.workers.fleet import Worker
from search.workers.left_out import LeftOut
from search.workers.ray_cluster import Cluster, cluster_errors, head_answers, import_ray, is_alive, needs, nodes, offer
from search.workers.ray_node import Bridge, Chunks, DataWanted, Home, Located, Placed, read_chunks
from search.workers.ray_scratch import Written
from search.workers.ray_worker import RayWorker

CHUNK = 64 * 2**20  # bytes
SECONDS_BETWEEN_LOOKS = 10.0  # at what the cluster has
SECONDS_OF_SILENCE = 60.0  # between two notes that no worker is ready
LOOKS_FOR_HEAD = 3  # in vain, before the cluster is given up
END_SECONDS = 5.0
ADDRESS = re.compile(r"\bip=([0-9A-Za-z.:]+)")  # of the node, in Ray's words on an actor that could not be made


class RayFleet:
    """Worker actors on a cluster that `search.workers.ray_cluster.connect` has joined.

    With `num_workers` the cluster is asked for that many, so that an autoscaler sees what is wanted; workers without a
    place wait for one. Otherwise there are as many as the cluster has places for, and more when nodes join. A worker
    counts as one of `workers` from the moment it has a place. A node on which workers cannot start is left out for a
    while: those that would be there are on other nodes, or wait.

    Args:
        setup: of every worker, with the data's folder on this machine.
        most: no more workers than this.
        files: the study, locked.
    """

    def __init__(
        self,
        cluster: Cluster,
        gpus: float,
        setup: Setup,
        dataset: Dataset,
        num_workers: int | None,
        most: int,
        files: StudyFiles,
    ) -> None:
        self._ray = import_ray()
        self._cluster = cluster
        self._gpus = gpus
        self._setup = setup
        self._dataset = dataset
        self._most = min(num_workers or most, most)
        self._takes_all = num_workers is None
        self._files = files
        self._home = Home(files.holder.absolute(), files.holder.read_text())
        self._actor_class = self._ray.remote(
            num_cpus=cluster.cpus_per_worker,
            num_gpus=gpus,
            max_restarts=0,
            concurrency_groups={"out": 1},  # everything else comes in, in order
            scheduling_strategy="SPREAD",
        )(Bridge)
        self._by_stream: dict[Any, RayWorker] = {}
        self._left_out = LeftOut(lambda: time.monotonic())
        self._chunks: Chunks | None = None
        self._known_nodes: set[str] = set()
        self._num_vain_looks = 0
        self._looked = self._spoken = time.monotonic()
        alive = nodes()
        places = self._num_places()
        cluster.say(f"ray: {plural(places, 'place')} for workers of {needs(cluster, gpus)}; {offer(alive)}")
        for _ in range(min(places, self._most) if self._takes_all else self._most):
            self._add()

    @property
    def workers(self) -> list[Worker]:
        return [worker for worker in self._by_stream.values() if worker.placed is not None]

    @property
    def expects_more(self) -> bool:
        """Whether a worker is on a node that is not left out, or waits where there is one, and has not the data yet."""
        coming = [worker for worker in self._by_stream.values() if worker.placed is None]
        if any(worker.located is not None and worker.place not in self._left_out for worker in coming):
            return True
        with cluster_errors():
            return any(worker.located is None for worker in coming) and self._num_places() > 0

    def receive(self, timeout: float) -> tuple[Worker, Message] | None:
        with cluster_errors():
            return self._receive(timeout)

    def _receive(self, timeout: float) -> tuple[Worker, Message] | None:
        self._look_around()
        if not self._by_stream:
            time.sleep(timeout)
            return None
        ready, _ = self._ray.wait(list(self._by_stream), num_returns=1, timeout=timeout)
        if not ready:
            return None
        worker = self._by_stream.pop(ready[0])
        self._by_stream[worker.stream] = worker  # last in the next turn, so that every one is heard
        try:
            message = self._ray.get(next(worker.stream))
        except StopIteration:
            return worker, Lost("its worker ended")
        except self._ray.exceptions.RayError as error:
            worker.is_gone = isinstance(error, self._ray.exceptions.RayActorError)
            return worker, self._lost(worker, error)
        if isinstance(message, Located):
            worker.located = message
        elif isinstance(message, DataWanted):
            worker.actor.give_data.remote(self._put_data())
        elif isinstance(message, Placed):
            worker.placed = message
            self._announce(worker, message)
        elif isinstance(message, Written):
            worker.save(message)
        elif isinstance(message, Noted):
            self._cluster.say(f"ray: a worker{worker.where}: {message.text}")
        else:
            if isinstance(message, Ready):
                self._left_out.forgive(worker.place)
            return worker, message
        return None

    def replace(self, worker: Worker) -> None:
        assert isinstance(worker, RayWorker)
        del self._by_stream[worker.stream]
        with cluster_errors():
            self._end([worker])
            self._add()

    def dismiss(self, worker: Worker, reason: str) -> None:
        assert isinstance(worker, RayWorker)
        del self._by_stream[worker.stream]
        with cluster_errors():
            self._end([worker])
        if worker.place not in self._left_out:
            seconds = self._left_out.add(worker.place)
            self._cluster.say(
                f"ray: a worker{worker.where} could not start; none is tried there for {seconds:.0f} s: {reason}"
            )

    def close(self) -> None:
        if head_answers():  # else all that is asked of the cluster would wait for it
            with cluster_errors():
                self._end(list(self._by_stream.values()))
        self._by_stream.clear()
        self._ray.shutdown()

    def _lost(self, worker: RayWorker, error: Any) -> Lost:
        exceptions = self._ray.exceptions
        if isinstance(error, exceptions.RayActorError) and error.actor_init_failed:
            worker.located = worker.located or _located(error)
            return Lost(_last_line(error))
        is_away = isinstance(error, exceptions.ActorUnavailableError) or "its node has died" in str(error)
        if is_away or getattr(error, "preempted", False) or not (worker.located is None or is_alive(worker.place)):
            return Lost("the worker's node is gone, or does not answer", with_node=True)
        if isinstance(error, exceptions.RayActorError):
            return Lost("the worker's Ray actor was ended")
        return Lost(_last_line(error))

    def _add(self) -> None:
        avoids = self._left_out.now - {""}
        elsewhere = {"label_selector": {"ray.io/node-id": f"!in({','.join(sorted(avoids))})"}} if avoids else {}
        actor = self._actor_class.options(**elsewhere).remote(self._setup, self._dataset.fingerprint, self._home)
        stream = actor.messages.options(concurrency_group="out", num_returns="streaming").remote()
        self._by_stream[stream] = RayWorker(actor, stream, avoids)

    def _end(self, workers: list[RayWorker]) -> None:
        """The worker processes first: one that hangs would outlive its actor."""
        ended = [worker.actor.end.remote() for worker in workers if worker.placed is not None and not worker.is_gone]
        if ended:
            self._ray.wait(ended, num_returns=len(ended), timeout=END_SECONDS)
        for worker in workers:
            self._ray.kill(worker.actor)

    def _look_around(self) -> None:
        """Use the places of nodes that have joined since, and report it if no worker has a place."""
        now = time.monotonic()
        if now - self._looked < SECONDS_BETWEEN_LOOKS:
            return
        self._looked = now
        if not head_answers():
            self._num_vain_looks += 1
            if self._num_vain_looks == LOOKS_FOR_HEAD:
                rule = "the cluster's head does not answer any more; once it is back, run the same command again"
                raise TrainingError(f"ray = {self._cluster.address}: {rule}")
            return
        self._num_vain_looks = 0
        self._fill_places()
        if self.workers:
            self._spoken = now
        elif now - self._spoken >= SECONDS_OF_SILENCE:
            self._spoken = now
            self._cluster.say(f"ray: no worker is ready; one needs {needs(self._cluster, self._gpus)}, and the data")

    def _fill_places(self) -> None:
        """Have as many workers as are wanted, also on nodes that were left out and are so no longer."""
        left_out = self._left_out.now
        waiting = [worker for worker in self._by_stream.values() if worker.located is None]
        for worker in [worker for worker in waiting if worker.avoids - left_out]:
            del self._by_stream[worker.stream]
            self._end([worker])
        if "" in left_out:  # nobody knows where workers could not start
            return
        wanted = min(self._num_places(), self._most) if self._takes_all else self._most
        for _ in range(wanted - len(self._by_stream)):
            self._add()

    def _num_places(self) -> int:
        """For how many workers there is room on the nodes that are not left out."""
        good = [node for node in nodes() if node.id not in self._left_out]
        return sum(node.num_places(self._cluster.cpus_per_worker, self._gpus) for node in good)

    def _announce(self, worker: RayWorker, placed: Placed) -> None:
        if worker.place in self._known_nodes:
            return
        self._known_nodes.add(worker.place)
        shared = f"their checkpoints are written into {self._files.folder} there, their weights travel here through Ray"
        way = shared if placed.is_shared else "their checkpoints and weights travel here through Ray"
        self._cluster.say(f"ray: workers{worker.where}; {way}")

    def _put_data(self) -> Chunks:
        """The data in Ray's object store, from which a node takes it once."""
        if self._chunks is None:
            self._chunks = {}
            for name, piece in read_chunks(self._dataset.folder, CHUNK):
                self._chunks.setdefault(name, []).append(self._ray.put(piece))
        return self._chunks


def _located(error: Any) -> Located | None:
    """The node on which an actor could not be made; None if that is not known for sure."""
    if (found := ADDRESS.search(str(error))) is None:
        return None
    there = [node for node in nodes() if node.address == found[1]]
    return Located(there[0].id, there[0].address) if len(there) == 1 else None


def _last_line(error: Any) -> str:
    """The last line of a traceback, which names the error."""
    return str((str(error).strip().splitlines() or [type(error).__name__])[-1])
