"""How many workers one coordinator keeps busy.

The coordinator, its database, TPE and the pruner are those of `nas search`. The workers are simulated: 30 s an epoch on
average, at a design's own pace (half to one and a half times that; `--spread`) and 10% more or less from epoch to
epoch, 10 epochs a trial. Time is virtual while the coordinator waits and real while it works: messages of workers wait
meanwhile, and a worker is idle until its next job arrives. The history, of uniform draws valued by the surrogate, is
written into the database before.

Every case runs in a process of its own. The table shows the steady state, from the end of the first jobs to the last
proposal; start-up, until every worker has its first job, has a column of its own. The coordinator's seconds are of the
processor with `--clock cpu`; with `--clock wall`, the default, they include waiting for the disk and whatever else the
machine does. 'Times' compares milliseconds a trial with those of the first row.
"""

import argparse
import itertools
import json
import random
import resource
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import wraps
from math import exp
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import optuna
from measuring import Rows, make_parser, print_table, save_results, start_pool
from optuna.distributions import distribution_to_json
from optuna.storages._rdb import models as tables
from optuna.trial import TrialState
from surrogate import make_surrogate, seed_noise

from models.architecture import Architecture
from models.count import count_macs, count_parameters
from search.files import StudyFiles
from search.protocol import Job
from search.recipes import FAST
from search.run.coordinator import Coordinator
from search.space.draws import Draws
from search.space.space import load_space
from search.study.plan import Circumstances, Data, Plan, PrunerName, Question, now
from search.study.storage import Record, locked

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

from simulation import SimulatedFleet, Start

WORKERS = (2, 16, 128, 1_000)
HISTORIES = (0, 1_000, 3_000, 10_000)
EPOCHS = 10
EPOCH_SECONDS = 30.0
BUDGET = 1_000_000
STUDY = "scale"
BEGUN = datetime(2026, 1, 1)
MAX_TRIALS = 2_000  # after the first job of every worker
MIN_TRIALS = 200
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


class Silent:
    """A listener that does nothing."""

    def __getattr__(self, _: str) -> Callable[..., None]:
        return lambda *_: None


def make_plan(num_trials: int, pruner: PrunerName = "asha") -> Plan:
    """The plan of a search by TPE in the default space."""
    data = Data(name="none", fingerprint="0" * 64, image_size=32, channels=3, classes=tuple("0123456789"))
    recipe = FAST.fit_to("cifar10", 45_000, 32, 3).model_copy(update={"epochs": EPOCHS})
    question = Question(
        budget=BUDGET, data=data, space=load_space(), recipe=recipe, sampler="tpe", pruner=pruner, seed=0, fill=0.5
    )
    circumstances = Circumstances(source="none", storage=None, created=now(), num_trials=num_trials)
    return Plan(question=question, circumstances=circumstances)


class Curves:
    """Accuracies by the surrogate and seconds of an epoch, for simulated workers; a design's own pace is up to `spread`
    above or below 1."""

    def __init__(self, spread: float = 0.5) -> None:
        self._spread = spread
        self._surrogate, self._noise = make_surrogate(BUDGET), seed_noise()
        self._last: dict[int, tuple[float, float]] = {}

    def of(self, architecture: Architecture, seed: int) -> tuple[float, float]:
        """A trial's last accuracy and its pace."""
        if seed not in self._last:
            rng = random.Random(seed)
            self._last[seed] = (
                self._surrogate(architecture) + rng.gauss(0, self._noise),
                rng.uniform(1 - self._spread, 1 + self._spread),
            )
        return self._last[seed]

    def accuracy(self, job: Job, epoch: int) -> float:
        last, _ = self.of(job.architecture, job.seed)
        return last * (1 - exp(-epoch / 3)) / (1 - exp(-EPOCHS / 3))

    def seconds(self, job: Job, epoch: int) -> float:
        _, pace = self.of(job.architecture, job.seed)
        return EPOCH_SECONDS * pace * random.Random(job.seed + epoch).uniform(0.9, 1.1)


def write_history(files: StudyFiles, plan: Plan, number: int) -> None:
    """Write a study of `number` trials, as a search with asha at half of the schedule leaves it: in bulk, into Optuna's
    own tables, since one by one it would take ten minutes."""
    question, rng, curves = plan.question, np.random.default_rng(1), Curves()
    draws = Draws(question.space, plan.task, question.all_limits, "vectors")
    designs: dict[Architecture, None] = {}
    while len(designs) < number:
        designs[draws.draw(rng)] = None
    with locked(files), Record(files) as record:
        study_id, session = record._disk_study, record._storage.scoped_session()
        rows: dict[Any, list[dict[str, Any]]] = {table: [] for table in TABLES}
        free = {slot.name: slot.value(0) for slot in question.space.slots}
        rungs: list[float] = []
        for index, architecture in enumerate(designs):
            job = Job("", architecture, question.recipe, index, "search", None)
            accuracies = [curves.accuracy(job, epoch) for epoch in range(1, EPOCHS + 1)]
            rung = accuracies[EPOCHS // 2 - 1]
            rungs.append(rung)
            is_pruned = rung < sorted(rungs)[-max(1, len(rungs) // 3)] if index >= 5 else False
            reported = accuracies[: EPOCHS // 2] if is_pruned else accuracies
            history = [{"epoch": epoch, "validation_accuracy": value} for epoch, value in enumerate(reported, 1)]
            user_attributes = {
                "architecture": architecture.to_json(),
                "params": count_parameters(architecture),
                "macs": count_macs(architecture, 32),
                "baseline": None,
                "spent_seconds": 300.0,
                "seconds": 300.0,
                "batch_size": 128,
                "history": json.dumps(history),
            }
            system_attributes = {"completed_rung_0": rung} | ({"pruned_after": EPOCHS // 2} if is_pruned else {})
            vector = question.space.encode(architecture, free)
            add_rows(rows, study_id, index + 1, question, vector, reported, user_attributes, system_attributes)
        for table, content in rows.items():
            session.bulk_insert_mappings(table, content)
        session.commit()
        session.close()
    plan.save(files)


TABLES = (
    tables.TrialModel,
    tables.TrialParamModel,
    tables.TrialValueModel,
    tables.TrialIntermediateValueModel,
    tables.TrialUserAttributeModel,
    tables.TrialSystemAttributeModel,
)


def add_rows(
    rows: dict[Any, list[dict[str, Any]]],
    study_id: int,
    trial_id: int,
    question: Question,
    vector: dict[str, Any],
    reported: list[float],
    user_attributes: dict[str, Any],
    system_attributes: dict[str, Any],
) -> None:
    """Add a trial's rows to those of every table."""
    trial, param, value, intermediate, user, system = TABLES
    state = TrialState.COMPLETE if len(reported) == EPOCHS else TrialState.PRUNED
    times = {"_datetime_start_utc": BEGUN, "_datetime_complete_utc": BEGUN}
    rows[trial].append({"trial_id": trial_id, "number": trial_id - 1, "study_id": study_id, "state": state, **times})
    finite = tables.TrialValueModel.TrialValueType.FINITE
    rows[value].append({"trial_id": trial_id, "objective": 0, "value": reported[-1], "value_type": finite})
    for name, distribution in question.space.distributions.items():
        inner = distribution.to_internal_repr(vector[name])
        content = {"param_name": name, "param_value": inner, "distribution_json": distribution_to_json(distribution)}
        rows[param].append({"trial_id": trial_id, **content})
    finite_step = tables.TrialIntermediateValueModel.TrialIntermediateValueType.FINITE
    for step, accuracy in enumerate(reported, 1):
        content = {"step": step, "intermediate_value": accuracy, "intermediate_value_type": finite_step}
        rows[intermediate].append({"trial_id": trial_id, **content})
    for table, attributes in ((user, user_attributes), (system, system_attributes)):
        rows[table] += [
            {"trial_id": trial_id, "key": key, "value_json": json.dumps(attributes[key])} for key in attributes
        ]


class Shares:
    """Seconds in parts of the coordinator; where one part calls another, they count for the inner one alone."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._clock = clock
        self._stack: list[list[float]] = []

    def watch(self, target: Any, method: str, part: str) -> None:
        """Count the seconds of a method for a part from now on."""
        inner = getattr(target, method)

        @wraps(inner)
        def timed(*args: Any, **kwargs: Any) -> Any:
            started, spent_inside = self._clock(), [0.0]
            self._stack.append(spent_inside)
            try:
                return inner(*args, **kwargs)
            finally:
                self._stack.pop()
                elapsed = self._clock() - started
                self.seconds[part] += elapsed - spent_inside[0]
                if self._stack:
                    self._stack[-1][0] += elapsed

        setattr(target, method, timed)


def run_case(
    num_workers: int, history: int, studies: Path, clock_name: str, max_trials: int, pruner: PrunerName, spread: float
) -> dict[str, Any]:
    """Figures of the steady state and of the start of one search in this process."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    clock, curves = CLOCKS[clock_name], Curves(spread)
    num_trials = history + num_workers + max(MIN_TRIALS, min(max_trials, 2 * num_workers))
    files = StudyFiles(studies / "run", STUDY)
    shutil.rmtree(files.folder, ignore_errors=True)
    shutil.copytree(StudyFiles(studies / str(history), STUDY).folder, files.folder)
    plan = make_plan(num_trials, pruner)
    started = clock()
    with locked(files), Record(files) as record:
        opening = clock() - started
        fleet = SimulatedFleet(num_workers, curves.accuracy, EPOCH_SECONDS, clock, curves.seconds)
        coordinator = Coordinator(plan, record, fleet, Silent(), clock=lambda: fleet.now)
        shares = Shares(clock)
        shares.watch(coordinator.sampler, "sample_relative", "proposals")
        shares.watch(record._mirror.pruner, "prune", "pruner")
        for storage in (record._disk._storage, record._storage):
            for name in [name for name in dir(type(storage)) if not name.startswith("_")]:
                if callable(getattr(storage, name)):
                    shares.watch(storage, name, "database")
        shares.watch(fleet, "receive", "simulation")
        coordinator.run(num_trials)
    shutil.rmtree(files.folder)
    return {
        "workers": num_workers,
        "history": history,
        "pruner": pruner,
        "spread": spread,
        "opening": opening,
        **steady(fleet.starts, num_workers),
        "shares": {part: seconds / fleet.worked for part, seconds in shares.seconds.items()},
        "MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def steady(starts: list[Start], num_workers: int) -> dict[str, Any]:
    """Figures between the second start of a worker and the last start of all; and of the first job of every worker."""
    first = [start for start in starts if start.is_first]
    later = [start for start in starts if not start.is_first]
    warm = later[min(len(later) // 2, num_workers) :]
    span, worked = warm[-1].now - warm[0].now, warm[-1].worked - warm[0].worked
    waits = [start.waited for start in warm]
    return {
        "trials": len(warm),
        "trials a second": (len(warm) - 1) / span,
        "ms a trial": 1e3 * worked / (len(warm) - 1),
        "load": worked / span,
        "mean wait": mean(waits),
        "p95 wait": float(np.quantile(waits, 0.95)),
        "idle": sum(waits) / (num_workers * span),
        "start seconds": first[-1].now,
        "start mean wait": mean(start.waited for start in first),
        "start ms a trial": 1e3 * (first[-1].worked - first[0].worked) / max(len(first) - 1, 1),
    }


def run_cases(options: argparse.Namespace, studies: Path) -> Iterator[dict[str, Any]]:
    """Figures of every case, as soon as they are there."""
    with start_pool(1, max_tasks=1) as pool:
        for history, num_workers in itertools.product(options.history, options.workers):
            files = StudyFiles(studies / str(history), STUDY)
            if not files.plan.is_file():
                pool.submit(write_history, files, make_plan(history), history).result()
            case = (num_workers, history, studies, options.clock, options.trials, options.pruner, options.spread)
            yield pool.submit(run_case, *case).result()


PARTS = ("proposals", "database", "pruner", "simulation")


def cells(row: dict[str, Any], reference: dict[str, Any]) -> list[str]:
    """A line of the table."""
    shares = [row["shares"].get(part, 0.0) for part in PARTS]
    return [
        f"{row['workers']:,}",
        f"{row['history']:,}",
        f"{row['trials a second']:.3f}",
        f"{row['ms a trial']:.0f}",
        f"{row['ms a trial'] / reference['ms a trial']:.2f}",
        f"{row['load']:.1%}",
        f"{row['mean wait']:.2f} s",
        f"{row['p95 wait']:.2f} s",
        f"{row['idle']:.2%}",
        f"{row['start seconds']:.0f} s",
        f"{row['MiB']:.0f}",
        *(f"{share:.0%}" for share in (*shares, 1 - sum(shares))),
    ]


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=WORKERS)
    parser.add_argument("--history", type=int, nargs="+", default=HISTORIES)
    parser.add_argument("--trials", type=int, default=MAX_TRIALS, help="at most so many after the first of each worker")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="of the coordinator's own time")
    parser.add_argument("--pruner", choices=("asha", "none"), default="asha")
    parser.add_argument("--spread", type=float, default=0.5, help="of the designs' paces around 30 s an epoch")
    parser.add_argument("--folder", type=Path, help="where to keep histories from run to run")
    options = parser.parse_args()
    figures = (
        "history",
        "trials/s",
        "ms a trial",
        "times",
        "load",
        "wait, mean",
        "wait, 95%",
        "idle",
        "first jobs",
        "MiB",
    )
    rows: Rows = []

    def lines(studies: Path) -> Iterator[list[str]]:
        for row in run_cases(options, studies):
            rows.append(row)
            save_results(options.results, "scale", rows)
            yield cells(row, rows[0])

    with tempfile.TemporaryDirectory() as temporary:
        print_table(("workers", *figures, *PARTS, "rest"), lines(options.folder or Path(temporary)))


if __name__ == "__main__":
    main()
