"""Forward passes in the precision of a run."""

import torch
from torch import Tensor, nn

from search.trained_network import Precision

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# Faster than the default on CUDA, and on the CPU as well: 1.1 to 2 times for narrow networks in bf16.
MEMORY_FORMAT = torch.channels_last


def precision_of(capability: tuple[int, int]) -> Precision:
    """What 'auto' stands for on a CUDA GPU of this compute capability: half precision where its tensor cores have it.

    It is a rule, and not measured, so that all GPUs of a kind agree.
    """
    if capability >= (8, 0):
        return "bf16"
    return "fp16" if capability >= (7, 0) else "fp32"


def computes_in(precision: str, device: torch.device) -> bool:
    """Whether a device computes in a precision itself: CPUs do not in fp16, nor do GPUs older than Ampere in bf16, for
    which cuDNN has no convolutions."""
    if device.type == "cpu":
        return precision != "fp16"
    return precision != "bf16" or torch.cuda.get_device_capability(device) >= (8, 0)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """A context in which operations run in 'fp32', 'bf16' or 'fp16', as far as torch takes them to be safe.

    Converted weights are not kept on CUDA: a captured forward pass must convert them itself.
    """
    keeps = device.type == "cpu"
    return torch.autocast(device.type, DTYPES[precision], enabled=precision != "fp32", cache_enabled=keeps)


def forward(model: nn.Module, images: Tensor, precision: str) -> Tensor:
    """The logits (N, classes) of normalised images (N, C, H, W), in the dtype of the precision."""
    with autocast(images.device, precision):
        logits: Tensor = model(images.contiguous(memory_format=MEMORY_FORMAT))
    return logits
