"""What ending trials early saves and what it loses, replayed on recorded learning curves. Nothing is trained.

Searches are replayed by virtual time, in random orders of the recorded designs. A search chooses by the last accuracies
of its trials, and is judged by the expected accuracy of its choice over seeds. What counts is the choice after the same
seconds of the device: whoever ends trials early tries more designs.

Every order is of a bootstrap sample of the designs, and all methods are given the same ones. So intervals cover other
designs and seeds of the same kind as well as other orders; those over orders alone would be far too narrow, for a
handful of best designs decides.

Pruners are asked as `nas search` asks them: after every epoch but the last, about all the epochs so far. Optuna's rules
are written again here, because its studies take fifty times as long; every run first checks them against the real
pruners.
"""

from binascii import crc32
from bisect import insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from heapq import heappop, heappush
from math import ceil, floor, log
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import optuna
from measuring import Rows, make_parser, print_table, save_results
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
)
from optuna.trial import Trial, TrialState
from scipy.stats import spearmanr
from surrogate import left_out_predictions, recorded, seed_noise

from search.run.proposals import AfterStartup, make_pruner

EPOCHS = 6  # of the recorded curves
STUDY = "pruning"
NUM_TOP = 3
PARTS = (6, 3)  # a search has the seconds that these parts of the designs take without pruning
NUM_RESAMPLED = 300

Array = npt.NDArray[np.float64]
Curve = Sequence[float]


# The record.


@dataclass(frozen=True)
class Record:
    """The recorded designs: accuracy after every epoch, seconds an epoch, parameters, and the expected last accuracy
    over seeds."""

    curves: Sequence[Curve]
    costs: Sequence[float]
    params: Array
    truth: Array


def load_record() -> Record:
    rows: list[dict[str, Any]] = recorded()["designs"]
    curves = [tuple(row["curve"]) for row in rows]
    costs = [row["seconds"] / EPOCHS for row in rows]
    return Record(curves, costs, np.array([row["params"] for row in rows], float), expected_accuracies())


def expected_accuracies() -> Array:
    """Expected last accuracy of each design over seeds, given all that was measured.

    It is the mean of the surrogate's prediction for the design when left out of the fit and of the last accuracies of
    the design's own runs, weighted by the inverses of their variances. Being an expectation, it does not flatter a
    design that a search chose for a lucky run.
    """
    predicted, last = left_out_predictions()
    noise = seed_noise() ** 2
    misfit = float(np.mean((predicted - last) ** 2)) - noise
    weights = np.full(len(last), 1 / misfit)
    sums = predicted / misfit
    runs = list(enumerate(last.tolist()))
    runs += [(int(row["design"]), row["curve"][-1]) for row in recorded()["repeats"]]  # type: ignore[call-overload, index]
    for design, accuracy in runs:
        weights[design] += 1 / noise
        sums[design] += accuracy / noise
    expected: Array = sums / weights
    return expected


# Rules.


class Rule(Protocol):
    """Ends trials early. It hears when a trial begins, is asked after every epoch but the last, and hears when a trial
    completes."""

    def begins(self, number: int) -> None: ...
    def ends(self, number: int, curve: Curve) -> bool: ...
    def completes(self, number: int, curve: Curve) -> None: ...


class Nothing:
    """No trial ends early."""

    def begins(self, number: int) -> None:
        pass

    def ends(self, number: int, curve: Curve) -> bool:
        return False

    def completes(self, number: int, curve: Curve) -> None:
        pass


class Percentile(Nothing):
    """Ends a trial whose best accuracy so far is below a quantile of the completed trials' accuracies at that epoch."""

    def __init__(self, keep: float, num_startup: int, first_epoch: int) -> None:
        self.quantile, self.num_startup, self.first_epoch = 1 - keep / 100, num_startup, first_epoch
        self.completed: list[list[float]] = []

    def ends(self, number: int, curve: Curve) -> bool:
        if len(curve) < self.first_epoch or len(self.completed) == 0 or len(self.completed[0]) < self.num_startup:
            return False
        return max(curve) < quantile(self.completed[len(curve) - 1], self.quantile)

    def completes(self, number: int, curve: Curve) -> None:
        self.completed = self.completed or [[] for _ in curve]
        for values, value in zip(self.completed, curve, strict=True):
            insort(values, value)


class Halving(Nothing):
    """Asynchronous successive halving without waiting (Li et al. 2018, https://arxiv.org/abs/1810.05934): after
    `first_epoch` epochs and each `factor` times as many, a trial ends unless it is among the best 1 / factor so far."""

    def __init__(self, first_epoch: int, factor: int) -> None:
        self.first_epoch, self.factor = first_epoch, factor
        self.rungs: dict[int, list[float]] = {}

    def ends(self, number: int, curve: Curve) -> bool:
        epoch = self.first_epoch
        while epoch < len(curve):
            epoch *= self.factor
        if epoch > len(curve):
            return False
        values = self.rungs.setdefault(epoch, [])
        insort(values, curve[-1])
        return curve[-1] < values[-max(1, len(values) // self.factor)]


class Late(Nothing):
    """Another rule that ends none of the first trials."""

    def __init__(self, rule: Rule, num_trials: int) -> None:
        self.rule, self.num_trials = rule, num_trials

    def ends(self, number: int, curve: Curve) -> bool:
        return self.rule.ends(number, curve) and number >= self.num_trials


class Hyperband(Nothing):
    """Halving in several brackets that begin at different epochs; a trial's number decides its bracket."""

    def __init__(self, first_epoch: int, epochs: int, factor: int, study: str) -> None:
        number = floor(log(epochs / first_epoch, factor)) + 1
        self.brackets = [Halving(first_epoch * factor**index, factor) for index in range(number)]
        self.shares = [ceil(number * factor ** (number - 1 - index) / (number - index)) for index in range(number)]
        self.study = study

    def ends(self, number: int, curve: Curve) -> bool:
        place = crc32(f"{self.study}_{number}".encode()) % sum(self.shares)
        index = next(index for index in range(len(self.shares)) if place < sum(self.shares[: index + 1]))
        return self.brackets[index].ends(number, curve)


class AskedOptuna:
    """The answers of a real pruner, in a study in memory."""

    def __init__(self, pruner: BasePruner, study: str) -> None:
        self.study = optuna.create_study(study_name=study, direction="maximize", pruner=pruner)
        self.trials: list[Trial] = []

    def begins(self, number: int) -> None:
        self.trials.append(self.study.ask())

    def ends(self, number: int, curve: Curve) -> bool:
        self.trials[number].report(curve[-1], len(curve))
        if self.trials[number].should_prune():
            self.study.tell(number, state=TrialState.PRUNED)
            return True
        return False

    def completes(self, number: int, curve: Curve) -> None:
        self.trials[number].report(curve[-1], len(curve))
        self.trials[number].should_prune()  # asked, but not obeyed after the last epoch
        self.study.tell(number, curve[-1])


def rule_of(pruner: BasePruner, epochs: int, study: str) -> Rule:
    """The rule by which a pruner of Optuna ends trials.

    Raises:
        TypeError: its rule is not written here.
    """
    match pruner:
        case NopPruner():
            return Nothing()
        case AfterStartup():
            return Late(rule_of(pruner.pruner, epochs, study), pruner.num_trials)
        case PercentilePruner():  # the median pruner is one
            return Percentile(pruner._percentile, pruner._n_startup_trials, pruner._n_warmup_steps)
        case SuccessiveHalvingPruner(_min_resource=int(first_epoch), _bootstrap_count=0, _min_early_stopping_rate=0):
            return Halving(first_epoch, pruner._reduction_factor)
        case HyperbandPruner(_max_resource=int(), _bootstrap_count=0):
            return Hyperband(pruner._min_resource, epochs, pruner._reduction_factor, study)
    raise TypeError(f"pruner = {pruner}: its rule is not written here")


def quantile(values: Sequence[float], share: float) -> float:
    """A quantile of values in rising order, linear between neighbours, the same bits as numpy's."""
    place = share * (len(values) - 1)
    low = floor(place)
    step = values[min(low + 1, len(values) - 1)] - values[low]
    weight = place - low
    return values[low] + step * weight if weight < 0.5 else values[low] + step - step * (1 - weight)


# Replays.


@dataclass(frozen=True, slots=True)
class Run:
    """One training of one design: when it ended, what it cost, and its last accuracy; None if it was ended early."""

    ended: float
    design: int
    epochs: int
    seconds: float
    value: float | None


def replay(
    rule: Rule, curves: Sequence[Curve], costs: Sequence[float], order: Sequence[int], workers: int
) -> list[Run]:
    """The runs of a search that trains the designs in this order, by virtual time.

    Args:
        curves: accuracy of each design after each epoch.
        costs: seconds an epoch of each design.
    """
    runs: list[Run] = []
    events: list[tuple[float, int, int]] = []  # end of an epoch, number of the trial, number of the epoch
    numbers = iter(range(len(order)))

    def begin(now: float) -> None:
        if (number := next(numbers, None)) is not None:
            rule.begins(number)
            heappush(events, (now + costs[order[number]], number, 1))

    for _ in range(workers):
        begin(0.0)
    while events:
        now, number, epoch = heappop(events)
        design = order[number]
        curve = curves[design]
        if epoch == len(curve):
            rule.completes(number, curve)
        elif not rule.ends(number, curve[:epoch]):
            heappush(events, (now + costs[design], number, epoch + 1))
            continue
        value = curve[-1] if epoch == len(curve) else None
        runs.append(Run(now, design, epoch, epoch * costs[design], value))
        begin(now)
    return runs


# Searches.

Search = Callable[[Sequence[int], int], list[Run]]  # trains designs in an order, by so many workers

# 'keep 75%' ends trials that are in the lowest quarter of the completed ones.
PRUNERS: dict[str, BasePruner] = {
    "none": NopPruner(),
    "nas --pruner median": make_pruner("median", EPOCHS),
    "nas --pruner asha": make_pruner("asha", EPOCHS),
    **{f"median from epoch {first}, after 5": MedianPruner(5, first) for first in (1, 2, 3, 4)},
    "median from epoch 3, after 10": MedianPruner(10, 3),
    **{
        f"keep {share}% from epoch {first}, after 5": PercentilePruner(float(share), 5, first)
        for first in (2, 3)
        for share in (25, 67, 75)
    },
    **{
        f"ASHA from epoch {first}, 1/{factor}": SuccessiveHalvingPruner(first, factor)
        for first in (1, 2, 3)
        for factor in (2, 3, 4)
    },
    **{f"Hyperband from epoch 1, 1/{factor}": HyperbandPruner(1, EPOCHS, factor) for factor in (2, 3)},
}


def make_searches(record: Record) -> dict[str, Search]:
    """A search by every pruner."""

    def search(pruner: BasePruner, order: Sequence[int], workers: int) -> list[Run]:
        return replay(rule_of(pruner, EPOCHS, STUDY), record.curves, record.costs, order, workers)

    return {name: partial(search, pruner) for name, pruner in PRUNERS.items()}


def check_rules(record: Record) -> None:
    """Replay every rule and the pruner that it stands for.

    Raises:
        AssertionError: a rule has ended other trials than its pruner.
    """
    rng = np.random.default_rng(1)
    for name, search in make_searches(record).items():
        for workers in (1, 4):
            order = rng.permutation(len(record.curves)).tolist()
            by_optuna = replay(AskedOptuna(PRUNERS[name], STUDY), record.curves, record.costs, order, workers)
            assert by_optuna == search(order, workers), f"{name}, {workers} workers"


# Judgement.


def choice(runs: Sequence[Run], until: float = float("inf")) -> int:
    """The design with the best last accuracy of those that have had all epochs by then."""
    complete = [run for run in runs if run.value is not None and run.ended <= until]
    return max(complete, key=lambda run: run.value or 0).design


def judge(record: Record, search: Search, order: Sequence[int], workers: int) -> list[float]:
    """The figures of `columns`, of a search through half of the order; then of one through all of it, stopped after as
    many seconds as each of `PARTS` of the order takes without pruning."""
    half = order[: len(order) // 2]
    runs = search(half, workers)
    complete = {run.design for run in runs if run.value is not None}
    top = sorted(set(half), key=lambda design: -record.truth[design])[:NUM_TOP]
    best = choice(runs)
    whole = search(order, workers)
    seconds = EPOCHS * sum(record.costs[design] for design in order) / workers
    return [
        1 - sum(run.epochs for run in runs) / (EPOCHS * len(half)),
        1 - sum(run.seconds for run in runs) / (EPOCHS * sum(record.costs[design] for design in half)),
        float(top[0] not in complete),
        sum(design not in complete for design in top) / NUM_TOP,
        record.curves[best][-1],
        record.truth[best],
        *(record.truth[choice(whole, seconds / part)] for part in PARTS),
    ]


NUM_SHARES = 4  # the first columns are shares, the others accuracies


def columns(num_designs: int) -> list[str]:
    half = f"choice of {num_designs // 2}"
    shares = ["epochs saved", "seconds saved", "best pruned", f"top {NUM_TOP} pruned"]
    return [
        *shares,
        f"{half}, recorded",
        half,
        *(f"choice after {num_designs // part} designs' seconds" for part in PARTS),
    ]


@dataclass(frozen=True)
class Comparison:
    """Judges all methods on the same orders; accuracies are differences to those of the reference, in points."""

    samples: int
    orders: int
    reference: str

    def judged(self, record: Record, pool: Sequence[int], workers: int) -> dict[str, Array]:
        """Figures of every method (samples, orders, columns)."""
        rng = np.random.default_rng(0)
        orders = [
            [rng.permutation(sample).tolist() for _ in range(self.orders)]
            for sample in (rng.choice(pool, len(pool)) for _ in range(self.samples))
        ]
        return {
            name: np.array([[judge(record, search, order, workers) for order in sampled] for sampled in orders])
            for name, search in make_searches(record).items()
        }

    def table(self, record: Record, pool: Sequence[int], workers: int) -> Rows:
        """Print a table, and return its rows."""
        judged, header = self.judged(record, pool, workers), columns(len(pool))
        rows: Rows = []
        table = []
        for name, figures in judged.items():
            means = figures.mean(axis=(0, 1))
            points = 100 * (figures - judged[self.reference])[..., NUM_SHARES:].mean(axis=1)
            centres, (lows, highs) = points.mean(axis=0), np.quantile(points, (0.025, 0.975), axis=0)
            row = {"method": name, "reference": self.reference, "workers": workers, "designs": len(pool)}
            row |= {column: round(float(value), 5) for column, value in zip(header, means, strict=True)}
            rows.append(row | {"points better": np.stack([centres, lows, highs], axis=1).round(3).tolist()})
            shares = [f"{share:.0%}" for share in means[:NUM_SHARES].clip(0)]
            intervals = [
                f"{centre:+.2f} ({low:+.2f} to {high:+.2f})"
                for centre, low, high in zip(centres, lows, highs, strict=True)
            ]
            if name == self.reference:
                accuracies = [f"{100 * accuracy:.2f}" for accuracy in means[NUM_SHARES:]]
            else:
                accuracies = [f"{centres[0]:+.2f}", *intervals[1:]]
            table.append([name, *shares, *accuracies])
        print_table(("method", *header), table)
        return rows


def print_correlations(record: Record, pool: Sequence[int]) -> None:
    """Print rank correlations of early accuracies with the recorded last one and with the expected one, with 95%
    intervals over bootstrap samples of the designs."""
    targets = [[record.curves[design][-1] for design in pool], record.truth[pool]]
    samples = np.random.default_rng(0).choice(len(pool), (NUM_RESAMPLED, len(pool)))
    table = []
    for epoch in range(EPOCHS):
        accuracies = [record.curves[design][epoch] for design in pool]
        cells = []
        for pair in (np.array([accuracies, target]) for target in targets):
            low, high = np.quantile([spearmanr(*pair[:, sample]).statistic for sample in samples], (0.025, 0.975))
            cells.append(f"{spearmanr(*pair).statistic:.2f} ({low:.2f} to {high:.2f})")
        table.append([f"epoch {epoch + 1}", *cells])
    print_table((f"rank correlation, {len(pool)} designs", "last accuracy", "expected accuracy"), table)


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--samples", type=int, default=200, help="bootstrap samples of the designs")
    parser.add_argument("--orders", type=int, default=4, help="random orders of each sample")
    parser.add_argument("--reference", choices=PRUNERS, default="none", help="what the others are compared with")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    record = load_record()
    check_rules(record)
    print(f"Accuracies in percent; differences to '{options.reference}' in points, with 95% intervals over")
    print(f"{options.samples} bootstrap samples of the designs, {options.orders} orders each.")
    comparison = Comparison(options.samples, options.orders, options.reference)
    everything = list(range(len(record.curves)))
    larger = np.argsort(-record.params, kind="stable")[: len(everything) // 2].tolist()
    rows: Rows = []
    for title, pool, workers in (
        ("All designs", everything, 1),
        ("All designs, four workers", everything, 4),
        ("The larger half of the designs", larger, 1),
    ):
        print(f"\n**{title}** ({len(pool)})")
        if workers == 1:
            print_correlations(record, pool)
        rows += comparison.table(record, pool, workers)
    save_results(options.results, "pruning", rows)


if __name__ == "__main__":
    main()
