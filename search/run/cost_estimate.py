"""How long designs take to train, measured before the first trial."""

from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np

from models.architecture import Architecture, ArchitectureError
from models.count import count_macs
from search.protocol import Failed, Timed, Timing
from search.run.listener import Listener
from search.space.draws import Draws
from search.study.plan import Plan
from search.workers.crew import Crew

NUM_TIMED = 3
MAX_TIMINGS = 3
MAX_TIMED_DRAWS = 300


def random_designs(draws: Draws, seed: int, image_size: int) -> Iterator[Architecture]:
    """Different designs within the limits that can take images of this size; they are not the trials' draws."""
    rng = np.random.default_rng([seed, 1])
    drawn: set[Architecture] = set()
    for _ in range(MAX_TIMED_DRAWS):
        architecture = draws.draw(rng)
        if architecture in drawn:
            continue
        drawn.add(architecture)
        try:
            count_macs(architecture, image_size)
        except ArchitectureError:
            continue
        yield architecture


def seconds_per_mac(
    crew: Crew, designs: Iterator[Architecture], plan: Plan, listener: Listener, interrupted: Callable[[], bool]
) -> float | None:
    """Seconds of an epoch for each multiply-accumulate of a network: the most among `NUM_TIMED` designs.

    Where these cannot be timed, others are tried, `MAX_TIMINGS` times in all. None if none can be: a search can do
    without, and its trials show what is wrong.

    Raises:
        TrainingError: a worker cannot start.
    """
    for _ in range(MAX_TIMINGS):
        architectures = tuple(islice(designs, NUM_TIMED))
        if not architectures:
            return None  # nearly every design is impossible at this size of image
        answer = _time(crew, Timing(architectures, plan.question.recipe), interrupted)
        if answer is None:
            return None
        if isinstance(answer, Timed):
            listener.timed(architectures, answer)
            macs = [count_macs(architecture, plan.task.image_size) for architecture in architectures]
            return max(seconds / cost for seconds, cost in zip(answer.seconds_per_epoch, macs, strict=True))
        listener.untimed(answer.reason)
    return None


def _time(crew: Crew, timing: Timing, interrupted: Callable[[], bool]) -> Timed | Failed | None:
    """A worker's answer, or None if somebody has asked for the end."""
    while not crew.has_idle and not interrupted():
        crew.receive()  # the worker of an earlier timing was lost, and a new one is starting
    if interrupted():
        return None
    crew.start("timing", timing)
    while not interrupted():
        event = crew.receive()
        if event is not None and isinstance(event.message, Timed | Failed):
            return event.message
    return None
