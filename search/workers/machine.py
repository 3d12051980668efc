"""What a command's networks are trained on: this machine, or a Ray cluster."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from search.data.datasets import Dataset
from search.files import StudyFiles
from search.protocol import Setup
from search.workers.fleet import Fleet
from search.workers.local import LocalFleet, choose_device, choose_workers
from search.workers.ray_cluster import Cluster, connect
from search.workers.ray_fleet import RayFleet

Hire = Callable[[StudyFiles], Fleet]


@dataclass(frozen=True, slots=True)
class Machine:
    """What to run on.

    Attributes:
        device: 'auto', 'cpu' or 'cuda'.
        num_workers: None for as many as are worth it here, or as a cluster has places for.
        cluster: None for this machine.
    """

    device: str = "auto"
    num_workers: int | None = 1
    cluster: Cluster | None = None

    def setup(self, dataset: Dataset, seed: int, num_workers: int = 1) -> Setup:
        """What each of `num_workers` worker processes here needs: they share the cores."""
        num_threads = max(1, len(os.sched_getaffinity(0)) // num_workers)
        return Setup(dataset.folder, seed, choose_device(self.device), num_threads)

    def staff(self, dataset: Dataset, seed: int, num_runs: int) -> tuple[Setup, int]:
        """What every worker needs for `num_runs` runs here, and how many workers there are."""
        num_workers = self.num_workers or choose_workers(choose_device(self.device), num_runs)
        return self.setup(dataset, seed, num_workers), num_workers

    def hire(self, dataset: Dataset, seed: int, num_runs: int) -> Hire:
        """A function that starts the workers for `num_runs` runs of a study, once that is locked.

        Raises:
            InputError: there is no such device or cluster; nothing has been started.
        """
        if self.cluster is None:
            setup, num_workers = self.staff(dataset, seed, num_runs)
            return lambda files: LocalFleet(setup, num_workers, files.folder / "workers.log")
        cluster = self.cluster
        gpus = connect(cluster, self.device)
        threads = max(1, int(cluster.cpus_per_worker))
        on_node = Setup(dataset.folder, seed, "cuda" if gpus else "cpu", threads)
        return lambda files: RayFleet(cluster, gpus, on_node, dataset, self.num_workers, num_runs, files)
