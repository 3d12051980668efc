"""Images decoded to arrays of one shape: square, 8 bits a channel, all greyscale or all in colour.

Images come as files, as bytes in a Parquet column, or as arrays that need no decoding. All three are `Images`, which
yield chunks of arrays, so a data set may be larger than memory.
"""

import io
import itertools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from search.data.cache import write_array, writing
from search.data.classes import Classes
from search.data.loading import load_upright
from search.errors import DataError
from search.files import why

MIN_SIZE, MAX_SIZE = 4, 512  # pixels a side
MAX_BYTES = 64 * 2**20  # of an image file
CHUNK = 1024  # images
# Image.open tries only these: Pillow's other readers are never needed, and some of them start programs.
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF", "PPM")
GREY_MODES = frozenset({"1", "L", "LA"})
COLOUR_MODES = frozenset({"RGB", "RGBA", "RGBX", "P", "PA", "CMYK", "YCbCr"})


class ColourFound(Exception):
    """An image has colour where greyscale is wanted; the message says which."""


class Shape(NamedTuple):
    """The images that a network takes: `size` x `size` pixels, and 1 or 3 `channels`."""

    size: int
    channels: int


class Images(Protocol):
    """Images in order, as those of one part of a data set."""

    def image_size(self) -> int:
        """The side in pixels of the first image, which must exist.

        Raises:
            DataError: the first image cannot be read, is not square, or is too small or large.
        """

    def chunks(self, image_size: int, channels: int, by_pixels: bool = False) -> Iterator[NDArray[np.uint8]]:
        """All images in order, in arrays (N, image_size, image_size, channels) of at most 1,024 images each.

        Raises:
            DataError: an image cannot be read or has another size.
            ColourFound: channels is 1 and an image is saved in colour, even if it shows none. With `by_pixels`, only if
                its channels differ.
        """


@dataclass(frozen=True, slots=True)
class EncodedImages:
    """Images still encoded. Each call of `items` starts over; it yields where an image is, for errors, and its bytes or
    file."""

    items: Callable[[], Iterator[tuple[str, bytes | Path]]]

    def image_size(self) -> int:
        with _quiet_pillow():
            where, item = next(self.items())
            return len(_decode_one(where, item, None, 3))

    def chunks(self, image_size: int, channels: int, by_pixels: bool = False) -> Iterator[NDArray[np.uint8]]:
        # One thread: with two, images of 32 pixels take twice as long and those of 512 only a tenth less.
        items = self.items()
        while batch := list(itertools.islice(items, CHUNK)):
            with _quiet_pillow():
                images = [_decode_one(where, item, image_size, channels, by_pixels) for where, item in batch]
            yield np.stack(images)


@dataclass(frozen=True, slots=True)
class ArrayImages:
    """Images that are an array (N, H, W, C) already. `where` names it in errors."""

    where: str
    array: NDArray[np.uint8]

    def image_size(self) -> int:
        check_size(self.where, self.array.shape[2], self.array.shape[1], None)
        return int(self.array.shape[1])

    def chunks(self, image_size: int, channels: int, by_pixels: bool = False) -> Iterator[NDArray[np.uint8]]:
        check_size(self.where, self.array.shape[2], self.array.shape[1], image_size)
        is_colour = self.array.shape[3] == 3
        if channels == 1 and is_colour and not by_pixels:
            raise ColourFound(self.where)
        for start in range(0, len(self.array), CHUNK):
            chunk = self.array[start : start + CHUNK]
            if channels == 1 and is_colour:
                coloured = np.flatnonzero((chunk != chunk[..., :1]).any(axis=(1, 2, 3)))
                if len(coloured):
                    raise ColourFound(f"{self.where}, index {start + coloured[0]}")
                chunk = chunk[..., :1]
            yield chunk if chunk.shape[3] == channels else np.repeat(chunk, channels, axis=3)


@dataclass(frozen=True, slots=True)
class Part:
    """The training or the test part of a data set: images, and labels (N,)."""

    images: Images
    labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Source:
    """A data set to be decoded. A label is an index into `classes.names`. `notes` say what of it is not used."""

    train: Part
    test: Part
    classes: Classes
    notes: tuple[str, ...] = ()


def decode(images: Images, num_images: int, shape: Shape, path: Path) -> str:
    """The SHA-256 of the decoded images, in hexadecimal. They are written to `path`, a .npy file in the cache of uint8
    (num_images, size, size, channels). Images saved in colour are greyscale where their three channels are equal.

    Raises:
        DataError: an image cannot be read, or the network does not take it.
        StorageError: the file cannot be written.
    """
    size, channels = shape
    first_size = images.image_size()
    if first_size != size:
        rule = f"the network takes images of {size}x{size} pixels; none is resized"
        raise DataError(f"image size = {first_size}: {rule}")
    try:
        with writing(path.parent):
            full_shape = (num_images, size, size, channels)
            return write_array(path, full_shape, np.dtype(np.uint8), images.chunks(size, channels, True))
    except ColourFound as found:
        raise DataError(f"{found}: in colour; the network takes greyscale images") from None


def check_size(where: str, width: int, height: int, expected: int | None) -> None:
    """Require that an image is square, of an allowed size, and of the `expected` size if that is given, in pixels.

    Raises:
        DataError: it is not.
    """
    if width != height:
        raise DataError(f"{where}: {width}x{height} pixels; images must be square")
    if not MIN_SIZE <= width <= MAX_SIZE:
        raise DataError(f"{where}: {width}x{height} pixels; images must measure {MIN_SIZE} to {MAX_SIZE} pixels a side")
    if expected is not None and width != expected:
        raise DataError(
            f"{where}: {width}x{height} pixels; all images must have the size of the first, {expected}x{expected}"
        )


def _decode_one(
    where: str, item: bytes | Path, image_size: int | None, channels: int, by_pixels: bool = False
) -> NDArray[np.uint8]:
    """One image (H, W, channels), as `Images.chunks` has them. Its size is checked before its pixels are decoded."""
    encoded = _read(where, item) if isinstance(item, Path) else item
    try:
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
            check_size(where, image.width, image.height, image_size)
            if (mode := _stored_mode(image)) not in GREY_MODES | COLOUR_MODES:
                raise DataError(f"{where}: pixel mode {mode}; images must have 8 bits a channel")
            if channels == 1 and image.mode not in GREY_MODES and not by_pixels:
                raise ColourFound(where)
            # Transparency is dropped, as torchvision's ImageFolder does; of an animation the first frame is taken.
            upright = load_upright(where, image)
            if channels == 1 and image.mode in GREY_MODES:
                return np.asarray(upright.convert("L"))[:, :, None]
            pixels = np.asarray(upright.convert("RGB"))
            if channels == 1 and (pixels != pixels[..., :1]).any():
                raise ColourFound(where)
            return pixels[..., :channels]
    except (DataError, ColourFound, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        rule = f"images must measure {MIN_SIZE} to {MAX_SIZE} pixels a side"
        raise DataError(f"{where}: too many pixels to be decoded safely; {rule}") from error
    except Exception as error:  # a damaged file makes Pillow raise almost anything: OSError, SyntaxError, struct.error
        names = ", ".join(FORMATS)
        raise DataError(f"{where}: damaged or not an image; must be one of {names} that Pillow can read") from error


def _stored_mode(image: Image.Image) -> str:
    """The mode of the pixels in the file: of colours of 16 bits Pillow keeps 8, and calls them as if there were no
    more."""
    for tile in getattr(image, "tile", []):
        raw = tile[3] if isinstance(tile[3], str) else next(iter(tile[3] or ()), "")
        if isinstance(raw, str) and raw.startswith(("RGB", "LA")) and ";16" in raw:  # BGR;16 is 16 bits a pixel
            return raw
    return image.mode


def _read(where: str, path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            encoded = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise DataError(f"{where}: cannot be read: {why(error)}") from error
    if len(encoded) > MAX_BYTES:
        raise DataError(f"{where}: over {MAX_BYTES // 2**20} MB; no image of {MAX_SIZE}x{MAX_SIZE} pixels needs that")
    return encoded


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Silences Pillow's warnings about odd files, but makes its warning of a decompression bomb an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield
