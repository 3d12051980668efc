"""Where the device time went: seconds by outcome, and what pruning saved."""

from statistics import fmean

import pandas as pd

from search.report.notation import count, duration, percent, plural, sentence_list
from search.report.tables import Column, Table, table
from search.study.view import RunView, StudyView, TrialView

RETRAINING = {"finalist": "finalists", "final": "final training and test", "teacher": "teachers"}
OVERHEAD = "overhead"
COLUMNS = ["outcome", "count", "seconds", "share"]


def time_ledger_frame(view: StudyView) -> pd.DataFrame:
    """Device seconds by outcome, adding up to all there was: outcome, count, seconds, share.

    The count is of trials or runs, and missing for the overhead. Trials count with the seconds that led to their last
    epoch; what was lost to a kill or a crash, and had to be trained again, is a row of its own. The overhead is the
    rest of the search's wall clock times its workers: they start, time designs, wait for work and for each other. It is
    left out where the study did not record it. Of full-length runs only the seconds that led to their results are
    known. Outcomes that did not occur have no row.
    """
    rows: list[tuple[str, int | None, float]] = []
    for outcome, trials in _outcomes(view):
        rows.append((outcome, len(trials), sum(trial.seconds for trial in trials)))
    repeated = [trial for trial in view.trials if trial.lost_seconds]
    rows.append(("lost in interruptions", len(repeated), sum(trial.lost_seconds for trial in repeated)))
    rows = [row for row in rows if row[1]]
    if view.worker_seconds is not None:
        overhead = view.worker_seconds - sum(seconds for _, _, seconds in rows)
        rows.append((OVERHEAD, None, max(0.0, overhead)))
    runs = [*view.runs, *view.proxy]
    for outcome in dict.fromkeys(map(_retraining, runs)):
        of_outcome = [run.seconds for run in runs if _retraining(run) == outcome]
        rows.append((outcome, len(of_outcome), sum(of_outcome)))
    total = sum(seconds for _, _, seconds in rows)
    shares = [(*row, row[2] / total if total else 0.0) for row in rows]
    return pd.DataFrame(shares, columns=COLUMNS).astype({"count": "Int64", "seconds": float, "share": float})


def _retraining(run: RunView) -> str:
    name = RETRAINING.get(run.purpose, f"{run.purpose} runs at full length")
    return f"retraining: {name}" + (", with a teacher" if run.teaching is not None else "")


def _outcomes(view: StudyView) -> list[tuple[str, list[TrialView]]]:
    failed = [trial for trial in view.trials if trial.state == "failed"]
    return [
        ("trained to the end", [trial for trial in view.trials if trial.state == "complete"]),
        ("pruned", [trial for trial in view.trials if trial.state == "pruned"]),
        ("failed", [trial for trial in failed if not trial.too_slow]),
        ("too slow, not trained", [trial for trial in failed if trial.too_slow]),
        ("not over yet", [trial for trial in view.trials if trial.state == "running"]),
    ]


def saved_seconds(view: StudyView) -> float:
    """An estimate of the seconds that pruning saved.

    The epochs that pruned trials did not train would have taken as long, at the mean pace of each trial's own epochs.
    """
    saved = 0.0
    for trial in view.trials:
        if trial.state == "pruned" and trial.num_epochs:
            measured = [epoch.seconds for epoch in trial.history]
            pace = sum(measured) / len(measured) if measured else trial.seconds / trial.num_epochs
            whole = pace * view.epochs * _share_of_pixels(view, view.epochs) / _share_of_pixels(view, trial.num_epochs)
            saved += max(0.0, whole - trial.seconds)  # what it trained after it was pruned is not saved
    return saved


def _share_of_pixels(view: StudyView, num_epochs: int) -> float:
    """The mean share of an image's pixels that a trial's first epochs are trained on."""
    shares = view.pixels[:num_epochs]
    return fmean(shares) if shares else 1.0


def pace(view: StudyView) -> tuple[float, float | None] | None:
    """Images a second that trials were trained at, their validation included, and the share of the device's peak.

    An image takes six operations for each multiply-accumulate: two forward, and twice as many backward; a smaller one
    has as many fewer as it has pixels. The peak is what products of large matrices reach. None where no trial has both
    epochs and a size of batch.
    """
    images = operations = seconds = 0.0
    for trial in view.trials:
        if trial.history and trial.batch_size:
            num_images = view.num_train // trial.batch_size * trial.batch_size * len(trial.history)
            images += num_images
            operations += 6.0 * trial.macs * num_images * _share_of_pixels(view, len(trial.history))
            seconds += sum(epoch.seconds for epoch in trial.history)
    if not images or not seconds:
        return None
    return images / seconds, operations / seconds / view.peak if view.peak else None


def pace_sentence(view: StudyView) -> str:
    """At what pace trials were trained."""
    measured = pace(view)
    if measured is None:
        return ""
    rate, share = measured
    of_peak = f", {percent(share, 1)} of what products of large matrices reach on the GPU" if share is not None else ""
    return f" Trials were trained at {rate:,.0f} images a second{of_peak}."


def time_ledger_table(frame: pd.DataFrame) -> Table:
    """`time_ledger_frame` for readers, with its total."""
    total = {"outcome": "total", "count": pd.NA, "seconds": frame["seconds"].sum(), "share": frame["share"].sum()}
    rows = pd.concat([frame, pd.DataFrame([total]).astype(frame.dtypes.to_dict())], ignore_index=True)
    columns = [
        Column("outcome", "Outcome"), Column("count", "Trials or runs", lambda n: count(None if pd.isna(n) else n)),
        Column("seconds", "Device time", duration), Column("share", "Share", lambda share: percent(share, 1)),
    ]  # fmt: skip
    return table("Where the device time of search and retraining went.", rows, columns)


def time_sentence(frame: pd.DataFrame, view: StudyView) -> str:
    """What search and retraining cost, by outcome of `time_ledger_frame`, and what pruning saved."""
    total = float(frame["seconds"].sum())
    if not total:
        return "No device time is recorded."
    parts = [
        f"{percent(share, 0)} {outcome}"
        for outcome, share in zip(frame["outcome"], frame["share"], strict=True)
        if share >= 0.005
    ]
    pruned = sum(trial.state == "pruned" for trial in view.trials)
    about = f"saved about {duration(saved_seconds(view))}, an estimate by the pace of each"
    saved = f"Pruning {plural(pruned, 'trial')} {about}." if pruned else "No trial was pruned."
    unknown = "" if view.worker_seconds is not None else " The overhead of the search was not recorded."
    return f"Device time {duration(total)}: {sentence_list(parts)}. {saved}{pace_sentence(view)}{unknown}"
