"""How a cluster is joined, and what is refused before. Ray is a fake: a real cluster is in test_ray_fleet.py."""

import os
import signal
import socket
import sys
from collections.abc import Iterator
from math import inf, nan
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import models
import search
from search.errors import InputError, NasError, TrainingError
from search.workers import ray_joining
from search.workers.local import FASTER
from search.workers.ray_cluster import Cluster, Node, connect, nodes

RAY_VARIABLES = ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_USAGE_STATS_ENABLED")
OPEN_FILES = Path("/proc/self/fd")


class FakeRay:
    """What `connect` uses of Ray. It makes its noise, and takes the signals, as Ray does."""

    def __init__(self) -> None:
        self.found: list[dict[str, Any]] = []
        self.error: Exception | None = None
        self.options: dict[str, Any] | None = None  # of init
        self.joined = False
        self._private = SimpleNamespace(worker=SimpleNamespace(print_to_stdstream=print))
        self.add(4, 0)

    def add(self, num_cpus: float, num_gpus: float, alive: bool = True) -> None:
        has = {"CPU": num_cpus, "GPU": num_gpus, "memory": 1e9}
        resources = {name: amount for name, amount in has.items() if amount}
        self.found.append(
            {
                "NodeID": f"node-{len(self.found)}",
                "NodeManagerAddress": f"10.0.0.{len(self.found)}",
                "Resources": resources,
                "Alive": alive,
            },
        )

    def is_initialized(self) -> bool:
        return self.joined

    def init(self, **options: Any) -> None:
        self.options = options
        os.write(2, b"noise of Ray's core\n")
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if self.error is not None:
            raise self.error
        self.joined = True

    def nodes(self) -> list[dict[str, Any]]:
        return self.found

    def shutdown(self) -> None:
        self.joined = False


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The user has set nothing for Ray, and what we set does not outlive the test."""
    for name in RAY_VARIABLES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    fake = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", fake)
    return fake


@pytest.fixture
def open_address() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def closed_address() -> Iterator[str]:
    """A port that is taken, but not listened at."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def cluster_of(address: str = "auto", gpus: float | None = None, cpus: float = 1.0) -> Cluster:
    return Cluster(address, print, gpus, cpus)


def refusal(of: Cluster, device: str = "auto") -> NasError:
    with pytest.raises(NasError) as caught:
        connect(of, device)
    assert "\n" not in str(caught.value)
    return caught.value


# What a worker needs, and how many find a place.


@pytest.mark.parametrize("gpus", [None, 0.0, 0.0001, 0.3, 1.0, 2.0, 8.0])
@pytest.mark.parametrize("cpus", [0.0001, 0.3, 1.0, 1.5, 64.0])
def test_a_worker_needs_a_share_of_a_gpu_or_whole_ones_and_any_share_of_cpus(gpus: float | None, cpus: float) -> None:
    asked = cluster_of(gpus=gpus, cpus=cpus)
    assert (asked.gpus_per_worker, asked.cpus_per_worker) == (gpus, cpus)


@pytest.mark.parametrize("gpus", [-1.0, -0.25, 0.00005, 1.5, 2.0001, nan, inf, -inf])
def test_other_gpus_are_refused(gpus: float) -> None:
    with pytest.raises(InputError) as caught:
        cluster_of(gpus=gpus)
    assert str(caught.value) == f"gpus-per-worker = {gpus:g}: must be 0, a share of one as 0.25, or a whole number"


@pytest.mark.parametrize("cpus", [-1.0, 0.0, 0.00005, nan, inf, -inf])
def test_other_cpus_are_refused(cpus: float) -> None:
    with pytest.raises(InputError) as caught:
        cluster_of(cpus=cpus)
    assert str(caught.value) == f"cpus-per-worker = {cpus:g}: must be at least 0.0001"


@pytest.mark.parametrize(
    ("num_cpus", "num_gpus", "cpus", "gpus", "num_places"),
    [
        (8, 0, 1, 0, 8),
        (8, 2, 1, 0, 8),
        (8, 0, 1, 1, 0),
        (0, 2, 1, 1, 0),
        (8, 2, 1, 1, 2),
        (8, 3, 1, 2, 1),  # the third is of no use
        (1, 0, 1.5, 0, 0),
        (3, 0, 1.5, 0, 2),
        (8, 1, 1, 0.4, 2),
        (8, 2, 1, 0.4, 4),  # not five: a share is of one GPU
        (8, 3, 1, 0.7, 3),
        (2, 4, 1, 0.25, 2),  # the CPUs are fewer
        (1, 0, 0.1, 0, 10),  # which 1 // 0.1 denies
        (8, 1, 0.1, 0.1, 10),
        (1, 1, 0.25, 0.3, 3),
    ],
)
def test_places_of_a_node(num_cpus: float, num_gpus: float, cpus: float, gpus: float, num_places: int) -> None:
    assert Node("here", num_cpus, num_gpus, "node").num_places(cpus, gpus) == num_places


@pytest.mark.parametrize(
    ("device", "asked", "num_gpus", "expected"),
    [
        ("auto", None, 0, 0.0),
        ("auto", None, 2, 1.0),
        ("auto", 0.25, 2, 0.25),
        ("auto", 0.0, 2, 0.0),
        ("cpu", None, 2, 0.0),
        ("cpu", 0.0, 2, 0.0),
        ("cuda", None, 2, 1.0),
        ("cuda", 2.0, 2, 2.0),
    ],
)
def test_gpus_of_a_worker(ray: FakeRay, device: str, asked: float | None, num_gpus: int, expected: float) -> None:
    ray.add(4, num_gpus)
    assert connect(cluster_of(gpus=asked), device) == expected
    assert ray.joined


@pytest.mark.parametrize(
    ("device", "asked", "line"),
    [
        ("cpu", 0.5, "gpus-per-worker = 0.5: must be 0 with --device cpu"),
        ("cuda", 0.0, "gpus-per-worker = 0: must be more with --device cuda"),
    ],
)
def test_a_device_and_gpus_that_contradict_each_other_never_come_to_the_cluster(
    ray: FakeRay, device: str, asked: float, line: str
) -> None:
    error = refusal(cluster_of(gpus=asked), device)
    assert isinstance(error, InputError) and str(error) == line
    assert ray.options is None


def test_only_nodes_that_are_alive_count(ray: FakeRay) -> None:
    ray.add(8, 4, alive=False)
    ray.add(0, 0)  # a head that takes no work
    assert nodes() == [Node("10.0.0.0", 4, 0, "node-0"), Node("10.0.0.2", 0, 0, "node-2")]
    assert connect(cluster_of(), "auto") == 0.0


def test_a_cluster_without_room_for_one_worker_is_left_at_once(ray: FakeRay) -> None:
    ray.add(2, 1)
    error = refusal(cluster_of(gpus=0.5, cpus=3.0))
    offered = "the cluster offers 4 CPU and 0 GPU on 10.0.0.0, 2 CPU and 1 GPU on 10.0.0.1"
    assert isinstance(error, InputError) and str(error) == f"ray = auto: no node has 3 CPU and 0.5 GPU; {offered}"
    assert ray.options is not None and not ray.joined


def test_a_gpu_that_is_asked_for_is_not_replaced_by_a_cpu(ray: FakeRay) -> None:
    offered = "the cluster offers 4 CPU and 0 GPU on 10.0.0.0"
    assert str(refusal(cluster_of(), "cuda")) == f"ray = auto: no node has 1 CPU and 1 GPU; {offered}"
    assert not ray.joined


# The way there.


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    error = refusal(cluster_of())
    assert isinstance(error, InputError)
    assert str(error) == "ray: is not installed; pip install 'budget-nas[ray]'"


@pytest.mark.parametrize(
    "address", ["", "foo", "ray://127.0.0.1:10001", "host:", ":6379", "host:many", "host:-1", "host:6379/0", "h:99999"]
)
def test_what_is_no_address_is_refused_before_ray_is_asked(ray: FakeRay, address: str) -> None:
    error = refusal(cluster_of(address))
    rule = "must be auto, local or HOST:PORT of a cluster that this machine is a node of"
    assert isinstance(error, InputError) and str(error) == f"ray = {address!r}: {rule}"
    assert ray.options is None


def test_where_nobody_listens_ray_is_not_asked(ray: FakeRay, closed_address: str) -> None:
    error = refusal(cluster_of(closed_address))
    reason = "[Errno 111] Connection refused"
    assert isinstance(error, InputError)
    assert str(error) == f"ray = {closed_address}: nobody answers there ({reason})"
    assert ray.options is None


def test_an_unknown_host_is_said_to_be_unknown(ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    error = refusal(cluster_of("head:6379"))
    assert isinstance(error, InputError)
    assert str(error) == "ray = head:6379: nobody answers there ([Errno -2] Name or service not known)"
    assert ray.options is None


def test_a_name_that_no_host_can_have_is_refused(ray: FakeRay) -> None:
    name = "a" * 64
    error = refusal(cluster_of(f"{name}:6379"))
    assert isinstance(error, InputError) and str(error).startswith(f"ray = {name}:6379: nobody answers there (")
    assert ray.options is None


def test_an_address_where_somebody_listens_is_rays(ray: FakeRay, open_address: str) -> None:
    connect(cluster_of(open_address), "cpu")
    assert ray.options is not None and ray.options["address"] == open_address
    assert ray.options["log_to_driver"] is False and "include_dashboard" not in ray.options


def test_a_cluster_for_the_command_alone_has_no_dashboard(ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "elsewhere:6379")
    connect(cluster_of("local"), "cpu")
    assert ray.options is not None and ray.options["address"] == "local"
    assert ray.options["include_dashboard"] is False


def test_auto_is_the_address_in_the_environment(
    ray: FakeRay, monkeypatch: pytest.MonkeyPatch, open_address: str
) -> None:
    for value, address in (("", "auto"), (open_address, open_address)):
        monkeypatch.setenv("RAY_ADDRESS", value)
        connect(cluster_of("auto"), "cpu")
        assert ray.options is not None and ray.options["address"] == address
        ray.shutdown()


def test_what_a_cluster_that_is_over_has_left_is_named_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, closed_address: str
) -> None:
    """By Ray's own file; Ray would try to reach it for minutes."""
    pytest.importorskip("ray", reason="Ray is not installed")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.setattr("ray._private.services.find_gcs_addresses", dict)  # none that another test has started
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text(closed_address)
    error = refusal(cluster_of("auto"))
    rule = f"this machine's last cluster was at {closed_address}, where nobody answers ([Errno 111] Connection refused)"
    assert isinstance(error, InputError) and str(error) == f"ray = auto: {rule}"


def test_the_address_in_the_environment_is_looked_at_like_any_other(
    ray: FakeRay, monkeypatch: pytest.MonkeyPatch, closed_address: str
) -> None:
    for value in (closed_address, "ray://127.0.0.1:10001"):
        monkeypatch.setenv("RAY_ADDRESS", value)
        error = refusal(cluster_of("auto"))
        assert isinstance(error, InputError) and value in str(error)
    assert ray.options is None


TOKEN_RULE = "no cluster answers there, or none with this token (RAY_AUTH_MODE, RAY_AUTH_TOKEN, ~/.ray/auth_token)"


@pytest.mark.parametrize(
    ("error", "kind", "line"),
    [
        (
            ConnectionError("Could not find any running Ray instance. Please specify the one to connect to by ..."),
            InputError,
            "ray = auto: this machine is a node of no running cluster; start one with `ray start --head`",
        ),
        (
            ConnectionError("Failed to connect: UNAUTHENTICATED\n  InvalidAuthToken: the token is another one"),
            InputError,
            f"ray = auto: {TOKEN_RULE}",
        ),
        (
            RuntimeError("Version mismatch: The cluster was started with:\n    Ray: 2.52.0\n    Python: 3.12.1\n"),
            TrainingError,
            "ray = auto: cannot join the cluster: Version mismatch: The cluster was started with: Ray: 2.52.0 "
            "Python: 3.12.1",
        ),
        (
            ValueError("Malformed address port"),
            TrainingError,
            "ray = auto: cannot join the cluster: Malformed address port",
        ),
        (
            Exception("The current node timed out during startup."),
            TrainingError,
            "ray = auto: cannot join the cluster: The current node timed out during startup.",
        ),
        (TimeoutError(), TrainingError, "ray = auto: cannot join the cluster: TimeoutError"),
    ],
)
def test_what_ray_raises_becomes_one_line(ray: FakeRay, error: Exception, kind: type[NasError], line: str) -> None:
    ray.error = error
    told = refusal(cluster_of())
    assert type(told) is kind and str(told) == line and told.__cause__ is error


def test_no_running_cluster_is_only_said_of_this_machine(ray: FakeRay, open_address: str) -> None:
    ray.error = ConnectionError("Could not find any running Ray instance.")
    assert str(refusal(cluster_of(open_address))) == f"ray = {open_address}: {TOKEN_RULE}"


def test_should_ray_rename_what_prints_the_logs_of_lost_nodes_a_cluster_is_joined_as_before(ray: FakeRay) -> None:
    del ray._private.worker
    connect(cluster_of(), "auto")
    assert ray.joined


@pytest.mark.parametrize("error", [None, RuntimeError("no")])
def test_joining_is_silent_and_leaves_stderr_and_signals_as_they_were(
    ray: FakeRay, error: Exception | None, capfd: pytest.CaptureFixture[str]
) -> None:
    ray.error = error
    ours = signal.getsignal(signal.SIGINT)
    before = signal.signal(signal.SIGTERM, ours)
    num_open = len(list(OPEN_FILES.iterdir()))
    try:
        if error is None:
            connect(cluster_of(), "auto")
            ray._private.worker.print_to_stdstream("the log of a node that is lost")
        else:
            refusal(cluster_of())
        assert signal.getsignal(signal.SIGTERM) == ours
    finally:
        signal.signal(signal.SIGTERM, before)
    os.write(2, b"heard")
    assert capfd.readouterr() == ("", "heard")
    assert len(list(OPEN_FILES.iterdir())) == num_open


def test_every_signal_handler_of_ours_comes_back_after_an_error() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with pytest.raises(RuntimeError), ray_joining.own_signal_handlers():
            for number in before:
                signal.signal(number, signal.SIG_IGN)
            raise RuntimeError
        assert {number: signal.getsignal(number) for number in before} == before
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# Settings of Ray's that are ours to make, unless the user has made them.


@pytest.mark.parametrize("name", ["RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"])
def test_a_token_in_the_environment_is_used(ray: FakeRay, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "x")
    connect(cluster_of(), "auto")
    assert os.environ["RAY_AUTH_MODE"] == "token"


def test_a_token_in_the_users_home_is_used(ray: FakeRay, tmp_path: Path) -> None:
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("x")
    connect(cluster_of(), "auto")
    assert os.environ["RAY_AUTH_MODE"] == "token"


def test_without_a_token_ray_is_not_told_to_use_one(
    ray: FakeRay, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "")
    (tmp_path / ".ray" / "auth_token").mkdir(parents=True)  # no file
    connect(cluster_of(), "auto")
    assert "RAY_AUTH_MODE" not in os.environ


def test_what_the_user_has_set_stays(ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN": "x", "RAY_USAGE_STATS_ENABLED": "1"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    connect(cluster_of(), "auto")
    assert {name: os.environ[name] for name in settings} == settings


def test_rays_makers_are_told_nothing(ray: FakeRay) -> None:
    connect(cluster_of(), "auto")
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


# The code that nodes run.


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_nodes_get_our_two_packages_as_they_are_and_nothing_else(ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    staged: dict[str, dict[str, bytes]] = {}

    def look(**options: Any) -> None:
        assert options["runtime_env"]["env_vars"] == FASTER
        folder = Path(options["runtime_env"]["working_dir"])
        staged.update({path.name: contents(path) for path in folder.iterdir()})

    monkeypatch.setattr(ray, "init", look)
    connect(cluster_of(), "auto")
    packages = {package.__name__: Path(str(package.__file__)).parent for package in (models, search)}
    assert staged == {name: contents(folder) for name, folder in packages.items()}
    assert {"study/networks.py", "training/worker.py"} < set(staged["search"])


def test_bytecode_stays_here_and_the_copy_is_gone_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("__init__.py", "part/__init__.py", "part/menu.yaml", "__pycache__/a.pyc", "part/__pycache__/b.pyc"):
        path = tmp_path / "toy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    package = ModuleType("toy")
    package.__file__ = str(tmp_path / "toy" / "__init__.py")
    monkeypatch.setattr(ray_joining, "STAGED", (package,))
    with ray_joining.staged_code() as folder:
        found = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    assert found == {"toy", "toy/__init__.py", "toy/part", "toy/part/__init__.py", "toy/part/menu.yaml"}
    assert not folder.exists()
