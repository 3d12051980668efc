"""How long one image takes on this device."""

import hashlib
import json
import time
from pathlib import Path
from statistics import median

import torch

from models.architecture import Architecture
from models.build import build
from search.files import write_atomically
from search.training.loop import MEMORY_FORMAT, autocast
from search.training.timing import hardware_key

NUM_WARM_UPS = 5
NUM_RUNS = 50
MAX_SECONDS = 1.0


def latency(architecture: Architecture, image_size: int, device: torch.device, precision: str, cache: Path) -> float:
    """Seconds from one image on the device to its logits: the median of up to 50 runs in a second, after a warm-up.

    A batch of one image, in evaluation mode, in the precision that trials are trained in. The
    answer is kept in `cache` for this hardware, version of torch and number of threads, so that a design is measured
    once and a search that goes on decides as before.
    """
    described = f"{architecture.to_json()} {image_size} {precision} {hardware_key(device)}"
    key = hashlib.sha256(described.encode()).hexdigest()[:32]
    known = json.loads(cache.read_text()) if cache.is_file() else {}
    if key not in known:
        known[key] = _measure(architecture, image_size, device, precision)
        write_atomically(cache, json.dumps(known))
    seconds: float = known[key]
    return seconds


@torch.inference_mode()
def _measure(architecture: Architecture, image_size: int, device: torch.device, precision: str) -> float:
    model = build(architecture).to(device, memory_format=MEMORY_FORMAT).eval()  # type: ignore[call-overload]
    image = torch.zeros(1, architecture.in_channels, image_size, image_size, device=device)
    image = image.contiguous(memory_format=MEMORY_FORMAT)
    times: list[float] = []
    deadline = time.perf_counter() + MAX_SECONDS
    while len(times) < NUM_WARM_UPS + NUM_RUNS and (len(times) < NUM_WARM_UPS + 3 or time.perf_counter() < deadline):
        started = time.perf_counter()
        with autocast(device, precision):
            model(image)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - started)
    return median(times[NUM_WARM_UPS:])
