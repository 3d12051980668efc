"""How fast this device trains: seconds per epoch of a network, and the precision that is fastest."""

import json
from pathlib import Path
from typing import Literal

import torch

from models.architecture import Architecture, Stage, Stem
from models.build import build
from search.files import write_atomically
from search.recipe import Recipe
from search.training.images import Images, Normalisation
from search.training.loop import Training

SECONDS = 0.5
MIN_GAIN = 1.1
UNENDING = {"schedule": "constant", "stop_patience": None, "keep_best": False}  # what needs no validation split


def seconds_per_epoch(architecture: Architecture, recipe: Recipe, data: Images, precision: str) -> float:
    """The time of one training epoch, extrapolated from some steps after one that warms up."""
    batch = min(recipe.sizes[0], len(data))
    one_step = data.take(torch.arange(batch).numpy())
    training = Training(
        build(architecture).to(data.device),
        recipe.model_copy(update={"batch_size": batch, "epochs": 10_000} | UNENDING),
        one_step,
        None,
        Normalisation.of(recipe, one_step),
        seed=0,
        precision=precision,
    )
    epochs = training.epochs()
    next(epochs)
    times: list[float] = []
    while not times or (sum(times) < SECONDS and len(times) < 50):
        times.append(next(epochs).seconds)
    return sorted(times)[len(times) // 2] * len(data) / batch


def fastest_precision(data: Images, num_classes: int, cache: Path) -> Literal["fp32", "bf16", "fp16"]:
    """The precision in which a reference network trains fastest here: a ResNet-8 of 16, 32 and 64 channels.

    Half precision must be `MIN_GAIN` times as fast to be chosen. The answer is kept in `cache` for this hardware,
    version of torch, number of threads and shape of images, so that one machine always gives the same.
    """
    channels, size = data.images.shape[1], data.images.shape[2]
    key = f"{hardware_key(data.device)}, {channels}x{size}x{size}"
    known = json.loads(cache.read_text()) if cache.is_file() else {}
    if key not in known:
        known[key] = _time_precisions(data, num_classes)
        write_atomically(cache, json.dumps(known, indent=1))
    answer: Literal["fp32", "bf16", "fp16"] = known[key]
    return answer


def hardware_key(device: torch.device) -> str:
    """What a measured time depends on: the hardware, the version of torch and the number of threads."""
    hardware = torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    return f"{hardware}, torch {torch.__version__}, {torch.get_num_threads()} threads"


def _time_precisions(data: Images, num_classes: int) -> str:
    stages = tuple(Stage("basic", 1, width) for width in (16, 32, 64))
    network = Architecture(Stem(16), stages, in_channels=data.images.shape[1], num_classes=num_classes)
    has_bf16 = data.device.type == "cpu" or torch.cuda.is_bf16_supported(including_emulation=False)
    half = "bf16" if has_bf16 else "fp16"
    recipe = Recipe(name="timing", epochs=1)
    full = seconds_per_epoch(network, recipe, data, "fp32")
    return half if seconds_per_epoch(network, recipe, data, half) * MIN_GAIN < full else "fp32"
