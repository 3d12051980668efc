"""A Ray cluster: how it is reached and what it offers."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from search.errors import InputError, TrainingError
from search.workers.local import FASTER
from search.workers.ray_joining import own_signal_handlers, silence, staged_code

CONNECT_SECONDS = 10.0
HEAD_SECONDS = 3.0
LAST_PORT = 2**16 - 1
SMALLEST_SHARE = 0.0001  # of a CPU or GPU that Ray knows


@dataclass(frozen=True, slots=True)
class Cluster:
    """Which cluster, and what a worker needs of it.

    Attributes:
        address: 'auto', which is RAY_ADDRESS or else the cluster that this machine is a node of; 'local', one that is
            started for the command alone; or HOST:PORT.
        say: is called with a line on what happens there.
        gpus_per_worker: None for a whole GPU where the cluster has any.
    """

    address: str
    say: Callable[[str], None]
    gpus_per_worker: float | None = None
    cpus_per_worker: float = 1.0

    def __post_init__(self) -> None:
        if not SMALLEST_SHARE <= self.cpus_per_worker < inf:
            raise InputError(f"cpus-per-worker = {self.cpus_per_worker:g}: must be at least {SMALLEST_SHARE}")
        gpus = self.gpus_per_worker or 0.0
        if not (gpus == 0 or SMALLEST_SHARE <= gpus <= 1 or (gpus.is_integer() and gpus > 0)):
            raise InputError(f"gpus-per-worker = {gpus:g}: must be 0, a share of one as 0.25, or a whole number")


@dataclass(frozen=True, slots=True)
class Node:
    """A node that is alive, and all it has, in use or not."""

    address: str
    num_cpus: float
    num_gpus: float
    id: str

    def num_places(self, cpus: float, gpus: float) -> int:
        """How many workers it can hold that take so many CPUs and GPUs each."""
        # A share of a GPU is of one GPU: three workers of 0.4 need two.
        on_gpus = int(self.num_gpus) * _times(1.0, gpus) if 0 < gpus < 1 else _times(self.num_gpus, gpus or 1.0)
        on_cpus = _times(self.num_cpus, cpus)
        return min(on_cpus, on_gpus) if gpus else on_cpus


def connect(cluster: Cluster, device: str) -> float:
    """Join the cluster, and return how many GPUs a worker gets there.

    Args:
        device: 'auto', 'cpu' or 'cuda'.

    Raises:
        InputError: Ray is not installed, there is no such cluster, or no node of it has room for a worker.
        TrainingError: the cluster does not let us join.
    """
    _require_agreement(cluster, device)
    _use_token()
    ray = import_ray()
    address = _resolve(cluster.address)
    if not ray.is_initialized():
        _require_reachable(address)
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        options = {"include_dashboard": False} if address == "local" else {}
        with staged_code() as code, own_signal_handlers(), silence():
            try:
                ray.init(
                    address=address,
                    runtime_env={"working_dir": str(code), "env_vars": FASTER},
                    log_to_driver=False,
                    logging_level="ERROR",
                    **options,
                )
            except Exception as error:  # of any class: it raises even plain ones
                raise _refused(address, error) from error
        # Without a setting for it, Ray prints the log of every lost node, dozens of lines. Should it rename what
        # does so, they are printed.
        with suppress(AttributeError):
            ray._private.worker.print_to_stdstream = lambda *_, **__: None
    alive = nodes()
    gpus = _gpus_per_worker(cluster, device, alive)
    if not any(node.num_places(cluster.cpus_per_worker, gpus) for node in alive):
        ray.shutdown()
        raise InputError(f"ray = {address}: no node has {needs(cluster, gpus)}; {offer(alive)}")
    return gpus


def nodes() -> list[Node]:
    """The nodes of the cluster that are alive."""
    return [
        Node(node["NodeManagerAddress"], has.get("CPU", 0.0), has.get("GPU", 0.0), node["NodeID"])
        for node in import_ray().nodes()
        if node["Alive"]
        for has in [node["Resources"]]
    ]


def is_alive(node: str) -> bool:
    """Whether the node of this id is alive."""
    return any(known["NodeID"] == node and known["Alive"] for known in import_ray().nodes())


def head_answers() -> bool:
    """Whether the cluster still has its head. Ray itself ends this process a minute after it has gone."""
    host, _, port = import_ray().get_runtime_context().gcs_address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), HEAD_SECONDS).close()
    except OSError:
        return False
    return True


@contextmanager
def cluster_errors() -> Iterator[None]:
    """
    Raises:
        TrainingError: the cluster that we are in has failed.
    """
    try:
        yield
    except (import_ray().exceptions.RayError, OSError) as error:
        raise TrainingError(f"ray: the cluster failed: {_first_line(error)}; run the same command again") from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def needs(cluster: Cluster, gpus: float) -> str:
    """What one worker takes, for people."""
    of_gpus = f" and {gpus:g} GPU" if gpus else ""
    return f"{cluster.cpus_per_worker:g} CPU{of_gpus}"


def offer(alive: list[Node]) -> str:
    """What a cluster has, for people."""
    resources = ", ".join(f"{node.num_cpus:g} CPU and {node.num_gpus:g} GPU on {node.address}" for node in alive)
    return f"the cluster offers {resources}"


def import_ray() -> Any:
    """
    Raises:
        InputError: Ray is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise InputError("ray: is not installed; pip install 'budget-nas[ray]'") from error
    return ray


def _use_token() -> None:
    """Authenticate by a token where there is one: for an explicit address Ray does so only when asked to."""
    has_token = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    with suppress(RuntimeError):  # a user without a home folder
        has_token = has_token or (Path.home() / ".ray" / "auth_token").is_file()
    if has_token:
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _resolve(address: str) -> str:
    """The address to reach. Ray itself would read the variable as well, but we first check that anybody answers."""
    return (os.environ.get("RAY_ADDRESS") or address) if address == "auto" else address


def _require_agreement(cluster: Cluster, device: str) -> None:
    gpus = cluster.gpus_per_worker
    if device == "cpu" and gpus:
        raise InputError(f"gpus-per-worker = {gpus:g}: must be 0 with --device cpu")
    if device == "cuda" and gpus == 0:
        raise InputError("gpus-per-worker = 0: must be more with --device cuda")


def _gpus_per_worker(cluster: Cluster, device: str, alive: list[Node]) -> float:
    if device == "cpu":
        return 0.0
    if cluster.gpus_per_worker is not None:
        return cluster.gpus_per_worker
    return 1.0 if device == "cuda" or any(node.num_gpus for node in alive) else 0.0


def _require_reachable(address: str) -> None:
    """Check that somebody answers at the address; Ray itself would try for minutes."""
    if address == "local":
        return
    if address == "auto":
        last = _last_cluster()
        if last is not None:
            _require_answer(last, f"ray = auto: this machine's last cluster was at {last}, where nobody answers")
        return
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdecimal() or int(port) > LAST_PORT:
        rule = "must be auto, local or HOST:PORT of a cluster that this machine is a node of"
        raise InputError(f"ray = {address!r}: {rule}")
    _require_answer(address, f"ray = {address}: nobody answers there")


def _require_answer(address: str, rule: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except (OSError, UnicodeError) as error:
        raise InputError(f"{rule} ({error})") from error


def _last_cluster() -> str | None:
    """The address that 'auto' will mean, by what runs here and by what the last `ray start` has written."""
    try:
        from ray._private.services import get_ray_address_from_environment

        found = str(get_ray_address_from_environment("auto", None))
    except Exception:  # there is none, or Ray has moved it: Ray says what it thinks
        return None
    return found if found.rpartition(":")[2].isdecimal() else None


def _refused(address: str, error: Exception) -> InputError | TrainingError:
    reason = " ".join(str(error).split()) or type(error).__name__
    if address == "auto" and "find any running" in reason:
        return InputError("ray = auto: this machine is a node of no running cluster; start one with `ray start --head`")
    if isinstance(error, ConnectionError):
        rule = "no cluster answers there, or none with this token (RAY_AUTH_MODE, RAY_AUTH_TOKEN, ~/.ray/auth_token)"
        return InputError(f"ray = {address}: {rule}")
    return TrainingError(f"ray = {address}: cannot join the cluster: {reason}")


def _times(whole: float, part: float) -> int:
    """How many parts fit into the whole: ten tenths, where `1 // 0.1` is nine."""
    return int(round(whole / part, 6))
