"""A trained network written as ONNX files, each of them measured: an export that computes something else is none."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from models.blocks import ResNet
from search.errors import TrainingError
from search.trained_network import FLOAT_FILE, INT8_FILE, OnnxExport, OnnxFile, WriteOnnx
from search.training.deployed import Deployed
from search.training.images import Normalisation
from search.training.onnx_files import bytes_of_numbers, open_file, write_float, write_int8
from search.training.predictor import load, load_images

Network = Callable[[NDArray[np.uint8]], NDArray[np.float32]]  # images (N, C, H, W) to logits

BATCH = 256
MOST_DIFFERENCE = 1e-4  # of logits from torch's, as a share of the largest


def write_onnx(task: WriteOnnx, pulse: Callable[[], None] = lambda: None) -> OnnxExport:
    """Write the files and measure them; `pulse` is called before every batch.

    Raises:
        TrainingError: the weights do not belong to the architecture, or the float file does not compute what it should.
    """
    images, labels = load_images(task), np.load(task.labels, allow_pickle=False)
    network = load(task.network, torch.device("cpu"))
    assert isinstance(network, ResNet)
    channels, size = task.network.architecture.in_channels, images.shape[1]
    pulse()
    written = [task.folder / FLOAT_FILE]
    write_float(Deployed(network, task.network.mean, task.network.std), (channels, size, size), written[0])
    num_calibration = 0
    if task.calibration is not None:
        pulse()
        calibration: NDArray[np.uint8] = np.load(task.calibration, allow_pickle=False)
        written.append(task.folder / INT8_FILE)
        write_int8(written[0], written[1], _channels_first(calibration))
        num_calibration = len(calibration)
    normalise = Normalisation.from_constants(task.network.mean, task.network.std, torch.device("cpu"))

    @torch.inference_mode()
    def in_torch(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = network(normalise(torch.from_numpy(batch))).numpy()
        return logits

    by_torch = _logits(in_torch, images, pulse)
    in_files = [_logits(open_file(path), images, pulse) for path in written]
    model = onnx.load(written[0])
    return OnnxExport(
        tuple(_measured(path, logits, labels) for path, logits in zip(written, in_files, strict=True)),
        require_same(by_torch, in_files[0]),
        len(images),
        model.opset_import[0].version,
        f"{model.producer_name} {model.producer_version}",
        num_calibration,
    )


def require_same(by_torch: NDArray[np.float32], in_file: NDArray[np.float32]) -> float:
    """The largest difference of logits (N, num_classes). No image has another class, then, unless two classes lie
    within twice that difference.

    Raises:
        TrainingError: it is more than rounding explains.
    """
    difference = float(np.abs(by_torch - in_file).max())
    most = MOST_DIFFERENCE * max(1.0, float(np.abs(by_torch).max()))
    if not difference <= most:  # NaN is no small difference
        others = int((by_torch.argmax(axis=1) != in_file.argmax(axis=1)).sum())
        raise TrainingError(
            f"{FLOAT_FILE}: its logits differ from torch's by up to {difference:.2g}, where {most:.2g} is allowed, and "
            f"so does the class of {others:,} of {len(by_torch):,} images; nothing was exported"
        )
    return difference


def _measured(path: Path, logits: NDArray[np.float32], labels: NDArray[np.int64]) -> OnnxFile:
    accuracy = float((logits.argmax(axis=1) == labels).mean())
    return OnnxFile(path.name, path.stat().st_size, bytes_of_numbers(path), accuracy)


def _batches(images: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """Images (N, H, W, C) as networks take them: (N, C, H, W)."""
    return (_channels_first(images[start : start + BATCH]) for start in range(0, len(images), BATCH))


def _channels_first(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def _logits(network: Network, images: NDArray[np.uint8], pulse: Callable[[], None]) -> NDArray[np.float32]:
    logits = []
    for batch in _batches(images):
        pulse()
        logits.append(network(batch))
    return np.concatenate(logits)
