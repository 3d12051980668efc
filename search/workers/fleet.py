"""How a worker is reached: the interface that local processes, Ray actors and simulated workers share."""

from typing import Protocol

from search.protocol import Assignment, Message


class Worker(Protocol):
    """The handle of one worker, wherever it runs."""

    @property
    def place(self) -> str:
        """What it shares with others that may be at fault where they cannot start: its node, or its device."""

    def start(self, task: Assignment) -> None:
        """Hand over a task. The worker must be idle."""

    def stop(self) -> None:
        """Ask the worker to end its job; the epoch it is in may or may not be measured."""

    def pause(self) -> None:
        """Ask the worker to end its job after the epoch it is in, with a checkpoint."""

    def open(self) -> None:
        """Let the worker's job, which has said Opening, open the test set."""


class Fleet(Protocol):
    """All the workers of one coordinator. Each says Ready once, before its first task."""

    @property
    def workers(self) -> list[Worker]:
        """The workers that are there."""

    @property
    def expects_more(self) -> bool:
        """Whether others are on their way, to places where workers may well start."""

    def receive(self, timeout: float) -> tuple[Worker, Message] | None:
        """The next message of any worker, or None after `timeout` seconds."""

    def replace(self, worker: Worker) -> None:
        """Put a new worker in the place of one that is lost or must be ended."""

    def dismiss(self, worker: Worker, reason: str) -> None:
        """End a worker that cannot start, as others before it, and leave its place out for a while."""

    def close(self) -> None:
        """End all workers, whatever they are doing."""
