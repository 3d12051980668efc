"""What the audit of the proxy shows: how far a short schedule can be trusted to choose among designs."""

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from search.report.drawing import BLUE, GREY, ORANGE, Drawing, accuracy_axis, blank, records, safe
from search.report.notation import count, design, exists, percent, plural, points, sentence_list
from search.report.retraining.known_runs import is_known
from search.report.statistics.rank_correlation import NUM_RESAMPLES, Agreement, Correlation, agreement
from search.report.statistics.significance import CONFIDENCE
from search.report.trials.leaderboard import measured_epochs
from search.study.networks import alike
from search.study.rounds import audit_round
from search.study.view import RunView, StudyView, merit

COLUMNS = [
    "number", "state", "params", "macs", "value", "epochs", "full_value", "full_values", "full_epochs", "recipe",
    "design",
]  # fmt: skip
SIMILAR = 1.1  # parameters of two trials that are at most this many times apart: size explains nothing between them


def proxy_frame(view: StudyView) -> pd.DataFrame:
    """One row an audited trial, by number: its accuracy after the short schedule and after the full one.

    `value` was measured after `epochs` epochs of the search; a pruned trial's is the last it measured. `full_value` is
    the mean of `full_values` (one a seed) after `full_epochs` epochs of the `recipe`: validation accuracies of the
    weights that were kept, by which finalists are ranked too. A trial without both has no row. Where trials were
    audited in several ways, those of one are read (`search.study.rounds.audit_round`).
    """
    trials = {trial.number: trial for trial in view.trials}
    runs: dict[int, list[RunView]] = defaultdict(list)
    for run in sorted(audit_round(_known(view)), key=lambda run: run.seed):
        if run.identity.trial is not None:
            runs[run.identity.trial].append(run)
    rows = []
    for number, trial in sorted(trials.items()):
        full = [(run, value) for run in runs[number] if (value := run.validation) is not None]
        if trial.state not in ("complete", "pruned") or not exists(trial.value) or not full:
            continue
        values = [value for _, value in full]
        rows.append(
            (trial.number, trial.state, trial.params, trial.macs, trial.value, measured_epochs(trial),
             math.fsum(values) / len(values), values, max(run.epochs for run, _ in full), full[0][0].recipe,
             design(trial.architecture))
        )  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def other_audits(view: StudyView) -> str | None:
    """The ways in which trials were audited too, in a sentence; None if there are none."""
    known = _known(view)
    shown = {run.way for run in audit_round(known)}
    others = {network.way: network for network in alike(known) if network.way not in shown}
    if not others:
        return None
    names = sentence_list([f"{network.training} ({network.hardware})" for network in others.values()])
    return f"Trials were audited by {names} too. That is not shown: values of different trainings cannot be compared."


def _known(view: StudyView) -> list[RunView]:
    """The audit's runs of the study's own trials."""
    trials = {trial.number: trial for trial in view.trials}
    return [run for run in view.proxy if run.identity.dropout is None and is_known(run, trials)]


def overall(frame: pd.DataFrame) -> Agreement:
    """How alike short and full schedule order all audited trials of `proxy_frame`."""
    return agreement(frame["value"].tolist(), frame["full_value"].tolist())


def among_complete(frame: pd.DataFrame) -> Agreement:
    """The same, of trials that had the whole short schedule."""
    return overall(frame[frame["state"] == "complete"])


def among_best(frame: pd.DataFrame) -> Agreement:
    """The same, of the best quarter by the value of the search, where the choice is made."""
    return overall(_best_quarter(frame, "value"))


def among_similar(frame: pd.DataFrame) -> Agreement:
    """The same, of pairs of trials whose parameters are at most `SIMILAR` times apart."""
    params = frame["params"].to_numpy(dtype=float)
    near = np.maximum.outer(params, params) <= SIMILAR * np.minimum.outer(params, params)
    return agreement(frame["value"].tolist(), frame["full_value"].tolist(), near)


def _best_quarter(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """A quarter of the rows, rounded up, with the largest values; all that tie with the last of them belong to it."""
    last = sorted(frame[column], reverse=True)[math.ceil(len(frame) / 4) - 1]
    return pd.DataFrame(frame[frame[column] >= last])


def best_at_full_length(frame: pd.DataFrame) -> tuple[list[int], list[int]]:
    """The numbers of the best quarter by full value, best first, and which of them the pruner ended."""
    best = _best_quarter(frame, "full_value").sort_values(["full_value", "number"], ascending=[False, True])
    return best["number"].tolist(), best.loc[best["state"] == "pruned", "number"].tolist()


def choice(frame: pd.DataFrame) -> dict[str, Any] | None:
    """The row that a search would choose of these, a complete trial; None if none is complete."""
    complete = records(frame[frame["state"] == "complete"])
    return min(complete, key=lambda row: merit(row["value"], row["params"], row["number"])) if complete else None


def regret(frame: pd.DataFrame) -> float | None:
    """How much accuracy the choice costs: the best full value of all audited trials less that of the chosen one."""
    chosen = choice(frame)
    return float(frame["full_value"].max() - chosen["full_value"]) if chosen else None


@dataclass(frozen=True, slots=True)
class ProxyVerdict:
    """What an audit shows, in sentences: how alike both schedules rank, of whom, and what the search's choice costs."""

    answer: str
    subsets: tuple[str, ...]
    cost: tuple[str, ...]
    method: str

    @property
    def sentences(self) -> list[str]:
        """All of them, the answer first."""
        return [self.answer, *self.subsets, *self.cost, self.method]


def proxy_verdict(frame: pd.DataFrame, epochs: int) -> ProxyVerdict | None:
    """What the audit of `proxy_frame` shows; None without an audited trial.

    Args:
        epochs: of the search's schedule.
    """
    if frame.empty:
        return None
    subsets = []
    if (frame["state"] == "pruned").any():
        subsets.append(f"Complete trials alone: {_coefficients(among_complete(frame))}.")
    subsets.append(f"The best quarter by the value of the search: {_coefficients(among_best(frame))}.")
    similar = among_similar(frame)
    same_order = f"; the order is the same in {similar.num_alike} of {plural(similar.num_pairs, 'pair')}"
    subsets.append(
        f"Pairs of trials whose parameters differ by at most {SIMILAR - 1:.0%}, where size explains nothing: "
        f"{_coefficients(similar)}{same_order if similar.num_pairs else ''}."
    )
    return ProxyVerdict(_answer(frame, epochs), tuple(subsets), tuple(_cost(frame)), _method(frame))


def _answer(frame: pd.DataFrame, epochs: int) -> str:
    ranking, num_pruned = overall(frame), int((frame["state"] == "pruned").sum())
    short, full = plural(epochs, "epoch"), plural(int(frame["full_epochs"].max()), "epoch")
    coefficients = f"{_coefficients(ranking)}{f', {num_pruned} of them pruned early' if num_pruned else ''}"
    if ranking.kendall is None:
        return f"Whether a trial's value after {short} ranks designs as {full} do is unknown: {coefficients}."
    return f"A trial's value after {short} ranks designs as {full} do with {coefficients}."


def _coefficients(ranking: Agreement) -> str:
    """rho = 0.83 (0.62 to 0.93), tau = 0.66 (0.40 to 0.80), 16 trials."""
    trials = plural(ranking.num_things, "trial")
    if ranking.kendall is None:
        return f"too few to tell ({trials}, {plural(ranking.num_pairs, 'pair')} without a tie)"
    both = (("rho", ranking.spearman), ("tau", ranking.kendall))
    words = [f"{name} = {_interval(coefficient)}" for name, coefficient in both if coefficient is not None]
    words.append(trials)
    if ranking.kendall.low is None:
        reason = "no interval because resampling cannot vary it" if ranking.has_enough else "too few for an interval"
        words.append(reason)
    return ", ".join(words)


def _interval(coefficient: Correlation) -> str:
    ends = f" ({coefficient.low:.2f} to {coefficient.high:.2f})" if coefficient.low is not None else ""
    return f"{coefficient.value:.2f}{ends}"


def _cost(frame: pd.DataFrame) -> list[str]:
    best, ended = best_at_full_length(frame)
    which = f": {sentence_list([f'trial {number}' for number in ended])}" if ended else ""
    pruned = f"Of the best {len(best)} at full length (a quarter, with ties) the pruner ended {len(ended)}{which}."
    chosen, lost = choice(frame), regret(frame)
    if chosen is None or lost is None:
        return [pruned, "None of these trials is complete, so a search would choose none of them."]
    chosen_value = percent(chosen["full_value"])
    start = f"A search would choose trial {chosen['number']} of these, with {chosen_value} at full length"
    if lost == 0:
        return [pruned, f"{start}, which is the best."]
    top = max(records(frame), key=lambda row: (row["full_value"], -row["number"]))
    top_value = percent(top["full_value"])
    return [pruned, f"{start}; trial {top['number']} has {top_value}: the choice costs {points(lost)} points."]


def _method(frame: pd.DataFrame) -> str:
    seeds = [len(values) for values in frame["full_values"]]
    runs = f"{min(seeds)} to {max(seeds)} runs" if min(seeds) < max(seeds) else plural(max(seeds), "run")
    return (
        f"rho is Spearman's rank correlation, tau Kendall's, from -1 to 1. Brackets hold {CONFIDENCE:.0%} intervals, "
        f"percentiles over {NUM_RESAMPLES:,} resamples of the trials. Full values are validation accuracies, of {runs} "
        "a trial; the noise between runs, which lowers a correlation, is not taken out."
    )


def proxy_figure(frame: pd.DataFrame, epochs: int, verdict: ProxyVerdict) -> Drawing:
    """Draw `proxy_frame`: full against short value, pruned trials marked, and which one a search would choose.

    Args:
        epochs: of the search's schedule.
        verdict: its answer and its cost are said under the figure.
    """
    figure = blank(420)
    looks = {
        "complete": {"color": BLUE, "size": 8, "opacity": 0.8},
        "pruned": {"color": GREY, "size": 9, "symbol": "x-thin-open", "line": {"width": 1.5, "color": GREY}},
    }
    for state, marker in looks.items():
        rows = frame[frame["state"] == state]
        if rows.empty:
            continue
        figure.add_scatter(
            x=rows["value"].round(5).tolist(),
            y=rows["full_value"].round(5).tolist(),
            mode="markers",
            name=f"{state} trial",
            marker=marker,
            text=[
                f"trial {row['number']}, {state}: {percent(row['value'])} after {plural(row['epochs'], 'epoch')}, "
                f"{percent(row['full_value'])} after {row['full_epochs']}<br>{count(row['params'])} parameters<br>"
                f"{safe(row['design'], 90)}"
                for row in records(rows)
            ],
            hoverinfo="text",
        )
    if chosen := choice(frame):
        figure.add_scatter(
            x=[round(chosen["value"], 5)],
            y=[round(chosen["full_value"], 5)],
            mode="markers",
            name="a search's choice",
            marker={"color": ORANGE, "size": 15, "symbol": "circle-open", "line": {"width": 2, "color": ORANGE}},
            hoverinfo="skip",
        )
    full_epochs = int(frame["full_epochs"].max())
    accuracy_axis(figure, f"Validation accuracy in the search, {plural(epochs, 'epoch')}", "xaxis")
    accuracy_axis(figure, f"Validation accuracy after {plural(full_epochs, 'epoch')}")
    caption = [f"{plural(len(frame), 'trial')} trained again at full length.", verdict.answer, *verdict.cost]
    return Drawing("proxy", figure, " ".join(caption))
