"""Downloads a data set with torchvision: `python -P -m search.training.download NAME DIRECTORY`.

Writes DIRECTORY/NAME.npz with x_train, y_train, x_test and y_test, and keeps torchvision's own files in DIRECTORY/NAME.
On failure the exit status is 1 and standard output has one line, the reason.
"""

import contextlib
import socket
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# torchvision sets no timeout; a connection that is silent for so long is dead.
TIMEOUT_SECONDS = 60.0

# From a folder, and whether to fetch the training part or the test part, to a downloaded torchvision data set.
Fetch = Callable[[Path, bool], Any]


def fetch(name: str) -> Fetch:
    """The function that fetches a data set with torchvision.

    Raises:
        ValueError: there is none for that name.
    """
    from torchvision import datasets

    plain = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100, "fashion-mnist": datasets.FashionMNIST}
    if name in plain:
        return lambda folder, train: plain[name](folder, train=train, download=True)
    if name == "svhn":
        return lambda folder, train: datasets.SVHN(str(folder), split="train" if train else "test", download=True)
    raise ValueError(f"name = {name!r}: must be one of {', '.join(plain)}, svhn")


def to_arrays(dataset: Any) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The images (N, H, W) or (N, H, W, 3) and labels (N,) of a torchvision data set, however it keeps them."""
    images = np.asarray(dataset.data)
    if images.ndim == 4 and images.shape[1] == 3 and images.shape[3] != 3:
        images = images.transpose(0, 2, 3, 1)  # SVHN keeps channels first
    labels = dataset.targets if hasattr(dataset, "targets") else dataset.labels
    return np.ascontiguousarray(images, dtype=np.uint8), np.asarray(labels, dtype=np.int64)


def download(name: str, directory: Path, fetch: Fetch) -> Path:
    """The path of an .npz file with both parts of a data set, which are fetched and written whole or not at all."""
    x_train, y_train = to_arrays(fetch(directory / name, True))
    x_test, y_test = to_arrays(fetch(directory / name, False))
    target, temporary = directory / f"{name}.npz", directory / f".{name}.part"
    try:
        with temporary.open("wb") as file:
            np.savez(file, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
        return temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def main(arguments: list[str], fetch: Callable[[str], Fetch] = fetch) -> int:
    """The exit status. Torchvision's prints go to standard error, the reason of a failure to standard output."""
    socket.setdefaulttimeout(TIMEOUT_SECONDS)
    # Nothing that torchvision unpacks may leave its folder. What it unpickles it has checked against a checksum.
    tarfile.TarFile.extraction_filter = staticmethod(tarfile.data_filter)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            name, directory = arguments
            download(name, Path(directory), fetch(name))
        return 0
    except Exception as error:  # whatever torchvision or the network raises is one line for the caller
        print(f"{type(error).__name__}:", *str(error).split())
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
