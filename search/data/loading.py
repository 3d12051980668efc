"""Opened image files loaded as viewers show them, and held to what Pillow itself does not check."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from PIL import ExifTags, Image
from PIL.TiffImagePlugin import TILELENGTH, TILEWIDTH, TiffImageFile

from search.errors import DataError

MAX_TILE = 1024  # pixels a side

# What makes an image upright, by the number under which EXIF says how a camera was held.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

logging.getLogger("PIL").addHandler(logging.NullHandler())  # or else what it logs of odd files would be printed


def load_upright(where: str, image: Image.Image) -> Image.Image:
    """The image, turned and mirrored as its EXIF says; damaged EXIF says nothing. `where` names it in errors.

    Raises:
        DataError: it is a TIFF of several pages, or of absurdly large tiles.
        Exception: whatever Pillow raises of a damaged file.
    """
    if isinstance(image, TiffImageFile):
        _load_tiff(where, image)  # turns it, too, and takes the tag away
    image.load()
    try:
        method = _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # Pillow may raise anything of bytes that only look like EXIF
        method = None
    return image if method is None else image.transpose(method)


def _load_tiff(where: str, image: TiffImageFile) -> None:
    """Decode the one page of a TIFF. What libtiff makes first is a whole tile, which may be far larger than the image;
    and about a damaged file it prints."""
    tile = max(image.tag_v2.get(tag, 0) for tag in (TILEWIDTH, TILELENGTH))
    if tile > MAX_TILE:
        raise DataError(f"{where}: stored in tiles of {tile} pixels; must be of {MAX_TILE} at most")
    with suppress(EOFError):
        image.seek(1)
        raise DataError(f"{where}: has several pages; must be one image")
    with _quiet_stderr():
        image.load()


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Holds back what a C library prints on stderr, which must be open."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
