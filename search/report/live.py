"""A search that goes on, followed from what stands in its database.

Following only reads: the database is opened read-only and the study's lock is left alone. What it takes of the
processor is bounded, for a search may be training on it.
"""

import time
from collections.abc import Callable, Iterator

from search.study.view import StudyView

MAX_SHARE = 0.2  # of a processor, taken by reading and by what is done with it


def is_over(view: StudyView) -> bool:
    """Whether all trials that were asked for have been trained, and no other is on its way."""
    trained = sum(trial.state in ("complete", "pruned") for trial in view.trials)
    return trained >= view.num_trials and not any(trial.state == "running" for trial in view.trials)


def follow(
    read: Callable[[], StudyView],
    seconds: float,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[tuple[StudyView, bool]]:
    """What is read and whether more is to come, every so many seconds until the search is over.

    Where reading, and what is done with it, takes long, the pauses are longer: see `MAX_SHARE`.
    """
    while True:
        began = clock()
        view = read()
        over = is_over(view)
        yield view, not over
        if over:
            return
        took = clock() - began
        sleep(max(seconds, took * (1 - MAX_SHARE) / MAX_SHARE))
