"""Searches replayed on recorded learning curves: what each would have trained, for how long, and in which order.

A pruner is asked as `nas search` asks it: after every epoch but the last, about all the epochs so far. The rules of
Optuna's pruners are written again here because its studies take fifty times as long; `AskedOptuna` asks the real
ones in the same replay, so that every benchmark can check the rules against them.
"""

from binascii import crc32
from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from math import ceil, floor, log
from typing import Protocol

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, NopPruner, PercentilePruner, SuccessiveHalvingPruner
from optuna.trial import Trial, TrialState

from search.run.proposals import AfterStartup

Curve = Sequence[float]


@dataclass(frozen=True, slots=True)
class Run:
    """One training of one design: when it ended, what it cost, and its last accuracy if it reached its last epoch."""

    ended: float
    design: int
    epochs: int
    seconds: float
    value: float | None


class Rule(Protocol):
    """Ends trials early. A trial begins, is asked about after every epoch but the last, and is told of its end."""

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
    """Ends a trial whose best accuracy so far is below a quantile of the completed trials' at that epoch."""

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
    """Another rule, which ends none of the first trials."""

    def __init__(self, rule: Rule, num_trials: int) -> None:
        self.rule, self.num_trials = rule, num_trials

    def ends(self, number: int, curve: Curve) -> bool:
        return self.rule.ends(number, curve) and number >= self.num_trials


class Hyperband(Nothing):
    """Halving in several brackets that begin at different epochs; a trial's number decides on its bracket."""

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
    """Asks a real pruner, in a study in memory."""

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
        self.trials[number].should_prune()  # it is asked, but what it says of the last epoch is not heeded
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


def replay(
    rule: Rule, curves: Sequence[Curve], costs: Sequence[float], order: Sequence[int], workers: int
) -> list[Run]:
    """Train the designs in this order, by virtual time.

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


@dataclass(frozen=True, slots=True)
class Rungs:
    """A short schedule that is annealed to zero, and a long one for the best 1 / factor of those that had it so far.

    Attributes:
        short: last accuracy of each design after the short schedule.
        long: the same after the long one.
        epochs: of the short schedule, and of the long one beyond what it takes over from the short one.
    """

    short: Mapping[int, float]
    long: Mapping[int, float]
    epochs: tuple[int, int]
    factor: int


def replay_rungs(rungs: Rungs, costs: Sequence[float], order: Sequence[int], workers: int) -> list[Run]:
    """As `replay`, by asynchronous successive halving: a free worker takes the best trial that may go on, or else a new
    one. A trial may go on from the moment it is among the best 1 / factor of the short schedule so far."""
    runs: list[Run] = []
    trained: list[tuple[float, int]] = []  # by the short schedule, in rising order
    promoted: set[int] = set()
    events: list[tuple[float, int]] = []  # end of a schedule, number of the trial
    new = iter(range(len(order)))

    def begin(now: float) -> None:
        while len(events) < workers:
            best = trained[len(trained) - len(trained) // rungs.factor :]
            if (number := next((number for _, number in reversed(best) if number not in promoted), None)) is not None:
                promoted.add(number)
            elif (number := next(new, None)) is None:
                return
            heappush(events, (now + rungs.epochs[number in promoted] * costs[order[number]], number))

    begin(0.0)
    while events:
        now, number = heappop(events)
        design, is_long = order[number], number in promoted
        epochs = rungs.epochs[is_long]
        runs.append(Run(now, design, epochs, epochs * costs[design], rungs.long[design] if is_long else None))
        if not is_long:
            insort(trained, (rungs.short[design], number))
        begin(now)
    return runs


def quantile(values: Sequence[float], share: float) -> float:
    """Of values in rising order, between neighbours by a straight line, to the last bit as numpy does it."""
    place = share * (len(values) - 1)
    low = floor(place)
    step = values[min(low + 1, len(values) - 1)] - values[low]
    weight = place - low
    return values[low] + step * weight if weight < 0.5 else values[low] + step - step * (1 - weight)
