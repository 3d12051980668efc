"""The learning-rate range test: a short training whose learning rate grows at every step."""

import math
from itertools import chain, count, islice

import torch
from torch import nn

from search.protocol import Ranged, RangePoint
from search.recipe import Recipe
from search.training.images import Images, Normalisation
from search.training.loop import MEMORY_FORMAT, autocast
from search.training.optimisation import make_optimizer
from search.training.pipeline import Pipeline

SMOOTHING = 0.9
DIVERGED = 4.0


def range_test(
    model: nn.Module,
    recipe: Recipe,
    data: Images,
    normalise: Normalisation,
    *,
    lowest: float,
    highest: float,
    num_steps: int,
    seed: int,
    precision: str,
) -> Ranged:
    """Train `model` in place with a learning rate that grows exponentially from `lowest` to `highest`.

    It ends early once the loss is not finite, or its running mean is four times the lowest so far; points up to there
    are kept. Optimiser, augmentation and batch are the recipe's, its schedule is not used. The method is Smith's
    (2015, https://arxiv.org/abs/1506.01186), the exponential growth and the stopping rule those of fastai.
    """
    device = data.device
    torch.manual_seed(seed)
    generator = torch.Generator(device).manual_seed(seed)
    pipeline = Pipeline(recipe, normalise, generator, torch.Generator().manual_seed(seed + 1))
    model.to(memory_format=MEMORY_FORMAT).train()
    optimizer = make_optimizer(model, recipe)
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
    batch_size = min(recipe.sizes[0], len(data))
    batches = chain.from_iterable(data.batches(batch_size, generator) for _ in count())
    points: list[RangePoint] = []
    running, best = 0.0, math.inf
    for step, (pixels, labels) in enumerate(islice(batches, num_steps)):
        lr = lowest * (highest / lowest) ** (step / max(1, num_steps - 1))
        for group in optimizer.param_groups:
            group["lr"] = lr
        batch = pipeline(pixels, labels)
        with autocast(device, precision):
            logits = model(batch.images.contiguous(memory_format=MEMORY_FORMAT))
            loss = batch.loss(logits, recipe.label_smoothing)
        value = loss.item()
        if not math.isfinite(value):
            return Ranged(tuple(points), diverged=True)
        points.append(RangePoint(lr, value, batch.num_correct(logits.detach()).item() / batch_size))
        running = SMOOTHING * running + (1 - SMOOTHING) * value
        smoothed = running / (1 - SMOOTHING ** (step + 1))
        best = min(best, smoothed)
        if smoothed > DIVERGED * best:
            return Ranged(tuple(points), diverged=True)
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]  # torch's own gap
        scaler.step(optimizer)
        scaler.update()
    return Ranged(tuple(points), diverged=False)
