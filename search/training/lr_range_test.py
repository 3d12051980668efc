"""The learning-rate range test: a short training whose learning rate grows at every step."""

import math
from itertools import chain, count, islice

import torch
from torch import nn

from search.protocol import Ranged, RangePoint
from search.recipe import Recipe
from search.training.images import Images, Normalisation
from search.training.mixed_precision import MEMORY_FORMAT
from search.training.pipeline import Pipeline
from search.training.step import TrainingStep

SMOOTHING = 0.9  # of the running mean of the loss
DIVERGED = 4.0  # times its lowest value so far


def lr_range_test(
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
    """The loss at every step of a training, in place, whose learning rate grows exponentially.

    The test ends early once the loss is not finite or its running mean is `DIVERGED` times the lowest so far; the
    points up to there are kept. Optimiser, augmentation and batch size are the recipe's, and so is the ratio of Muon's
    rate to the rate; its schedule is not used. The method is Smith's (2015, https://arxiv.org/abs/1506.01186),
    exponential growth and stopping rule are fastai's.

    Args:
        model: the network to train, on the device of `data`.
        recipe: how to train it.
        data: training images.
        normalise: their normalisation.
        lowest: the learning rate of the first step.
        highest: that of the last.
        num_steps: how many steps to train.
        seed: of everything random.
        precision: 'fp32', 'bf16' or 'fp16'.
    """
    device = data.device
    torch.manual_seed(seed)
    generator = torch.Generator(device).manual_seed(seed)
    recipe = recipe.model_copy(update={"batch_size": min(recipe.sizes[0], len(data))})
    batch_size, _, _ = recipe.sizes
    pipeline = Pipeline(recipe, normalise, generator, torch.Generator().manual_seed(seed + 1))
    training_step = TrainingStep(model.to(memory_format=MEMORY_FORMAT).train(), recipe, precision)
    batches = chain.from_iterable(pipeline.epoch(data, epoch) for epoch in count(1))
    points: list[RangePoint] = []
    mean, lowest_mean = 0.0, math.inf
    for step, batch in enumerate(islice(batches, num_steps)):
        lr = lowest * (highest / lowest) ** (step / max(1, num_steps - 1))
        training_step.sums.zero_()
        training_step(batch, lr)
        value, num_correct = training_step.sums.tolist()
        if not math.isfinite(value):
            return Ranged(tuple(points), diverged=True)
        points.append(RangePoint(lr, value, num_correct / batch_size))
        mean = SMOOTHING * mean + (1 - SMOOTHING) * value
        unbiased_mean = mean / (1 - SMOOTHING ** (step + 1))
        lowest_mean = min(lowest_mean, unbiased_mean)
        if unbiased_mean > DIVERGED * lowest_mean:
            return Ranged(tuple(points), diverged=True)
    return Ranged(tuple(points), diverged=False)
