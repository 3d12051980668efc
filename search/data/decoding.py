"""From encoded images to arrays of one shape: square, 8 bits a channel, all greyscale or all in colour.

Images come as files, as bytes in a Parquet column, or as arrays that need no decoding. Readers of all three are handed
on as `Images`, which yields chunks of arrays, so a set larger than memory can be decoded.
"""

import io
import itertools
import textwrap
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from search.errors import DataError

MIN_SIZE, MAX_SIZE = 4, 512
MAX_BYTES = 64 * 2**20
MAX_CLASSES = 10_000
CHUNK = 1024
# Image.open tries only these: Pillow's other readers are never needed, and some of them start programs.
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF")
GREY_MODES = frozenset({"1", "L", "LA"})
COLOUR_MODES = frozenset({"RGB", "RGBA", "RGBX", "P", "PA", "CMYK", "YCbCr"})


class ColourFound(Exception):
    """An image in colour stands in a set that was being read as greyscale; read the set again in colour."""


class Images(Protocol):
    """Images of one part of a data set, in order."""

    def image_size(self) -> int:
        """The side of the first image in pixels. There must be one.

        Raises:
            DataError: the first image cannot be read, is not square or has no allowed size.
        """

    def chunks(self, image_size: int, channels: int) -> Iterator[NDArray[np.uint8]]:
        """All images in order, in arrays of shape (up to 1,024, image_size, image_size, channels).

        Raises:
            DataError: an image cannot be read or has another size.
            ColourFound: channels is 1 and an image has colour.
        """


@dataclass(frozen=True, slots=True)
class EncodedImages:
    """Images still encoded. Every call of `items` starts anew and yields (where it lies, its bytes or file)."""

    items: Callable[[], Iterator[tuple[str, bytes | Path]]]

    def image_size(self) -> int:
        with _quiet_pillow():
            where, item = next(self.items())
            return len(_decode(where, item, None, 3))

    def chunks(self, image_size: int, channels: int) -> Iterator[NDArray[np.uint8]]:
        # One thread: with two, images of 32 pixels take twice as long and those of 512 only a tenth less.
        items = self.items()
        while batch := list(itertools.islice(items, CHUNK)):
            with _quiet_pillow():
                images = [_decode(where, item, image_size, channels) for where, item in batch]
            yield np.stack(images)


@dataclass(frozen=True, slots=True)
class ArrayImages:
    """Images that are an array already, of shape (N, H, W, C). `where` names it in errors."""

    where: str
    array: NDArray[np.uint8]

    def image_size(self) -> int:
        check_size(self.where, self.array.shape[2], self.array.shape[1], None)
        return int(self.array.shape[1])

    def chunks(self, image_size: int, channels: int) -> Iterator[NDArray[np.uint8]]:
        check_size(self.where, self.array.shape[2], self.array.shape[1], image_size)
        if channels == 1 and self.array.shape[3] == 3:
            raise ColourFound
        for start in range(0, len(self.array), CHUNK):
            chunk = self.array[start : start + CHUNK]
            yield np.repeat(chunk, channels // chunk.shape[3], axis=3)


@dataclass(frozen=True, slots=True)
class Part:
    """The training or the test part: images and labels (N,)."""

    images: Images
    labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Source:
    """A data set that can be decoded."""

    train: Part
    test: Part
    classes: tuple[str, ...]


def check_labels(labels: NDArray[Any], num_classes: int, where: str, unit: str) -> None:
    """Raise DataError naming the first label that is no class, counted from 0 in `unit`s."""
    wrong = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if len(wrong):
        rule = f"labels must be 0 to {num_classes - 1}, the classes of the training images"
        raise DataError(f"{where}, {unit} {wrong[0]}: label = {labels[wrong[0]]}; {rule}")


def numbered(labels: NDArray[Any]) -> tuple[str, ...]:
    """'0' to 'n-1', for a set that does not name its classes."""
    # An absurd label is left out here, and so is found by check_labels.
    return tuple(str(label) for label in range(min(int(labels.max()) + 1 if labels.size else 0, MAX_CLASSES)))


def check_size(where: str, width: int, height: int, expected: int | None) -> None:
    """Raise DataError unless an image is square, of an allowed size, and as large as `expected`, if given."""
    if width != height:
        raise DataError(f"{where}: {width}x{height} pixels; images must be square")
    if not MIN_SIZE <= width <= MAX_SIZE:
        raise DataError(f"{where}: {width}x{height} pixels; images must measure {MIN_SIZE} to {MAX_SIZE} pixels a side")
    if expected is not None and width != expected:
        raise DataError(
            f"{where}: {width}x{height} pixels; all images must have the size of the first, {expected}x{expected}"
        )


def brief(text: object) -> str:
    """What another library or a file says, as part of one line."""
    return textwrap.shorten(str(text), 160, placeholder=" ...") or type(text).__name__


def _decode(where: str, item: bytes | Path, image_size: int | None, channels: int) -> NDArray[np.uint8]:
    """One image of shape (H, W, channels). Its size is checked before its pixels are decoded."""
    encoded = _read(where, item) if isinstance(item, Path) else item
    try:
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
            check_size(where, image.width, image.height, image_size)
            if image.mode not in GREY_MODES | COLOUR_MODES:
                raise DataError(f"{where}: pixel mode {image.mode}; images must have 8 bits a channel")
            if channels == 1:
                if image.mode not in GREY_MODES:
                    raise ColourFound
                return np.asarray(image.convert("L"))[:, :, None]
            # Transparency is dropped, as torchvision's ImageFolder does; of an animation the first frame is taken.
            return np.asarray(image.convert("RGB"))
    except (DataError, ColourFound, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        rule = f"images must measure {MIN_SIZE} to {MAX_SIZE} pixels a side"
        raise DataError(f"{where}: too many pixels to be decoded safely; {rule}") from error
    except Exception as error:  # a damaged file makes Pillow raise almost anything: OSError, SyntaxError, struct.error
        names = ", ".join(FORMATS)
        raise DataError(f"{where}: damaged or not an image; must be one of {names} that Pillow can read") from error


def _read(where: str, path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            encoded = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise DataError(f"{where}: cannot be read: {error.strerror or error}") from error
    if len(encoded) > MAX_BYTES:
        raise DataError(f"{where}: over {MAX_BYTES // 2**20} MB; no image of {MAX_SIZE}x{MAX_SIZE} pixels needs that")
    return encoded


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Silences what Pillow remarks about odd files, but makes its warning of a decompression bomb an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield
