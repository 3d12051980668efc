"""The device of a worker."""

from contextlib import suppress
from pathlib import Path

import torch


def use_device(name: str) -> torch.device:
    """The device of this name, 'cpu', 'cuda' (the first) or 'cuda:1'. A GPU becomes the current one, so that nothing of
    this process lands on another."""
    device = torch.device(name)
    if device.type == "cuda":
        device = torch.device("cuda", device.index or 0)
        torch.cuda.set_device(device)
    return device


def settle(device: torch.device) -> None:
    """Wait until what was begun on the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def hardware(device: torch.device) -> str:
    """The hardware of a device by its name, where that is known."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return f"{value.strip()} {torch.backends.cpu.get_cpu_capability()}"
    return torch.backends.cpu.get_cpu_capability()
