"""Data sets, decoded once into a cache of plain arrays.

A folder in the cache belongs to one state of one source: its name holds a hash of the source's path and of the name,
size and times of every file. It holds four .npy files and meta.json, and appears under its name whole or not at all.
"""

import errno
import hashlib
import json
import logging
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from search.data.cache import cache_folder, write, write_array, writing
from search.data.catalogue import Entry, look_up, path_of
from search.data.classes import Classes
from search.data.decoding import ColourFound, Part, Source
from search.data.remarks import remark
from search.errors import DataError
from search.quantities import plural

ARRAYS = ("train-images.npy", "train-labels.npy", "test-images.npy", "test-labels.npy")
_DAY = 86_400  # seconds
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A decoded data set in the cache.

    Images are square, `image_size` pixels a side, with 1 or 3 `channels`. A label is an index into `classes`. The
    fingerprint is the SHA-256 of arrays and class names, in hexadecimal.

    Attributes:
        labels, are_named, unused: as those of `search.data.classes.Classes`.
        notes: what a user should know of it, a sentence each, as what of its files is not used.
    """

    name: str
    folder: Path
    image_size: int
    channels: int
    classes: tuple[str, ...]
    fingerprint: str
    num_train: int
    num_test: int
    labels: tuple[int, ...] = ()
    are_named: bool = True
    unused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def numbering(self) -> Classes:
        """The classes, and what the files call them."""
        return Classes(self.classes, self.labels, self.are_named, self.unused)

    def train(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Training images (N, H, W, C), memory-mapped and read-only, and their labels (N,).

        Raises:
            DataError: the cache has been deleted or damaged since the data set was opened.
        """
        return self._load("train")

    def test(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """As `train`, for the test images. The caller records it in the test ledger."""
        return self._load("test")

    def require_whole(self) -> None:
        """
        Raises:
            DataError: an array is not what meta.json says; its pixels are not looked at.
        """
        for part, size in (("train", self.num_train), ("test", self.num_test)):
            images, labels = self._load(part)
            shape = (size, self.image_size, self.image_size, self.channels)
            is_whole = images.shape == shape and images.dtype == np.uint8
            is_whole &= labels.shape == (size,) and labels.dtype == np.int64
            if not is_whole or not np.all((labels >= 0) & (labels < len(self.classes))):
                raise _damaged(self.folder)

    def _load(self, part: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        try:
            # Not np.load, which takes whatever a file says it is, as an archive.
            images = np.lib.format.open_memmap(self.folder / f"{part}-images.npy", mode="r")
            labels = np.array(np.lib.format.open_memmap(self.folder / f"{part}-labels.npy", mode="r"))
        except (OSError, ValueError) as error:
            raise _damaged(self.folder) from error
        return images, labels


def open_dataset(spec: str) -> Dataset:
    """The data set of a name or path (see `search.data.catalogue.look_up`), decoded the first time.

    Its notes are told, as is what of its files is not used.

    Raises:
        DataError: there is no such data set, or it cannot be used; one line names the file and the rule.
        StorageError: the cache cannot be written.
    """
    entry, folder = _locate(spec)
    try:
        dataset = load_cached(folder)
    except DataError:
        if folder.exists():
            _log.warning("data cache = %r: damaged; the data set is decoded anew", str(folder))
        source = entry.read()
        _check(source, spec)
        with publishing(folder) as temporary:
            _decode(source, entry.name, temporary)
        dataset = load_cached(folder)
    remark(path_of(spec) or spec, *dataset.notes)
    return dataset


def open_cached(spec: str) -> Dataset:
    """The data set of a name or path, if it has been decoded before.

    Raises:
        DataError: it has not, or there is no such data set.
    """
    return load_cached(_locate(spec)[1])


def load_cached(folder: Path) -> Dataset:
    """The data set in a folder of the cache, as its meta.json describes it.

    Raises:
        DataError: the folder is missing or not whole.
    """
    try:
        meta = json.loads((folder / "meta.json").read_bytes())
        sizes = {file: (folder / file).stat().st_size for file in ARRAYS}
        if meta.pop("sizes") != sizes:
            raise _damaged(folder)
        lists = {key: tuple(value) for key, value in meta.items() if isinstance(value, list)}
        dataset = Dataset(**meta | lists | {"folder": folder})
        dataset.require_whole()
        return dataset
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(folder) from error


def _locate(spec: str) -> tuple[Entry, Path]:
    """What a name or path stands for, and its folder in the cache."""
    cache = cache_folder()
    entry = look_up(spec, cache / "downloads")
    return entry, cache / f"{entry.name}-{entry.key}"


def fingerprint(classes: tuple[str, ...], image_size: int, channels: int, hashes: dict[str, str]) -> str:
    """The SHA-256 that identifies data, in hexadecimal, from the hashes of its arrays."""
    content = json.dumps([classes, image_size, channels, hashes], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _damaged(folder: Path) -> DataError:
    return DataError(f"data cache = {str(folder)!r}: missing or damaged; open the data set again to decode it anew")


def _check(source: Source, spec: str) -> None:
    """Refuse a data set too small to train, validate and test on."""
    for name, part in (("training", source.train), ("test", source.test)):
        if not len(part.labels):
            raise DataError(f"data = {spec!r}: 0 {name} images; there must be at least one")
    counts = np.bincount(source.train.labels, minlength=1)
    num_classes = np.count_nonzero(counts)
    if num_classes < 2:
        given = plural(int(num_classes), "class", "classes")
        raise DataError(f"data = {spec!r}: training images of {given}; there must be at least 2 classes")
    if counts.max() < 2:
        raise DataError(f"data = {spec!r}: no class has 2 training images; one is needed for validation")


def _decode(source: Source, name: str, folder: Path) -> None:
    """Write the four arrays, and meta.json last."""
    image_size = source.train.images.image_size()
    # Greyscale is tried first: most colour sets show it in their first image, a grey one only after its last.
    try:
        channels, hashes = 1, _write_parts(source, image_size, 1, folder)
    except ColourFound:
        channels, hashes = 3, _write_parts(source, image_size, 3, folder)
    dataset = Dataset(
        name=name,
        folder=folder,
        image_size=image_size,
        channels=channels,
        classes=source.classes.names,
        fingerprint=fingerprint(source.classes.names, image_size, channels, hashes),
        num_train=len(source.train.labels),
        num_test=len(source.test.labels),
        labels=source.classes.labels,
        are_named=source.classes.are_named,
        unused=source.classes.unused,
        notes=(*source.notes, *source.classes.notes()),
    )
    dataset = replace(dataset, notes=(*dataset.notes, *_repetitions(dataset)))
    sizes = {file: (folder / file).stat().st_size for file in ARRAYS}
    meta = {key: value for key, value in asdict(dataset).items() if key != "folder"} | {"sizes": sizes}
    write(folder / "meta.json", [json.dumps(meta, indent=1).encode()])


def _repetitions(dataset: Dataset) -> Iterator[str]:
    """What a user should know of images that are there several times, pixel by pixel, a sentence each."""
    (train, labels), (test, _) = dataset.train(), dataset.test()
    label_of: dict[bytes, int] = {}
    mixed: set[bytes] = set()
    for image, label in zip(map(digest, train), labels.tolist(), strict=True):
        if label_of.setdefault(image, label) != label:
            mixed.add(image)
    known = sum(digest(image) in label_of for image in test)
    if known:
        are = "is also a training image" if known == 1 else "are also training images"
        yield f"{known:,} of {plural(len(test), 'test image')} {are}, pixel by pixel"
    if mixed:
        are = "is" if len(mixed) == 1 else "are"
        yield f"{plural(len(mixed), 'training image')} {are} there with different labels"


def digest(image: NDArray[np.uint8]) -> bytes:
    """What an image (H, W, C) shares with those that are the same, pixel by pixel."""
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest()


def _write_parts(source: Source, image_size: int, channels: int, folder: Path) -> dict[str, str]:
    """Write the four arrays; returns the SHA-256 of each."""
    parts: list[tuple[str, Part]] = [("train", source.train), ("test", source.test)]
    needed = sum(len(part.labels) * (image_size**2 * channels + 8) for _, part in parts)
    if needed > shutil.disk_usage(folder).free:
        raise OSError(errno.ENOSPC, f"the arrays need {needed // 10**6 + 1} MB, more than is free")
    hashes = {}
    for name, part in parts:
        shape = (len(part.labels), image_size, image_size, channels)
        chunks = part.images.chunks(image_size, channels)
        hashes[f"{name}-images"] = write_array(folder / f"{name}-images.npy", shape, np.dtype(np.uint8), chunks)
        labels = part.labels.astype("<i8")
        hashes[f"{name}-labels"] = write_array(folder / f"{name}-labels.npy", labels.shape, labels.dtype, [labels])
    return hashes


@contextmanager
def publishing(folder: Path) -> Iterator[Path]:
    """A temporary folder that becomes `folder` of the cache when the block ends, or vanishes if it raises.

    Raises:
        StorageError: the disk is full, or the cache cannot be written for another reason.
    """
    temporary: Path | None = None
    try:
        with writing(folder.parent):
            folder.parent.mkdir(parents=True, exist_ok=True)
            for stale in folder.parent.glob(f".{folder.name}.*"):  # left by a process that was killed
                with suppress(FileNotFoundError):  # it belonged to another process, which has finished
                    if time.time() - stale.stat().st_mtime > _DAY:
                        shutil.rmtree(stale, ignore_errors=True)
            temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
            yield temporary
            temporary.chmod(0o755)
            _take_name(temporary, folder)
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _take_name(temporary: Path, folder: Path) -> None:
    try:
        temporary.rename(folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        try:
            load_cached(folder)  # another process was faster; its arrays are the same
        except DataError:
            if folder.is_dir():
                shutil.rmtree(folder)
            else:
                folder.unlink()
            temporary.rename(folder)
