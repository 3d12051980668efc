"""A search that takes seconds: its options, and workers that train nothing for those tests that need no networks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from simulation import SimulatedFleet, write_weights

from models.count import count_parameters
from search.protocol import Job
from search.trained_network import Precision

SMALL_SPACE = """
stem: {width: [8, 16]}
num_stages: [1, 2]
stage: {block: basic, depth: [1, 2], width: [8, 16, 32]}
rules: {non_decreasing_width: true}
dropout: [0.0, 0.1]
"""
SEARCH = (
    *("search", "--data", "digits", "--space", "small.yaml", "--budget", "20k", "--limit", "macs=none"),
    *("--trials", "4", "--epochs", "2"),
)


def by_size(job: Job, epoch: int) -> float:
    """Larger networks are better in the search; at full length too, but for a ripple of their size."""
    params = count_parameters(job.architecture)
    ripple = 0.05 * (params % 7) if job.purpose == "proxy" else 0.0
    return (0.2 + params / 50_000 + ripple) * epoch / job.recipe.epochs


def keeping(job: Job, epoch: int) -> float:
    """As `by_size`, and final runs keep weights as a real worker does."""
    if job.keep is not None and epoch == job.recipe.epochs:
        write_weights(job.keep, job.architecture)
    return by_size(job, epoch)


class Simulation:
    """Stands in the place of `LocalFleet`; all but `fleets`, which are those so far, may be changed."""

    def __init__(self) -> None:
        self.curve: Callable[[Job, int], Any] = by_size
        self.epoch_seconds = 1.0
        self.precision: Precision = "fp32"
        self.fleets: list[SimulatedFleet] = []

    def __call__(self, setups: list[object], log: Path, say: object) -> SimulatedFleet:
        curve = lambda job, epoch: self.curve(job, epoch)  # noqa: E731
        self.fleets.append(
            SimulatedFleet(len(setups), curve, self.epoch_seconds, device="CPU", precision=self.precision)
        )
        return self.fleets[-1]

    @property
    def last_jobs(self) -> list[Job]:
        return [job for worker in self.fleets[-1].workers for job in worker.jobs]  # type: ignore[attr-defined]
