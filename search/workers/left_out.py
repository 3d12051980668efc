"""Places on which no worker could start, and until when none is tried there again."""

import time
from collections.abc import Callable
from dataclasses import dataclass

SHORTEST = 60.0  # seconds
LONGEST = 3600.0


@dataclass(frozen=True, slots=True)
class _Pause:
    end: float
    seconds: float


class LeftOut:
    """Places that are left out: for a minute at first, and twice as long each time after, up to an hour.

    A place is whatever the workers on it share that may be at fault: a node of a cluster, or a device.

    Args:
        clock: seconds that only ever grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pauses: dict[str, _Pause] = {}

    def __contains__(self, place: str) -> bool:
        pause = self._pauses.get(place)
        return pause is not None and self._clock() < pause.end

    @property
    def now(self) -> frozenset[str]:
        """All places that are left out now."""
        return frozenset(place for place in self._pauses if place in self)

    def add(self, place: str) -> float:
        """Leave a place out, unless it is so already. Returns for how many seconds."""
        if place not in self:
            before = self._pauses.get(place)
            seconds = SHORTEST if before is None else min(2 * before.seconds, LONGEST)
            self._pauses[place] = _Pause(self._clock() + seconds, seconds)
        return self._pauses[place].seconds

    def forgive(self, place: str) -> None:
        """A worker has started there after all."""
        self._pauses.pop(place, None)
