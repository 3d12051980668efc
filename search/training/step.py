"""One step of training, as a function of tensors that stay where they are: called on the CPU, replayed on CUDA."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from search.recipe import Recipe
from search.training.graph import Capture, CaptureError, Replay
from search.training.mixed_precision import MEMORY_FORMAT, autocast
from search.training.optimisation import MovingAverage, make_optimizer, set_lr, set_norms
from search.training.pipeline import Batch

# The loss, by the cross-entropy with the labels, the logits (N, classes), and the images that they are of.
Teach = Callable[[Tensor, Tensor, Tensor], Tensor]


class TrainingStep:
    """Forward, loss, backward, optimiser, the average of the weights, and the sums of loss and hits: one call a batch.

    On CUDA the first call captures all of it as one graph, which later calls replay, so that Python launches one thing
    a step; images of another size have one of their own. A step that cannot be captured runs as it does on the CPU,
    operation by operation, to the same result.

    Args:
        model: the model, in `MEMORY_FORMAT`, on its device.
        recipe: the optimiser, how BatchNorm is trained, the scale of the logits, and the label smoothing of the
            cross-entropy.
        precision: 'fp32', 'bf16' or 'fp16'. In fp16 the loss is scaled, so that small gradients do not vanish
            (Micikevicius et al. 2018, https://arxiv.org/abs/1710.03740).
        average: follows the model's weights; None if nobody wants it.
        capture: makes a replay of a function of a batch; None to run operation by operation.
        teach: adds the part of teachers to the loss; None without a teacher.
        note: is told, in a line, that a step could not be captured.

    Attributes:
        sums: (2,) float64: the cross-entropies in nats and the correct images of all steps since somebody set it to
            zero; a step adds the mean cross-entropy of its batch, under the weights before it.
    """

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        precision: str,
        average: MovingAverage | None = None,
        capture: Capture | None = None,
        note: Callable[[str], None] = lambda text: None,
        teach: Teach | None = None,
    ) -> None:
        device = next(model.parameters()).device
        set_norms(model, recipe)
        self.optimizer = make_optimizer(model, recipe, capturable=capture is not None or device.type == "cuda")
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
        self.sums = torch.zeros(2, dtype=torch.float64, device=device)
        self._model = model
        self._average = average
        self._label_smoothing = recipe.label_smoothing
        self._logit_scale = recipe.logit_scale
        self._precision = precision
        self._teach = teach
        self._capture = capture
        self._replay: Replay | None = None
        self._shape: torch.Size | None = None  # of the images that it takes
        self._note = note

    def __call__(self, batch: Batch, lr: float) -> None:
        """Train on a batch at a learning rate. All batches are of the kind of the first."""
        set_lr(self.optimizer, lr)
        if self._capture is not None and self._shape != batch.images.shape:
            self._replay = self._captured(self._capture, batch)
            self._shape = batch.images.shape
        if self._replay is not None:
            self._replay(batch)
        else:
            self.compute(batch)
        if self._average is not None:
            self._average.note_step()

    def compute(self, batch: Batch) -> None:
        """The step itself. Nothing in it may wait for the device or depend on a value there."""
        self.optimizer.zero_grad(set_to_none=True)
        with autocast(batch.images.device, self._precision):
            logits: Tensor = self._model(batch.images.contiguous(memory_format=MEMORY_FORMAT))
            if self._logit_scale != 1:
                logits = logits.float() * self._logit_scale
            cross_entropy = batch.loss(logits, self._label_smoothing)
            loss = cross_entropy
            if self._teach is not None:
                loss = self._teach(cross_entropy, logits, batch.images)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]  # torch's own gap
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self._average is not None:
            self._average.update()
        self.sums += torch.stack((cross_entropy.detach().double(), batch.num_correct(logits.detach()).double()))

    def _captured(self, capture: Capture, batch: Batch) -> Replay | None:
        """A replay of the step, which has not run yet; None where it cannot be captured."""
        scaling = self.scaler.state_dict()
        try:
            return capture(self.compute, batch, self.changed)
        except CaptureError as error:
            self._note(f"steps are not captured, and slower: {error}")
            self._capture = None
            # The capture may have failed in the middle of a step, where the optimiser has what the scaler lends it.
            self.optimizer.zero_grad(set_to_none=True)
            for lent in ("grad_scale", "found_inf"):
                vars(self.optimizer).pop(lent, None)
            self.scaler = torch.amp.GradScaler(batch.images.device.type, enabled=self.scaler.is_enabled())
            return None
        finally:
            self.scaler.load_state_dict(scaling)

    def changed(self) -> Iterator[Tensor]:
        """All that a step changes, but for gradients, the scale of an fp16 loss, and the states of generators."""
        for network in (self._model, *((self._average.network,) if self._average is not None else ())):
            yield from network.parameters()
            yield from network.buffers()
        for values in self.optimizer.state.values():
            yield from (value for value in values.values() if isinstance(value, Tensor))
        yield self.sums
