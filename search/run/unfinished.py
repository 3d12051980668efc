"""The trials that an earlier run of a search left unfinished."""

import shutil

from optuna.trial import TrialState

from search.run.listener import Listener
from search.study.storage import Record, TrialRecord, architecture_of, is_whole


def unfinished(record: Record, listener: Listener) -> list[TrialRecord]:
    """The trials that are recorded as running: only the lock's holder runs trials, so nobody trains them.

    One that was written by hand, without a design or with that of another trial, is told failed. What is left on disk
    of trials that have ended is removed.
    """
    found = []
    ended = [trial for trial in record.trials if trial.state.is_finished()]
    numbers = {architecture_of(trial).canonical(): trial.number for trial in ended if is_whole(trial)}
    for trial in record.trials:
        if trial.state != TrialState.RUNNING:
            # An earlier run may have been killed right after it recorded the end.
            shutil.rmtree(record.files.trial(trial.number), ignore_errors=True)
            continue
        opened = record.open(trial.number)
        if not is_whole(trial):
            _refuse(opened, "recorded without its design", listener)
        elif (number := numbers.setdefault(architecture_of(trial).canonical(), trial.number)) != trial.number:
            _refuse(opened, f"its design is that of trial {number}", listener)
        else:
            found.append(opened)
    return found


def _refuse(trial: TrialRecord, reason: str, listener: Listener) -> None:
    trial.finish(TrialState.FAIL, {"reason": reason})
    listener.ended(trial.number, TrialState.FAIL, None, reason)
