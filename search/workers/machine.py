"""What a command's networks are trained on: this machine, or a Ray cluster."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from search.data.datasets import Dataset
from search.files import StudyFiles
from search.protocol import Setup
from search.workers.devices import choose_devices, count_gpus
from search.workers.fleet import Fleet
from search.workers.local import LocalFleet, choose_workers
from search.workers.ray_cluster import Cluster, connect
from search.workers.ray_fleet import RayFleet

Hire = Callable[[StudyFiles], Fleet]


@dataclass(frozen=True, slots=True)
class Machine:
    """What to run on.

    Attributes:
        device: 'auto', 'cpu', 'cuda' or one GPU as 'cuda:1'.
        num_workers: None for as many as are worth it here, or as a cluster has places for.
        cluster: None for this machine.
        say: is called with a line on what happens to workers here; a cluster has its own.
        count_gpus: how many GPUs this machine has; not asked where they are of no matter.
    """

    device: str = "auto"
    num_workers: int | None = 1
    cluster: Cluster | None = None
    say: Callable[[str], None] = field(default=lambda text: None, compare=False)
    count_gpus: Callable[[], int] = field(default=count_gpus, compare=False)

    @property
    def has_gpu(self) -> bool:
        """Whether networks are trained on GPUs. To know that of a cluster, it is joined.

        Raises:
            InputError: there is no such device or cluster.
        """
        if self.cluster is not None:
            return connect(self.cluster, self.device) > 0
        return choose_devices(self.device, self.count_gpus) != ("cpu",)

    def setup(self, dataset: Dataset, seed: int) -> Setup:
        """What a single worker process here needs: it has all cores."""
        return self._setups(dataset, seed, choose_devices(self.device, self.count_gpus), 1)[0]

    def staff(self, dataset: Dataset, seed: int, num_runs: int) -> list[Setup]:
        """What each worker for `num_runs` runs here needs: they share the cores, and have the devices in turn."""
        devices = choose_devices(self.device, self.count_gpus)
        return self._setups(dataset, seed, devices, self.num_workers or choose_workers(devices, num_runs))

    def hire(self, dataset: Dataset, seed: int, num_runs: int) -> Hire:
        """A function that starts the workers for `num_runs` runs of a study, once that is locked.

        Raises:
            InputError: there is no such device or cluster; nothing has been started.
        """
        if self.cluster is None:
            setups = self.staff(dataset, seed, num_runs)
            return lambda files: LocalFleet(setups, files.workers_log, self.say)
        cluster = self.cluster
        gpus = connect(cluster, self.device)
        threads = max(1, int(cluster.cpus_per_worker))
        on_node = Setup(dataset.folder, seed, "cuda" if gpus else "cpu", threads)
        return lambda files: RayFleet(cluster, gpus, on_node, dataset, self.num_workers, num_runs, files)

    def _setups(self, dataset: Dataset, seed: int, devices: tuple[str, ...], num_workers: int) -> list[Setup]:
        num_threads = max(1, len(os.sched_getaffinity(0)) // num_workers)
        return [
            Setup(dataset.folder, seed, devices[number % len(devices)], num_threads) for number in range(num_workers)
        ]
