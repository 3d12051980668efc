"""Trained networks at work: testing them on images and classifying images with them, in files."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from models.build import build
from search.data.cache import cache_folder
from search.errors import NasError, TrainingError
from search.protocol import Assignment, Failed, Message, Ready, Setup
from search.quantities import brief
from search.trained_network import (
    Augmentation,
    Evaluate,
    Evaluated,
    Predict,
    Predicted,
    TestResult,
    TrainedNetwork,
    Verified,
    Verify,
    WriteOnnx,
)
from search.training.corruptions import evaluate_corrupted
from search.training.device import settle, use_device
from search.training.images import Images, Normalisation
from search.training.loop import evaluate_fully, evaluation_batch
from search.training.mixed_precision import MEMORY_FORMAT, computes_in, forward
from search.training.pulse import Pulse, beat
from search.training.quiet import Quiet
from search.training.verifier import verify
from search.training.views import Views, evaluate_augmented


class Predictor:
    """A device without data of its own, for tasks whose images are in files."""

    def __init__(self, setup: Setup) -> None:
        torch.set_num_threads(setup.num_threads)
        self.device = use_device(setup.device)
        self._quiet = Quiet(cache_folder(), lambda: settle(self.device))

    def ready(self) -> Ready:
        """The message that the worker is ready."""
        return Ready(str(self.device), "fp32", {"torch": str(torch.__version__)})

    def perform(self, task: Assignment, send: Callable[[Message], None], *_: object) -> Message:
        """The answer to a task; Failed if there is none."""
        with self._quiet.computing():
            return self._perform(task, Pulse(self._quiet, send))

    def _perform(self, task: Assignment, pulse: Callable[[], None]) -> Message:
        try:
            if isinstance(task, Evaluate):
                return Evaluated(evaluate_all(task, self.device, pulse))
            if isinstance(task, Verify):
                return Verified(tuple(verify(task, partial(load, device=self.device, pulse=pulse))))
            if isinstance(task, WriteOnnx):
                from search.training.onnx_export import write_onnx  # which not everybody has installed

                return write_onnx(task, pulse)
            assert isinstance(task, Predict), "a worker without data does not train"
            labels = predict(task.network, load_images(task), self.device, pulse, task.augmentation)
            return Predicted(tuple(labels.tolist()))
        except NasError as error:
            return Failed(str(error))
        except (RuntimeError, OSError, ValueError, MemoryError) as error:
            return Failed(f"{type(error).__name__}: {brief(error)}")


def evaluate_all(
    task: Evaluate, device: torch.device, pulse: Callable[[], None] = lambda: None
) -> tuple[TestResult, ...]:
    """What `evaluate` gives for each network, in the precision in which it was tested after its training, and what the
    task asks for besides; `pulse` is called before every batch.

    Raises:
        TrainingError: weights do not belong to their architecture, or a loss is not finite.
    """
    labels = np.load(task.labels, allow_pickle=False)
    images = Images.from_arrays(load_images(task), labels, device)
    results = []
    for network in task.networks:
        normalise = Normalisation.from_constants(network.mean, network.std, device)
        model, precision = load(network, device, pulse), precision_on(device, network)
        result = evaluate_fully(model, images, normalise, precision)
        if task.augmentation is not None:
            augmented = evaluate_augmented(model, images, normalise, precision, network.mirrored, task.augmentation)
            result = replace(result, augmented=(augmented,))
        if task.corrupted:
            result = replace(result, corrupted=evaluate_corrupted(model, images, normalise, precision))
        results.append(result)
    return tuple(results)


@torch.inference_mode()
def predict(
    network: TrainedNetwork,
    images: NDArray[np.uint8],
    device: torch.device,
    pulse: Callable[[], None] = lambda: None,
    augmentation: Augmentation | None = None,
) -> NDArray[np.int64]:
    """The most likely class (N,) of each of the images (N, H, W, C), by logits averaged over the views of an
    augmentation if there is one; `pulse` is called before every batch.

    Raises:
        TrainingError: the weights do not belong to the architecture.
    """
    model, normalise = load(network, device, pulse), Normalisation.from_constants(network.mean, network.std, device)
    if augmentation is not None:
        model = Views(model, augmentation, network.mirrored)
    labels = []
    batch_size = evaluation_batch(images.shape[1:], device)
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        pixels = Images.from_arrays(batch, np.zeros(len(batch), dtype=np.int64), device).images
        logits = forward(model, normalise(pixels), precision_on(device, network)).float()
        labels.append(logits.argmax(dim=1).cpu().numpy())
    return np.concatenate(labels)


def load(network: TrainedNetwork, device: torch.device, pulse: Callable[[], None] = lambda: None) -> nn.Module:
    """The trained module on a device, in evaluation mode; it calls `pulse` before every batch.

    Raises:
        TrainingError: the weights do not belong to the architecture, or cannot be read.
    """
    model: nn.Module = build(network.architecture)
    try:
        model.load_state_dict(load_file(network.weights))
    except (RuntimeError, SafetensorError, OSError) as error:
        raise TrainingError(f"{network.weights}: cannot be loaded into its architecture ({brief(error)})") from error
    beat(model, pulse)
    return model.eval().to(device).to(memory_format=MEMORY_FORMAT)


def load_images(task: Evaluate | Predict | WriteOnnx) -> NDArray[np.uint8]:
    """The images (N, H, W, C) of a task, memory-mapped."""
    images: NDArray[np.uint8] = np.load(task.images, mmap_mode="r", allow_pickle=False)
    return images


def precision_on(device: torch.device, network: TrainedNetwork) -> str:
    """The network's own precision, or fp32 where the device does not compute in that."""
    return network.precision if computes_in(network.precision, device) else "fp32"
