"""The training loop, which gives a Measurement per epoch, and the evaluation of a network."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from search.errors import RecipeError, TrainingError
from search.flags import pack
from search.protocol import Measurement
from search.quantities import plural
from search.recipe import Recipe
from search.trained_network import TestResult
from search.training.graph import Capture
from search.training.images import Images, Normalisation
from search.training.mixed_precision import DTYPES, MEMORY_FORMAT, forward
from search.training.optimisation import Lookahead, MovingAverage, Schedule
from search.training.pipeline import Pipeline
from search.training.step import Teach, TrainingStep

# In a batch of images that is evaluated: a thousand large images would take far more memory than training does.
MOST_NUMBERS = {"cpu": 2**20, "cuda": 2**23}


class Training:
    """One training of a model, in place, on the device of `data`; the caller may stop between any two epochs.

    Everything random is drawn from `seed`: on one machine, with the same versions and number of threads, a CPU gives
    the same bits again, even if the training is resumed from its `state` in another process.

    Args:
        model: the network to train, on the device of `data`.
        recipe: how to train it.
        data: training images.
        validation: images on which every epoch is measured; None if there are none and the recipe needs none.
        normalise: the normalisation of all images.
        seed: of everything random.
        precision: 'fp32', 'bf16' or 'fp16'.
        small_size: the side in pixels of the first images (`small_images.small_size`), where the recipe has smaller
            ones.
        should_stop: asked before every step; once it is true the training ends, for good, since the changes of an
            unfinished epoch are not undone.
        capture: makes one graph of a step, on CUDA; None to run it operation by operation.
        note: is told, in a line, that steps could not be captured.
        teach: adds the part of teachers to the loss, by images as `normalise` gives them; None without a teacher.

    Raises:
        RecipeError: the batch is larger than the data.
    """

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        data: Images,
        validation: Images | None,
        normalise: Normalisation,
        *,
        seed: int,
        precision: str,
        small_size: int | None = None,
        should_stop: Callable[[], bool] = lambda: False,
        capture: Capture | None = None,
        note: Callable[[str], None] = lambda text: None,
        teach: Teach | None = None,
    ) -> None:
        batch_size, _, _ = recipe.sizes
        if batch_size > len(data):
            raise RecipeError(f"batch_size = {batch_size}: larger than the {plural(len(data), 'training image')}")
        assert validation is not None or not recipe.needs_validation
        assert small_size is not None or recipe.small_images is None
        self.model = model.to(memory_format=MEMORY_FORMAT)
        self.recipe = recipe
        self.data = data
        self.validation = validation
        self.normalise = normalise
        self.precision = precision
        self.small_size = small_size
        self.should_stop = should_stop
        self.device = data.device
        torch.manual_seed(seed)  # dropout draws from the global generator
        self.generator = torch.Generator(self.device).manual_seed(seed)
        self.coins = torch.Generator().manual_seed(seed + 1)
        dtype = DTYPES[precision] if self.device.type == "cuda" else torch.float32
        self.pipeline = Pipeline(recipe, normalise, self.generator, self.coins, dtype)
        self.num_steps = len(data) // batch_size  # per epoch
        total_steps = recipe.epochs * self.num_steps
        self.schedule = Schedule(recipe, total_steps)
        self.average = MovingAverage(self.model, recipe.ema_window * total_steps) if recipe.ema_window else None
        self.lookahead = Lookahead(self.model, recipe.lookahead, total_steps) if recipe.lookahead else None
        self.step = TrainingStep(self.model, recipe, precision, self.average, capture, note, teach)
        self.best = BestWeights(self.network)
        self.epoch = 0
        self.is_over = False
        self._is_finished = False

    @property
    def network(self) -> nn.Module:
        """The network that is measured and kept: the average of the weights if the recipe has one, else the model."""
        return self.average.network if self.average is not None else self.model

    def epochs(self) -> Iterator[Measurement]:
        """Train the epochs that are left, one Measurement after another. After the last the network is as it is kept.

        Raises:
            TrainingError: the loss is not finite.
        """
        while self.epoch < self.recipe.epochs and not self.is_over:
            measurement = self._train_epoch()
            if measurement is None:
                return
            self._act_on(measurement)
            yield measurement
        if not self._is_finished:
            self._finish()

    def state(self) -> dict[str, Any]:
        """Everything that the next epoch depends on, between two epochs: tensors, numbers and names."""
        is_cuda = self.device.type == "cuda"
        return {
            **({"lookahead": self.lookahead.state_dict()} if self.lookahead is not None else {}),
            "epoch": self.epoch,
            "is_over": self.is_over,
            "model": self.model.state_dict(),
            "average": self.average.state_dict() if self.average is not None else None,
            "optimizer": self.step.optimizer.state_dict()["state"],
            "schedule": self.schedule.state_dict(),
            "scaler": self.step.scaler.state_dict(),
            "best": self.best.state_dict(),
            "generator": self.generator.get_state(),
            "coins": self.coins.get_state(),
            "global": torch.cuda.get_rng_state(self.device) if is_cuda else torch.get_rng_state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Resume from a `state` of the same training."""
        self.epoch, self.is_over = state["epoch"], state["is_over"]
        self.model.load_state_dict(state["model"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        if self.lookahead is not None:
            self.lookahead.load_state_dict(state["lookahead"])
        # Its parameter groups are the recipe's; their learning rate is set at every step.
        groups = self.step.optimizer.state_dict()["param_groups"]
        self.step.optimizer.load_state_dict({"state": state["optimizer"], "param_groups": groups})
        self.schedule.load_state_dict(state["schedule"])
        self.step.scaler.load_state_dict(state["scaler"])
        self.best.load_state_dict(state["best"])
        # Generators take their states from host memory.
        self.generator.set_state(state["generator"].cpu())
        self.coins.set_state(state["coins"].cpu())
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state["global"].cpu(), self.device)
        else:
            torch.set_rng_state(state["global"].cpu())

    def _finish(self) -> None:
        """Make of the trained network what is kept of it."""
        if self.recipe.keep_best:
            self.best.restore()
        if self.recipe.logit_scale != 1:
            scale_logits(self.network, self.recipe.logit_scale)
        self._is_finished = True

    def _train_epoch(self) -> Measurement | None:
        """The measurement of one more epoch, or None if the training was to stop.

        Losses are read only at the end, so that the device never waits for the host in between.
        """
        started = time.perf_counter()
        self.epoch += 1
        self.model.train()
        self.step.sums.zero_()
        first_loss: float | None = None
        lr = 0.0
        size = self.small_size if self.epoch <= self.recipe.num_small_epochs else None
        for batch in self.pipeline.epoch(self.data, self.epoch, size):
            if self.should_stop():
                return None
            lr = self.schedule.lr
            self.step(batch, lr)
            self.schedule.step()
            if self.lookahead is not None:
                self.lookahead.note_step()
            if self.epoch == 1 and first_loss is None:
                first_loss = self.step.sums[0].item()
        loss, num_correct = self.step.sums.tolist()
        train_loss = loss / self.num_steps
        if not math.isfinite(train_loss):
            raise TrainingError(f"training loss is {train_loss} in epoch {self.epoch}")
        result = None
        if self.validation is not None:
            scale = self.recipe.logit_scale
            result = evaluate(self.network, self.validation, self.normalise, self.precision, scale)
        return Measurement(
            epoch=self.epoch,
            train_loss=train_loss,
            train_accuracy=num_correct / (self.num_steps * self.recipe.sizes[0]),
            validation_loss=result.loss if result else None,
            validation_accuracy=result.accuracy if result else None,
            lr=lr,
            seconds=time.perf_counter() - started,
            first_loss=first_loss,
        )

    def _act_on(self, measurement: Measurement) -> None:
        """Do what the recipe does about a validation accuracy: lower the rate, keep the weights, stop early."""
        accuracy, recipe = measurement.validation_accuracy, self.recipe
        if accuracy is None or not recipe.needs_validation:
            return
        self.schedule.end_epoch(accuracy)
        self.best.note(self.epoch, accuracy, keep=recipe.keep_best)
        patience = recipe.stop_patience
        self.is_over = patience is not None and self.epoch - self.best.epoch >= patience


class BestWeights:
    """The weights of the epoch with the best validation accuracy so far; of equal ones, the earlier."""

    def __init__(self, model: nn.Module) -> None:
        self.epoch = 0
        self._model = model
        self._accuracy = -1.0
        self._weights: dict[str, Tensor] = {}

    def note(self, epoch: int, accuracy: float, keep: bool) -> None:
        """Take in an epoch; `keep` says whether to copy its weights if it is the best."""
        if accuracy > self._accuracy:
            self.epoch, self._accuracy = epoch, accuracy
            if keep:
                self._weights = {name: tensor.clone() for name, tensor in self._model.state_dict().items()}

    def restore(self) -> None:
        """Load the best weights into the model."""
        self._model.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "accuracy": self._accuracy, "weights": self._weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self._accuracy, self._weights = state["epoch"], state["accuracy"], state["weights"]


@torch.no_grad()
def scale_logits(network: nn.Module, scale: float) -> None:
    """Multiply the logits of a network by a number, in the linear layer that ends it."""
    *_, head = (module for module in network.modules() if isinstance(module, nn.Linear))
    head.weight.mul_(scale)
    head.bias.mul_(scale)


class Evaluation(NamedTuple):
    """A model on images.

    Attributes:
        loss: the mean over images.
        predicted: the most likely class of each image, (N,), on their device.
        num_classes: of the model.
    """

    loss: float
    accuracy: float
    predicted: Tensor
    num_classes: int


def evaluation_batch(shape: Sequence[int], device: torch.device) -> int:
    """How many images of this shape are evaluated at once."""
    return max(1, min(1_000, MOST_NUMBERS[device.type] // math.prod(shape)))


@torch.inference_mode()
def evaluate(
    model: nn.Module, data: Images, normalise: Normalisation, precision: str, logit_scale: float = 1.0
) -> Evaluation:
    """Loss (of the logits times `logit_scale`), predictions and top-1 accuracy of a model on all of `data`.

    Raises:
        TrainingError: the loss is not finite.
    """
    model.eval()
    total_loss = torch.zeros((), device=data.device)
    predicted = torch.empty_like(data.labels)
    batch_size = evaluation_batch(data.images.shape[1:], data.device)
    for start in range(0, len(data), batch_size):
        batch = slice(start, start + batch_size)
        logits = forward(model, normalise(data.images[batch]), precision).float()
        if logit_scale != 1:
            logits = logits * logit_scale
        total_loss += functional.cross_entropy(logits, data.labels[batch], reduction="sum")
        predicted[batch] = logits.argmax(dim=1)
    loss = total_loss.item() / len(data)
    if not math.isfinite(loss):
        raise TrainingError(f"evaluation loss is {loss}")
    accuracy = (predicted == data.labels).sum().item() / len(data)
    return Evaluation(loss, accuracy, predicted, logits.shape[1])


def evaluate_fully(model: nn.Module, data: Images, normalise: Normalisation, precision: str) -> TestResult:
    """What `evaluate` tells, and the confusion matrix and which images are classified correctly. For many classes it
    takes far longer and much memory.

    Raises:
        TrainingError: the loss is not finite.
    """
    loss, accuracy, predicted, number = evaluate(model, data, normalise, precision)
    counts = torch.bincount(data.labels * number + predicted, minlength=number**2).view(number, number)
    correct = pack((predicted == data.labels).cpu().numpy())
    return TestResult(loss, accuracy, tuple(map(tuple, counts.tolist())), correct)
