"""Does a short training rank designs as a long one does, and which policy finds the best network in the same time?

Of the designs that `ranking.py` has recorded: rank correlations, what twice the parameters, multiply-accumulates or
layers are worth at full length, and policies replayed at equal device time.

A policy is judged by the test accuracy at full length of the design that it chooses by validation accuracies alone.
Every replay draws designs from the record with replacement, as a search draws them from the space; intervals are over
bootstrap samples of the designs, and all policies are given the same ones. What is rated is the order in which things
are trained and what decides: how a sampler learns is not replayed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from measuring import Rows, make_parser, print_table, save_results
from ranking import LONG, MIDDLE, RECORDED, SHORT, SIZE, read
from scipy.stats import spearmanr

from models.architecture import Architecture
from models.count import count_macs, count_parameters

NEAR = 0.8  # of the budget
FEWEST_DRAWS = 10

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """The designs of a budget that have all their runs.

    Attributes:
        validation: (designs,) of each length in epochs, the last of its curve.
        truth: (designs,) test accuracy at full length.
        seconds: (designs,) of one thread for an epoch, other processes not counted.
    """

    budget: int
    names: list[str]
    validation: dict[int, Array]
    truth: Array
    seconds: Array
    params: Array
    macs: Array
    layers: Array

    @classmethod
    def of(cls, rows: Rows, budget: int) -> "Table":
        runs: dict[Architecture, dict[int, dict[str, Any]]] = {}
        for row in rows:
            if row["budget"] == budget and row["seed"] == 0:
                runs.setdefault(Architecture.from_dict(row["architecture"]), {})[row["epochs"]] = row
        networks = [network for network, by_epochs in runs.items() if by_epochs.keys() >= {SHORT, MIDDLE, LONG}]
        return cls(
            budget,
            [runs[network][LONG]["name"] for network in networks],
            {
                epochs: np.array([runs[network][epochs]["curve"][-1] for network in networks])
                for epochs in (SHORT, MIDDLE, LONG)
            },
            np.array([runs[network][LONG]["test"] for network in networks]),
            np.array([runs[network][LONG]["cpu"] / LONG for network in networks]),
            np.array([count_parameters(network) for network in networks], float),
            np.array([count_macs(network, SIZE) for network in networks], float),
            np.array([network.depth for network in networks], float),
        )

    @cached_property
    def near(self) -> npt.NDArray[np.int64]:
        """The designs within 20% of the budget."""
        return np.flatnonzero(self.params >= NEAR * self.budget)

    def at(self, epochs: Array) -> Array:
        """(designs,) validation accuracy after so many epochs of a schedule of that length (designs,), between the
        recorded lengths on a line over the logarithm."""
        lengths = sorted(self.validation)
        columns = np.stack([self.validation[length] for length in lengths])
        places = np.interp(np.log(epochs), np.log(lengths), np.arange(len(lengths)))
        low = np.minimum(places.astype(int), len(lengths) - 2)
        designs = np.arange(len(self.names))
        share = places - low
        result: Array = (1 - share) * columns[low, designs] + share * columns[low + 1, designs]
        return result


Order = npt.NDArray[np.int64]
# The design that is chosen of an order of designs, in so many seconds of one thread; None if there is no time for one.
Policy = Callable[[Table, Order, float], int | None]


def first_round(scores: Array, costs: Array, designs: Order, seconds: float, reserve: Callable[[int], float]) -> Order:
    """The designs that can be trained in the time but for what the rest of the policy takes, best first.

    Args:
        scores: (designs,), by which they are ranked.
        costs: (designs,) seconds of the short training.
        designs: in the order in which they are trained; one that comes again is not trained again.
        reserve: the seconds that are kept back, by how many designs are trained.
    """
    new = np.array(list(dict.fromkeys(designs.tolist())))
    spent = np.cumsum(costs[new])
    fits = [number for number in range(1, len(new) + 1) if spent[number - 1] + reserve(number) <= seconds]
    trained = new[: fits[-1]] if fits else new[:0]
    return trained[np.argsort(-scores[trained], kind="stable")]


def by_epochs(epochs: int, slope: Callable[[Table], tuple[float, float]] | None = None, fill: float = 0.0) -> Policy:
    """Rank by validation accuracy after so many epochs, plus slopes times the logarithms of parameters and MACs."""

    def choose(table: Table, order: Order, seconds: float) -> int | None:
        of_params, of_macs = slope(table) if slope else (0.0, 0.0)
        scores = table.validation[epochs] + of_params * np.log(table.params) + of_macs * np.log(table.macs)
        order = order[table.params[order] >= fill * table.budget]
        last = LONG * float(table.seconds.mean())
        ranked = first_round(scores, epochs * table.seconds, order, seconds, lambda number: last)
        return int(ranked[0]) if len(ranked) else None

    return choose


def by_seconds(epochs: int) -> Policy:
    """Rank after equal seconds: those that so many epochs of the mean design take."""

    def choose(table: Table, order: Order, seconds: float) -> int | None:
        each = epochs * float(table.seconds.mean())
        scores = table.at(np.clip(each / table.seconds, SHORT, LONG))
        costs = np.full(len(table.names), each)
        last = LONG * float(table.seconds.mean())
        ranked = first_round(scores, costs, order, seconds, lambda number: last)
        return int(ranked[0]) if len(ranked) else None

    return choose


def promoting(first: int, rounds: Sequence[tuple[int, int]], fill: float = 0.0) -> Policy:
    """Rank by `first` epochs; of the best, so many (or a third, for 0) are ranked by so many epochs, and so on."""

    def choose(table: Table, order: Order, seconds: float) -> int | None:
        mean = float(table.seconds.mean())
        order = order[table.params[order] >= fill * table.budget]

        def sizes(number: int) -> list[int]:
            kept = []
            for most, _ in rounds:
                number = min(number, most) if most else -(-number // 3)
                kept.append(number)
            return kept

        def reserve(number: int) -> float:
            later = sum(size * epochs for size, (_, epochs) in zip(sizes(number), rounds, strict=True))
            return mean * (later + LONG)

        ranked = first_round(table.validation[first], first * table.seconds, order, seconds, reserve)
        for size, (_, epochs) in zip(sizes(len(ranked)), rounds, strict=True):
            ranked = ranked[:size]
            ranked = ranked[np.argsort(-table.validation[epochs][ranked], kind="stable")]
        return int(ranked[0]) if len(ranked) else None

    return choose


def fitted(table: Table, epochs: int = SHORT) -> tuple[float, float]:
    """The slopes by which parameters and MACs make up for a short training, fitted to all designs: a study, which knows
    few at both lengths, would know them less well."""
    features = np.stack([np.ones(len(table.truth)), np.log(table.params), np.log(table.macs)], axis=1)
    gains = table.validation[LONG] - table.validation[epochs]
    solution = np.linalg.lstsq(features, gains, rcond=None)[0]
    return float(solution[1]), float(solution[2])


REFERENCE = f"by {SHORT} epochs"
POLICIES: dict[str, Policy] = {
    **{f"by {epochs} epochs": by_epochs(epochs) for epochs in (SHORT, MIDDLE, LONG)},
    **{f"by the seconds of {epochs} epochs": by_seconds(epochs) for epochs in (SHORT, MIDDLE)},
    f"by {SHORT} epochs, corrected by parameters and MACs": by_epochs(SHORT, fitted),
    **{f"by {epochs} epochs, fill {NEAR}": by_epochs(epochs, fill=NEAR) for epochs in (SHORT, MIDDLE)},
    **{
        f"by {SHORT} epochs, the best {number or 'third'} by {MIDDLE}": promoting(SHORT, [(number, MIDDLE)])
        for number in (0, 3, 9, 18)
    },
    f"by {SHORT} epochs, the best 9 by {MIDDLE}, fill {NEAR}": promoting(SHORT, [(9, MIDDLE)], NEAR),
    f"by {SHORT} epochs, the best 3 by {LONG}": promoting(SHORT, [(3, LONG)]),
    f"by {SHORT} epochs, the best 9 by {MIDDLE}, of these 3 by {LONG}": promoting(SHORT, [(9, MIDDLE), (3, LONG)]),
    f"by {SHORT} epochs, a third by {MIDDLE}, a third of these by {LONG}": promoting(SHORT, [(0, MIDDLE), (0, LONG)]),
}


def reached_by(policy: Policy, table: Table, orders: Sequence[Order], seconds: float) -> Array | None:
    """(orders,) the accuracy at full length of what is chosen of each order; None if for one there is no time."""
    chosen = [number for order in orders if (number := policy(table, order, seconds)) is not None]
    return table.truth[chosen] if len(chosen) == len(orders) else None


def print_correlations(table: Table, samples: int) -> Rows:
    """Rank correlations of validation accuracies with the test accuracy at full length, 95% intervals over designs."""
    rng = np.random.default_rng(0)
    corrected = fitted(table)
    by = {f"{epochs} epochs": values for epochs, values in table.validation.items()}
    by[f"{SHORT} epochs, corrected"] = (
        table.validation[SHORT] + corrected[0] * np.log(table.params) + corrected[1] * np.log(table.macs)
    )
    by |= {"parameters": table.params, "MACs": table.macs}
    rows: Rows = []
    for name, values in by.items():
        row: dict[str, Any] = {"budget": table.budget, "by": name}
        for which, pool in (("all", np.arange(len(values))), (f"from {NEAR:.0%} of the budget", table.near)):
            pairs = np.stack([values[pool], table.truth[pool]])
            resampled = [
                spearmanr(*pairs[:, rng.integers(len(pool), size=len(pool))]).statistic for _ in range(samples)
            ]
            row[which] = [float(spearmanr(*pairs).statistic), *np.nanquantile(resampled, (0.025, 0.975)).tolist()]
            row[f"designs, {which}"] = len(pool)
        rows.append(row)
    names = [name for name in rows[0] if name not in ("budget", "by") and not name.startswith("designs")]
    header = [f"{name}: {rows[0][f'designs, {name}']} designs" for name in names]
    print_table(
        ("rank correlation with full length", *header),
        [[row["by"], *("{:.2f} ({:.2f} to {:.2f})".format(*row[name]) for name in names)] for row in rows],
    )
    return rows


def print_worth(table: Table, samples: int) -> Rows:
    """Points of accuracy at full length, in equal epochs, that go with twice of a quantity and the others as they are:
    least squares over all designs, 95% intervals over bootstrap samples of them."""
    quantities = {"parameters": table.params, "MACs": table.macs, "layers": table.layers}
    features = np.stack([np.ones(len(table.truth)), *(np.log2(values) for values in quantities.values())], axis=1)

    def slopes(designs: Order) -> Array:
        result: Array = 100 * np.linalg.lstsq(features[designs], table.truth[designs], rcond=None)[0][1:]
        return result

    rng, number = np.random.default_rng(0), len(table.truth)
    worth = slopes(np.arange(number))
    ends = np.quantile([slopes(rng.integers(number, size=number)) for _ in range(samples)], (0.025, 0.975), axis=0)
    rows: Rows = [
        {"budget": table.budget, "twice": name, "points": [float(value), float(low), float(high)]}
        for name, value, low, high in zip(quantities, worth, *ends, strict=True)
    ]
    print_table(
        ("twice the", "points at full length"),
        [[row["twice"], "{:+.2f} ({:+.2f} to {:+.2f})".format(*row["points"])] for row in rows],
    )
    return rows


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--table", type=Path, default=RECORDED, help="the record")
    parser.add_argument("--samples", type=int, default=1_000, help="bootstrap samples of the designs")
    parser.add_argument("--times", type=int, nargs="+", default=[6, 12, 24], help="device time, in full trainings")
    options = parser.parse_args()
    rows = read(options.table)
    results: Rows = []
    for budget in sorted({row["budget"] for row in rows}):
        table = Table.of(rows, budget)
        num_draws = sum(not name.startswith("guess") for name in table.names)
        if num_draws < FEWEST_DRAWS:
            print(f"\n**{budget:,} parameters**: {num_draws} draws are recorded so far, too few for a replay")
            continue
        best = max((table.truth[number], name) for number, name in enumerate(table.names) if name.startswith("guess"))
        print(f"\n**{budget:,} parameters**: {len(table.names)} designs. At full length the best reaches")
        print(f"{table.truth.max():.2%}, and the best guess, {best[1]}, {best[0]:.2%}.")
        results += print_correlations(table, options.samples)
        results += print_worth(table, options.samples)
        draws = np.array([number for number, name in enumerate(table.names) if not name.startswith("guess")])
        rng = np.random.default_rng(0)
        orders = [rng.choice(rng.choice(draws, len(draws)), 2 * len(draws)) for _ in range(options.samples)]
        full = LONG * float(table.seconds.mean())
        lines = []
        for name, policy in POLICIES.items():
            cells = []
            for times in options.times:
                ours = reached_by(policy, table, orders, times * full)
                reference = reached_by(POLICIES[REFERENCE], table, orders, times * full)
                if ours is None or reference is None:
                    cells += ["too short", ""]
                    continue
                gains = 100 * (ours - reference)
                low, high = np.quantile(gains, (0.025, 0.975))
                error = gains.std() / len(gains) ** 0.5
                cells += [
                    f"{100 * ours.mean():.2f}",
                    f"{gains.mean():+.2f} ± {error:.2f} ({low:+.2f} to {high:+.2f})",
                ]
                results.append(
                    {
                        "budget": budget,
                        "policy": name,
                        "times": times,
                        "accuracy": round(float(ours.mean()), 5),
                        "points better": [round(float(value), 3) for value in (gains.mean(), low, high)],
                    }
                )
            lines.append([name, *cells])
        header = [cell for times in options.times for cell in (f"{times} full trainings", "better by")]
        print_table(("policy", *header), lines)
    save_results(options.results, "ranking", results)


if __name__ == "__main__":
    main()
