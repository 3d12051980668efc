"""The training loop: one Measurement per epoch."""

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from search.errors import RecipeError, TrainingError
from search.flags import pack
from search.protocol import Measurement
from search.recipe import Recipe
from search.trained_network import TestResult
from search.training.images import Images, Normalisation
from search.training.optimisation import Schedule, make_optimizer
from search.training.pipeline import Pipeline

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
EVALUATION_BATCH = 1_000
# Faster than the default on CUDA, and on the CPU as well: 1.1 to 2 times for narrow networks in bf16.
MEMORY_FORMAT = torch.channels_last


class Training:
    """One training of a model, in place, on the device of `data`; the caller may stop between any two epochs.

    `is_unwanted` is asked before every step, and ends the training there once it says yes: for good, since what the
    epoch has changed is not taken back.

    Everything random is drawn from `seed`: on one machine, with the same versions and number of threads, the CPU gives
    the same bits again, also where a training goes on in another process from its `state`.

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
        is_unwanted: Callable[[], bool] = lambda: False,
    ) -> None:
        batch_size, _, _ = recipe.sizes
        if batch_size > len(data):
            raise RecipeError(f"batch_size = {batch_size}: larger than the {len(data):,} training images")
        assert validation is not None or not recipe.needs_validation
        self.model = model.to(memory_format=MEMORY_FORMAT)
        self.recipe = recipe
        self.data = data
        self.validation = validation
        self.normalise = normalise
        self.precision = precision
        self.is_unwanted = is_unwanted
        self.device = data.device
        torch.manual_seed(seed)  # dropout draws from the global generator
        self.generator = torch.Generator(self.device).manual_seed(seed)
        self.coins = torch.Generator().manual_seed(seed + 1)
        self.pipeline = Pipeline(recipe, normalise, self.generator, self.coins)
        self.num_steps = len(data) // batch_size
        self.optimizer = make_optimizer(model, recipe)
        num_steps = recipe.epochs * self.num_steps
        self.schedule = Schedule(self.optimizer, recipe, num_steps)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=precision == "fp16")
        self.average = average_of(self.model, recipe.ema_window * num_steps) if recipe.ema_window else None
        self.best = Best(self.network)
        self.epoch = 0
        self.is_over = False

    @property
    def network(self) -> nn.Module:
        """What is measured, and kept in the end: the average of the weights, where the recipe keeps one."""
        return self.average.module if self.average is not None else self.model

    def epochs(self) -> Iterator[Measurement]:
        """Train epoch after epoch, from where the training is.

        Raises:
            TrainingError: the loss is not finite.
        """
        while self.epoch < self.recipe.epochs and not self.is_over:
            measurement = self._train_epoch()
            if measurement is None:
                return
            self._note(measurement)
            yield measurement
        if self.recipe.keep_best:
            self.best.restore()

    def state(self) -> dict[str, Any]:
        """All that the next epoch depends on: tensors, numbers and names, between two epochs."""
        is_cuda = self.device.type == "cuda"
        return {
            "epoch": self.epoch,
            "is_over": self.is_over,
            "model": self.model.state_dict(),
            "average": self.average.state_dict() if self.average is not None else None,
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "best": self.best.state_dict(),
            "generator": self.generator.get_state(),
            "coins": self.coins.get_state(),
            "global": torch.cuda.get_rng_state(self.device) if is_cuda else torch.get_rng_state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state` of the same training."""
        self.epoch, self.is_over = state["epoch"], state["is_over"]
        self.model.load_state_dict(state["model"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.scaler.load_state_dict(state["scaler"])
        self.best.load_state_dict(state["best"])
        # Generators take their states from the memory of the host.
        self.generator.set_state(state["generator"].cpu())
        self.coins.set_state(state["coins"].cpu())
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state["global"].cpu(), self.device)
        else:
            torch.set_rng_state(state["global"].cpu())

    def _train_epoch(self) -> Measurement | None:
        """One epoch, or None if it became unwanted.

        The loss is read at its end alone, so that the device never waits for the host in between.
        """
        started = time.perf_counter()
        self.epoch += 1
        self.model.train()
        losses = torch.zeros(self.num_steps, device=self.device)
        num_correct = torch.zeros((), device=self.device)
        batch_size, _, _ = self.recipe.sizes
        lr = 0.0
        for step, (pixels, labels) in enumerate(self.data.batches(batch_size, self.generator)):
            if self.is_unwanted():
                return None
            batch = self.pipeline(pixels, labels)
            with autocast(self.device, self.precision):
                logits = self.model(batch.images.contiguous(memory_format=MEMORY_FORMAT))
                loss = batch.loss(logits, self.recipe.label_smoothing)
            self.optimizer.zero_grad(set_to_none=True)
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]  # torch's own gap
            self.scaler.step(self.optimizer)
            self.scaler.update()
            if self.average is not None:
                self.average.update_parameters(self.model)
            lr = self.schedule.lr
            self.schedule.step()
            losses[step] = loss.detach()
            num_correct += batch.num_correct(logits.detach())
        train_loss = losses.mean().item()
        if not math.isfinite(train_loss):
            raise TrainingError(f"training loss is {train_loss} in epoch {self.epoch}")
        result = None
        if self.validation is not None:
            result = evaluate(self.network, self.validation, self.normalise, self.precision)
        return Measurement(
            epoch=self.epoch,
            train_loss=train_loss,
            train_accuracy=num_correct.item() / (self.num_steps * batch_size),
            validation_loss=result.loss if result else None,
            validation_accuracy=result.accuracy if result else None,
            lr=lr,
            seconds=time.perf_counter() - started,
            first_loss=losses[0].item() if self.epoch == 1 else None,
        )

    def _note(self, measurement: Measurement) -> None:
        """What the recipe does about a validation accuracy."""
        accuracy, recipe = measurement.validation_accuracy, self.recipe
        if accuracy is None or not recipe.needs_validation:
            return
        self.schedule.end_epoch(accuracy)
        self.best.note(self.epoch, accuracy, keep=recipe.keep_best)
        patience = recipe.stop_patience
        self.is_over = patience is not None and self.epoch - self.best.epoch >= patience


def average_of(model: nn.Module, window: float) -> AveragedModel:
    """An exponential moving average of the model's weights and buffers over some steps, to be updated after each."""
    average_fn = get_ema_multi_avg_fn(1 - 1 / max(1.0, window))  # type: ignore[no-untyped-call]  # torch's own gap
    return AveragedModel(model, multi_avg_fn=average_fn, use_buffers=True)


class Best:
    """The weights of the best epoch so far, by validation accuracy; the earlier of equals."""

    def __init__(self, model: nn.Module) -> None:
        self.epoch = 0
        self._model = model
        self._accuracy = -1.0
        self._weights: dict[str, Tensor] = {}

    def note(self, epoch: int, accuracy: float, keep: bool) -> None:
        if accuracy > self._accuracy:
            self.epoch, self._accuracy = epoch, accuracy
            if keep:
                self._weights = {name: tensor.clone() for name, tensor in self._model.state_dict().items()}

    def restore(self) -> None:
        self._model.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "accuracy": self._accuracy, "weights": self._weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self._accuracy, self._weights = state["epoch"], state["accuracy"], state["weights"]


@torch.inference_mode()
def evaluate(model: nn.Module, data: Images, normalise: Normalisation, precision: str) -> TestResult:
    """Loss, top-1 accuracy, confusion matrix, and the images it is right on, of `model` on all of `data`.

    Raises:
        TrainingError: the loss is not finite.
    """
    model.eval()
    total_loss = torch.zeros((), device=data.device)
    confusion: Tensor | None = None
    correct = torch.zeros(len(data), dtype=torch.bool, device=data.device)
    for start in range(0, len(data), EVALUATION_BATCH):
        labels = data.labels[start : start + EVALUATION_BATCH]
        images = normalise(data.images[start : start + EVALUATION_BATCH])
        with autocast(data.device, precision):
            logits = model(images.contiguous(memory_format=MEMORY_FORMAT)).float()
        total_loss += functional.cross_entropy(logits, labels, reduction="sum")
        num_classes = logits.shape[1]
        predicted = logits.argmax(dim=1)
        correct[start : start + EVALUATION_BATCH] = predicted == labels
        pairs = torch.bincount(labels * num_classes + predicted, minlength=num_classes**2)
        confusion = pairs if confusion is None else confusion + pairs
    assert confusion is not None
    counts = confusion.view(num_classes, num_classes).cpu()
    loss = total_loss.item() / len(data)
    if not math.isfinite(loss):
        raise TrainingError(f"evaluation loss is {loss}")
    accuracy = counts.diagonal().sum().item() / len(data)
    return TestResult(loss, accuracy, tuple(map(tuple, counts.tolist())), pack(correct.cpu().numpy()))


def autocast(device: torch.device, precision: str) -> torch.autocast:
    return torch.autocast(device.type, DTYPES[precision], enabled=precision != "fp32")
