"""The devices of this machine: how many GPUs CUDA shows, and on which devices workers may be."""

import os
import re
import subprocess
from collections.abc import Callable
from itertools import takewhile

from search.errors import InputError

_GPU = re.compile(r"^GPU \d+: .*?(?:\(UUID: ([^)\s]+)\))?\s*$", re.MULTILINE)
_SLICE = re.compile(r"\(UUID: (MIG-[^)\s]+)\)")
_ONE_GPU = re.compile(r"cuda:(\d{1,3})")


def is_device(name: str) -> bool:
    """Whether a name is one that `choose_devices` takes."""
    return name in ("auto", "cpu", "cuda") or _ONE_GPU.fullmatch(name) is not None


def count_gpus() -> int:
    """How many GPUs a process here sees. The driver's own tool finds them, not torch; CUDA_VISIBLE_DEVICES may hide
    some."""
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return num_visible(listed.stdout, os.environ.get("CUDA_VISIBLE_DEVICES")) if listed.returncode == 0 else 0


def num_visible(listed: str, visible: str | None) -> int:
    """How many GPUs of those that `nvidia-smi -L` lists CUDA shows under a CUDA_VISIBLE_DEVICES.

    As CUDA reads it: numbers and beginnings of UUIDs, up to the first that is none; none at all if one is there twice.
    Of GPUs that are divided (MIG), a process sees a single slice.
    """
    gpus, slices = _GPU.findall(listed), _SLICE.findall(listed)

    def is_known(name: str) -> bool:
        if name.isdecimal():
            return int(name) < len(gpus)
        return any(name and uuid.startswith(name) for uuid in (*gpus, *slices))

    if visible is None:
        shown = [str(number) for number in range(len(gpus))]
    else:
        shown = list(takewhile(is_known, [name.strip() for name in visible.split(",")]))
    if len(set(shown)) < len(shown):
        return 0
    return min(len(shown), 1) if slices else len(shown)


def choose_devices(wanted: str, count: Callable[[], int] = count_gpus) -> tuple[str, ...]:
    """The devices on which workers may be, as torch names them: ('cpu',), or GPUs as ('cuda:0', 'cuda:1').

    Args:
        wanted: 'cpu'; 'cuda' for all GPUs; 'cuda:1' for that one; 'auto' for all GPUs, or the CPU where there is none.
        count: how many GPUs there are; not asked for the CPU.

    Raises:
        InputError: a GPU is asked for and not there.
    """
    if wanted == "cpu":
        return ("cpu",)
    gpus = tuple(f"cuda:{number}" for number in range(count()))
    one = _ONE_GPU.fullmatch(wanted)
    if not gpus and wanted != "auto":
        hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
        why = f" with CUDA_VISIBLE_DEVICES={hidden}" if hidden is not None else ""
        rule = f"no CUDA GPU is found on this machine{why}; use --device cpu or auto"
        raise InputError(f"device = {wanted}: {rule}")
    if one is not None:
        if int(one[1]) >= len(gpus):
            raise InputError(f"device = {wanted}: must be one of the GPUs here, which are {', '.join(gpus)}")
        return (f"cuda:{int(one[1])}",)
    return gpus or ("cpu",)
