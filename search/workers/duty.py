"""What a worker is doing, and by when it must be heard from."""

from dataclasses import dataclass

from search.protocol import Assignment, Job, RangeTest

PATIENCE = 10  # times the expected or longest epoch
SHORTEST_DEADLINE = 300.0  # seconds; loading, warming up and evaluating take what they take
FIRST_DEADLINE = 3600.0  # seconds; of a job's first epoch, or a range test, where nothing is known of its length
SECOND_LOOK = 10.0  # seconds


@dataclass(slots=True)
class Watch:
    """When a worker must have spoken.

    A deadline that has passed is looked at once more: if the coordinator itself stood still (Ctrl-Z, a slow disk), what
    its workers said meanwhile is still to be heard.
    """

    deadline: float
    is_second_look: bool = False

    def is_over(self, now: float) -> bool:
        if now <= self.deadline:
            return False
        if self.is_second_look:
            return True
        self.deadline, self.is_second_look = now + SECOND_LOOK, True
        return False


@dataclass(slots=True)
class Duty:
    """A task in the hands of a worker, or waiting for one after its worker was lost.

    Attributes:
        owner: whose task it is.
        epoch_seconds: the longest epoch so far, or what is expected of one; 0 where nothing is known.
        has_restarted: whether a worker was lost with it, other than with its node.
        num_lost_nodes: how many nodes were lost with it since its last epoch.
        begun: when its worker took it; None while it waits for one.
        lost_seconds: seconds that it had an earlier worker.
    """

    owner: object
    task: Assignment
    epoch_seconds: float
    watch: Watch
    has_restarted: bool = False
    num_lost_nodes: int = 0
    begun: float | None = None
    lost_seconds: float = 0.0

    def seconds(self, now: float) -> float:
        """How long it has had a worker by now."""
        return self.lost_seconds + (now - self.begun if self.begun is not None else 0.0)

    @property
    def patience(self) -> float:
        """Seconds without a word after which its worker is given up."""
        if isinstance(self.task, Job | RangeTest) and not self.epoch_seconds:
            return FIRST_DEADLINE
        return max(SHORTEST_DEADLINE, PATIENCE * self.epoch_seconds)
