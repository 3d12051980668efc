"""Where networks are trained: the options for devices, workers and a Ray cluster."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from search.errors import InputError

if TYPE_CHECKING:
    from search.workers.machine import Machine

Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, or one of several GPUs: cuda:1.")]
Workers = Annotated[
    str,
    typer.Option(
        "--workers", help="Networks trained at the same time; auto: one per GPU or core, or all of them with --ray."
    ),
]
Ray = Annotated[
    str | None,
    typer.Option(
        "--ray", help="Train on a Ray cluster: auto (this machine's), local, or HOST:PORT.", metavar="ADDRESS"
    ),
]
GpusPerWorker = Annotated[
    float | None, typer.Option("--gpus-per-worker", help="With --ray: GPUs per worker; 0.25 puts four on one.")
]
CpusPerWorker = Annotated[
    float | None, typer.Option("--cpus-per-worker", help="With --ray: CPUs per worker; 1 by default.")
]

MAX_WORKERS = 64
MAX_RAY_WORKERS = 1_000  # one coordinator was measured with as many simulated ones


def parse_device(device: str) -> str:
    """
    Raises:
        InputError: there is no such device.
    """
    from search.workers.devices import is_device

    if not is_device(device):
        raise InputError(f"device = {device!r}: must be one of auto, cpu, cuda, or a GPU as cuda:1")
    return device


def parse_machine(
    device: str,
    workers: str,
    ray: str | None = None,
    gpus_per_worker: float | None = None,
    cpus_per_worker: float | None = None,
) -> "Machine":
    """The machine, or the cluster if `ray` is given, that the options describe.

    Raises:
        InputError: a value is out of range, or a share of a cluster's worker was given without a cluster.
    """
    from search.workers.machine import Machine

    most = MAX_WORKERS if ray is None else MAX_RAY_WORKERS
    if workers != "auto" and workers not in map(str, range(1, most + 1)):
        raise InputError(f"workers = {workers!r}: must be auto, or a number from 1 to {most}")
    num_workers = None if workers == "auto" else int(workers)
    parse_device(device)
    if ray is None:
        for name, share in (("gpus-per-worker", gpus_per_worker), ("cpus-per-worker", cpus_per_worker)):
            if share is not None:
                raise InputError(f"{name} = {share:g}: is for workers on a cluster; give --ray too")
        return Machine(device, num_workers, say=print_to_stderr)
    if ":" in device:
        raise InputError(f"device = {device}: is for workers here; a cluster has its own GPUs: use --device cuda")

    from search.workers.ray_cluster import Cluster

    cpus = 1.0 if cpus_per_worker is None else cpus_per_worker
    return Machine(device, num_workers, Cluster(ray, print_to_stderr, gpus_per_worker, cpus))


def print_to_stderr(text: str) -> None:
    """Say a line on what happens to workers."""
    print(text, file=sys.stderr)
