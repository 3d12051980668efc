"""What processes there are, and where they run."""

import os
import subprocess
from pathlib import Path


def children(pid: int) -> list[int]:
    """The processes that a process has begun and that have not been waited for."""
    listed = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(each) for each in listed.stdout.split()]


def is_running(pid: int) -> bool:
    """Whether the process is there and not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def processor() -> set[int]:
    """The processor of this test worker, for what trains: with one, `nas` trains with one thread.

    Networks this small gain nothing from a second, and threads that wait for each other lose much on a busy machine.
    """
    processors = sorted(os.sched_getaffinity(0))
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    return {processors[worker % len(processors)]}
