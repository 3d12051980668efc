"""The round that picks a winner: finalists at full length, by their validation accuracy."""

from collections import Counter

import pandas as pd

from search.identity import Identity
from search.report.notation import plural
from search.report.runs import finalist_runs, last_validation
from search.report.tables import ranked
from search.study.networks import alike
from search.study.results import NUM_FINALIST_SEEDS
from search.study.view import StudyView


def unfinished_round(view: StudyView) -> str | None:
    """How far a round is that has no winner yet, in words; None if it has one, or if there was no round.

    It has one once every finalist has all its seeds, and there are two of them or other dropouts were tried, which
    comes after. A finalist of which not a single run has ended cannot be seen.
    """
    seeds = Counter(run.label for run in finalist_runs(view))
    own = {label: number for label, number in seeds.items() if _dropout(label) is None}
    finished = sum(number >= NUM_FINALIST_SEEDS for number in own.values())
    if not seeds or (finished == len(own) > 0 and len(seeds) > 1):
        return None
    have = "has" if finished == 1 else "have"
    return f"{finished} of {plural(len(own), 'finalist')} begun {have} all of {NUM_FINALIST_SEEDS} seeds"


def _number(label: str) -> int | None:
    return Identity.parse(label).trial


def _dropout(label: str) -> float | None:
    """What was tried with a winner; None for a trial as it was found."""
    return Identity.parse(label).dropout


def finalists_frame(view: StudyView) -> pd.DataFrame:
    """The round that picks a winner, best first: label, seeds, mean and deviation of validation accuracy, params, macs.

    Means over more seeds come first: a finalist whose round is unfinished cannot win by one lucky seed. Of equal means
    that comes first which is better in the search. Other dropouts are tried with the winner; what was tried with a
    trial that has lost since is left out.
    """
    places: dict[int | None, int] = {trial.number: place for place, trial in enumerate(ranked(view))}
    rows = []
    for each in alike(finalist_runs(view)):
        values = pd.Series([last_validation(run) for run in each.runs], dtype=float)
        rows.append((each.label, each.seeds, float(values.mean()), float(values.std()), each.params, each.macs))
    rows.sort(key=lambda row: (-row[1], -row[2], places.get(_number(row[0]), len(places))))
    best = next((_number(row[0]) for row in rows if _dropout(row[0]) is None), None)
    kept = [row for row in rows if _dropout(row[0]) is None or _number(row[0]) == best]
    return pd.DataFrame(kept, columns=["label", "seeds", "mean", "deviation", "params", "macs"])
