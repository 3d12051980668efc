"""A small question and the parts to search it with, in virtual time. They are fixtures: tests say what differs."""

import json
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import FrozenTrial, TrialState
from simulation import SimulatedFleet

from models.architecture import Architecture
from models.count import count_parameters
from search.files import StudyFiles
from search.identity import Identity
from search.protocol import Finished, Job, Measurement, Ready
from search.recipe import Recipe
from search.run.coordinator import Coordinator
from search.run.cost_estimate import Forecast
from search.run.interruption import Interruption
from search.run.listener import Outcome
from search.run.time_budget import Choice, TimeBudget
from search.space.space import Space
from search.study.plan import Circumstances, Data, Plan, Question
from search.study.results import EndedRun, write_run
from search.study.storage import Record, locked, read_study
from search.study.way import Way, recipe_digest, run_key
from search.trained_network import Precision, TestResult
from search.workers.fleet import Fleet

BUDGET = 6_000
EPOCHS = 4

# 1,698 designs, of which 1,298 are within the budget.
SPACE = Space.model_validate(
    {
        "stem": {"width": [4, 8]},
        "num_stages": [1, 2],
        "stage": {"block": ["basic", "bottleneck"], "depth": [1, 2, 3], "width": [4, 8, 16]},
        "shortcut": ["A", "B", "b"],
    }
)
DATA = Data(name="toy", fingerprint="0123456789abcdef" * 4, image_size=8, channels=1, classes=tuple("0123456789"))


def rising(job: Job, epoch: int) -> float:
    """Grows with the epoch and, towards the end, with the number of parameters."""
    return 0.1 + 0.8 * count_parameters(job.architecture) / BUDGET * epoch / job.recipe.epochs


@dataclass
class Diary:
    """A listener that writes down what it is told."""

    resumptions: list[tuple[int, float | None]] = field(default_factory=list)
    readies: list[tuple[str, Precision, str | None]] = field(default_factory=list)
    forecasts: list[tuple[Forecast, int]] = field(default_factory=list)
    choices: list[Choice] = field(default_factory=list)
    untimed_reasons: list[str] = field(default_factory=list)
    begun: list[int] = field(default_factory=list)
    measurements: list[tuple[int, Measurement]] = field(default_factory=list)
    notes: list[tuple[int, str]] = field(default_factory=list)
    ends: list[tuple[int, TrialState, float | None, str | None]] = field(default_factory=list)

    def resumed(self, num_trained: int, best: float | None) -> None:
        self.resumptions.append((num_trained, best))

    def ready(self, device: str, precision: Precision, began_on: str | None) -> None:
        self.readies.append((device, precision, began_on))

    def timed(self, forecast: Forecast, num_trials: int) -> None:
        self.forecasts.append((forecast, num_trials))

    def chosen(self, choice: Choice) -> None:
        self.choices.append(choice)

    def untimed(self, reason: str) -> None:
        self.untimed_reasons.append(reason)

    def began(self, number: int, architecture: Architecture) -> None:
        self.begun.append(number)

    def measured(self, number: int, measurement: Measurement) -> None:
        self.measurements.append((number, measurement))

    def noted(self, number: int, text: str) -> None:
        self.notes.append((number, text))

    def ended(self, number: int, state: TrialState, value: float | None, reason: str | None) -> None:
        self.ends.append((number, state, value, reason))


@dataclass
class Searched:
    """What a search left behind; the trials as they stand on disk."""

    outcome: Outcome
    trials: list[FrozenTrial]
    diary: Diary
    plan: Plan

    def of(self, *states: TrialState) -> list[FrozenTrial]:
        return [trial for trial in self.trials if trial.state in states]


@dataclass
class Server:
    """A PostgreSQL server on this machine alone, which asks for a password."""

    programs: Path
    folder: Path
    account: str | None
    port: int
    _names: Iterator[int] = field(default_factory=count)

    USER = "me"
    PASSWORD = "s3cret/Größe@50%"
    QUOTED = "s3cret%2FGr%C3%B6%C3%9Fe%4050%25"

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    def call(self, program: str, *arguments: str) -> None:
        command = [self.programs / program, *arguments]
        environment = {"PATH": os.environ["PATH"], "PGPASSWORD": self.PASSWORD, "LC_ALL": "C.UTF-8"}
        with (self.folder / "programs.log").open("a") as log:
            groups: Any = {"user": self.account, "group": self.account, "extra_groups": []} if self.account else {}
            subprocess.run(command, cwd=self.folder, env=environment, stdout=log, stderr=log, check=True, **groups)

    def make(self) -> None:
        (self.folder / "password").write_text(self.PASSWORD)
        secret = ["--auth=scram-sha-256", f"--pwfile={self.folder / 'password'}"]
        self.call("initdb", "-D", "data", "-U", self.USER, "-E", "UTF8", "--no-sync", *secret)
        lines = f"port={self.port}\nlisten_addresses='127.0.0.1'\nunix_socket_directories=''\nfsync=off\n"
        with (self.folder / "data" / "postgresql.conf").open("a") as settings:
            settings.write(lines)

    def start(self) -> None:
        self.call("pg_ctl", "-w", "-D", "data", "-l", "server.log", "start")

    def stop(self, mode: str = "fast") -> None:
        self.call("pg_ctl", "-w", "-D", "data", "-m", mode, "stop")

    def url(self, database: str = "postgres", password: str | None = None) -> str:
        return f"postgresql+psycopg://{self.USER}:{password or self.QUOTED}@{self.place}/{database}"

    def connect(self, database: str = "postgres") -> Any:
        """A connection of somebody else, without transactions."""
        import psycopg

        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=self.USER, password=self.PASSWORD, dbname=database, autocommit=True
        )

    def new_database(self) -> str:
        name = f"database_{next(self._names)}"
        with self.connect() as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return name

    def new_url(self) -> str:
        """Of an empty schema, which is made sooner than a database. Its studies share the locks with others."""
        name = f"schema_{next(self._names)}"
        with self.connect() as connection:
            connection.execute(f"CREATE SCHEMA {name}")
        return f"{self.url()}?options=-csearch_path%3D{name}"


def _postgres_programs() -> Path | None:
    """Where initdb and pg_ctl are."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if shutil.which("pg_config"):
        folder = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=True).stdout.strip()
        found.append(Path(folder, "initdb"))
    return next((path.parent for path in reversed(found) if path.is_file()), None)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A running server; a test that stops it starts it again."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    programs = _postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    account = "postgres" if os.getuid() == 0 else None  # it does not run as root
    with tempfile.TemporaryDirectory(prefix="nas-postgres-") as name, socket.socket() as taken:
        if account:
            os.chown(name, pwd.getpwnam(account).pw_uid, -1)
        taken.bind(("127.0.0.1", 0))
        server = Server(programs, Path(name), account, taken.getsockname()[1])
        taken.close()
        server.make()
        server.start()
        try:
            yield server
        finally:
            server.stop("immediate")


@pytest.fixture
def url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str | None:
    """Of the study's database; None for its own file. The mark `both_databases` asks for one after the other."""
    if getattr(request, "param", "sqlite") == "sqlite":
        return None
    server: Server = request.getfixturevalue("postgres")
    monkeypatch.setenv("PGPASSWORD", server.PASSWORD)  # for those who have the plan's URL, which holds none
    return server.new_url()


@pytest.fixture
def curve() -> Callable[[Job, int], float]:
    return rising


@pytest.fixture
def files(tmp_path: Path) -> StudyFiles:
    return StudyFiles(tmp_path / "studies", "toy")


@pytest.fixture
def make_plan() -> Callable[..., Plan]:
    """A plan; keywords replace the question's values, but for `num_trials` and `storage`."""

    def make(num_trials: int | None = 100, storage: str | None = None, **changes: Any) -> Plan:
        values: dict[str, Any] = {
            "budget": BUDGET,
            "data": DATA,
            "space": SPACE,
            "recipe": Recipe(name="quick", epochs=EPOCHS, batch_size=16),
            "sampler": "random",
            "pruner": "none",
            "seed": 0,
        }
        circumstances = Circumstances(
            source="toy", storage=storage, created="2026-01-01T00:00:00+00:00", num_trials=num_trials
        )
        return Plan(question=Question(**values | changes), circumstances=circumstances)

    return make


@pytest.fixture
def diary() -> Callable[[], Diary]:
    return Diary


@pytest.fixture
def search(files: StudyFiles, url: str | None, make_plan: Callable[..., Plan]) -> Callable[..., Searched]:
    """Runs the toy study to `num_trials` trials, as `search.run.launch.search` would."""
    study_url = url

    def run(
        num_trials: int | None,
        curve: Callable[..., Any] = rising,
        num_workers: int = 1,
        fleet: Fleet | None = None,
        plan: Plan | None = None,
        timeout: float | None = None,
        diary: Diary | None = None,
        interruption: Interruption | None = None,
        storage: str | None = None,
        time_budget: Callable[[Callable[[], float]], TimeBudget] | None = None,
        **changes: Any,
    ) -> Searched:
        url = storage or study_url
        plan = plan or make_plan(num_trials, url, **changes)
        diary = diary or Diary()
        with locked(files):
            plan.save(files)
            with Record(files, url) as record:
                workers = fleet or SimulatedFleet(num_workers, curve)
                clock = (lambda: workers.now) if isinstance(workers, SimulatedFleet) else time.monotonic
                by_time = time_budget(clock) if time_budget is not None else None
                coordinator = Coordinator(plan, record, workers, diary, interruption, timeout, clock, by_time)
                try:
                    outcome = coordinator.run(num_trials)
                finally:
                    coordinator.study_clock.keep()
                coordinator.plan.save(files)
        trials, _ = read_study(files, url)
        return Searched(outcome, trials, diary, coordinator.plan)

    return run


@pytest.fixture
def record(files: StudyFiles, url: str | None) -> Iterator[Record]:
    """The open record of a study without trials."""
    files.folder.mkdir(parents=True)
    with Record(files, url) as opened:
        yield opened


@pytest.fixture
def retrained(files: StudyFiles, make_plan: Callable[..., Plan]) -> Callable[..., Any]:
    """Leaves what a final run leaves, and returns its module. Statistics of BatchNorm are made up, as by training."""
    import torch

    from models.build import build
    from search.training.trainer import save

    def leave(
        network: Architecture,
        label: str = "0042",
        seed: int = 0,
        accuracy: float = 0.9876,
        recipe: Recipe | None = None,
        holdout: bool = False,
    ) -> torch.nn.Module:
        torch.manual_seed(seed)
        module = build(network).eval()
        for name, buffer in module.named_buffers():
            if buffer.is_floating_point():
                buffer.copy_(torch.rand_like(buffer) + (0.5 if name.endswith("var") else -0.5))
        recipe = recipe or Recipe(name="full", epochs=1)
        identity = Identity.parse(label)
        way = Way(recipe_digest(recipe.model_dump(mode="json")), holdout, "fp32", "CPU")
        folder = files.full_run("final", identity, run_key(recipe.name, recipe.epochs, identity, network, way), seed)
        save(module, network, folder)
        job = Job(label, network, recipe, seed, "final", BUDGET, holdout=holdout)
        history = [Measurement(1, 1.0, 0.5, None, None, 0.1, 1.0)]
        confusion = tuple(tuple(10 * (i == j) for j in range(10)) for i in range(10))
        finished = Finished(1.0, (0.3,), (0.25,), TestResult(0.1, accuracy, confusion))
        ready = Ready("CPU", "fp32", {"torch": "2.11"})
        write_run(folder / "result.json", make_plan(), EndedRun(identity, seed, job, history, finished, ready))
        values = json.loads((folder / "result.json").read_text())
        del values["data"]  # tests have studies of all sorts of data
        (folder / "result.json").write_text(json.dumps(values))
        return module

    return leave
