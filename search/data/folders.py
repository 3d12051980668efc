"""Folders of image files, a sub-folder for each class. What is not used is remarked on, by kind and number.

Hidden files and folders are passed over, and so is what operating systems leave behind.
"""

import logging
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from search.data.decoding import EncodedImages, Part, Source
from search.data.splits import TEST_FRACTION, TEST_NAMES, TEST_SEED, set_aside
from search.errors import DataError

# Those of torchvision's ImageFolder, and other endings of the same formats.
IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm"),
)
LAYOUTS = "train-*.parquet and test-*.parquet, or train/<class>/* and test/<class>/*, or <class>/* of images"
MAX_KINDS = 8  # of unused files that are named one by one

_LITTER = frozenset({"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "lost+found", "$recycle.bin"})
_PARTS = frozenset({"train", "training", "testing", "dev", "eval", "evaluation", *TEST_NAMES})
_log = logging.getLogger(__name__)


def class_folders(folder: Path) -> list[tuple[Path, str]]:
    """Every image file in and below the class folders of a folder, with its class; both in sorted order.

    Raises:
        DataError: there is no class folder, or one without images, or one that is a part of a data set by its name.
        OSError: a folder cannot be read.
    """
    classes, unused = [], Counter[str]()
    for entry in _visible(folder, unused):
        if entry.is_dir():
            classes.append(Path(entry))
        else:
            unused["images in no class folder" if _is_image(entry) else _kind(entry)] += 1
    if not classes:
        raise DataError(f"data = {str(folder)!r}: holds nothing that can be read; must be laid out as {LAYOUTS}")
    files: list[tuple[Path, str]] = []
    num_deep = 0
    for class_folder in sorted(classes):
        images, others = _images_below(class_folder)
        if not images:
            holds = f", but {_numbers(others)}" if others else ""
            rule = f"must be one of {' '.join(IMAGE_SUFFIXES)}, in the layout {LAYOUTS}"
            raise DataError(f"data = {str(class_folder)!r}: holds no images{holds}; {rule}")
        _require_classes(class_folder, images)
        unused += others
        num_deep += sum(image.parent != class_folder for image in images)
        files += [(image, class_folder.name) for image in images]
    if num_deep:
        _log.warning("data = %r: %s images in folders inside of a class folder are of its class", str(folder), num_deep)
    remark_unused(folder, unused)
    return files


def image_files(folder: Path) -> list[Path]:
    """The images in a folder, in no order, without those in folders inside of it.

    Raises:
        DataError: what has the name of an image is not a file.
        OSError: the folder cannot be read.
    """
    images, unused = [], Counter[str]()
    for entry in _visible(folder, unused):
        if entry.is_dir() and not _is_image(entry):
            inside, _ = _images_below(Path(entry))
            unused[f"images in {entry.name!a}"] += len(inside)
        elif _is_image(entry):
            images.append(_file(entry))
        else:
            unused[_kind(entry)] += 1
    remark_unused(folder, unused)
    return images


def count_unused(entries: Sequence[Path]) -> Counter[str]:
    """The kinds of some files and folders that are not used, and how many there are of each; for a folder its images,
    if it holds any.

    Raises:
        DataError, OSError: a folder cannot be read.
    """
    unused = Counter[str]()
    for entry in entries:
        if entry.is_dir():
            images, _ = _images_below(entry)
            unused[f"images in {entry.name!a}" if images else f"folder {entry.name!a}"] += len(images) or 1
        else:
            unused["images in no class folder" if _is_image(entry) else _kind(entry)] += 1
    return unused


def visible(folder: Path) -> list[Path]:
    """The files and folders in a folder that are neither hidden nor what operating systems leave behind, sorted.

    Raises:
        OSError: the folder cannot be read.
    """
    return sorted(Path(entry) for entry in _visible(folder))


def visible_folders(folder: Path) -> list[Path]:
    """The folders among what is visible in a folder, sorted.

    Raises:
        OSError: the folder cannot be read.
    """
    return sorted(Path(entry) for entry in _visible(folder) if entry.is_dir())


def remark_unused(path: Path, unused: Mapping[str, int]) -> None:
    """Tell the user what of a data set is not used: how many of each kind."""
    unused = {kind: number for kind, number in unused.items() if number}
    if unused:
        _log.warning("data = %r: not used: %s", str(path), _numbers(unused))


def read_class_folders(train: Sequence[tuple[Path, str]], test: Sequence[tuple[Path, str]] | None) -> Source:
    """The data set of training and test files with their classes, which are numbered in sorted order.

    Without test files, a fifth of the training files of each class is set aside for it.
    """
    classes = tuple(sorted({name for _, name in train}))
    number = {name: label for label, name in enumerate(classes)}
    if test is None:
        kept, aside = set_aside(np.array([number[name] for _, name in train]), TEST_FRACTION, TEST_SEED)
        train, test = [train[i] for i in kept], [train[i] for i in aside]

    def part(files: Sequence[tuple[Path, str]]) -> Part:
        labels = np.array([number[name] for _, name in files], dtype=np.int64)
        return Part(encoded_files([file for file, _ in files]), labels)

    return Source(part(train), part(test), classes)


def encoded_files(files: Sequence[Path]) -> EncodedImages:
    """The images in some files, in the order of the files."""

    def items() -> Iterator[tuple[str, bytes | Path]]:
        return ((f"data = {str(file)!r}", file) for file in files)

    return EncodedImages(items)


def _images_below(folder: Path) -> tuple[list[Path], Counter[str]]:
    """Every image file in a folder and the folders inside of it, sorted, and the kinds of what else is there. Links are
    followed, unless they lead back to where they are."""
    images, unused = [], Counter[str]()
    above = set(folder.resolve().parents)
    walked: set[Path] = set()
    waiting = [folder]
    while waiting:
        inner = waiting.pop()
        place = inner.resolve()
        if place in above | walked:
            unused["links that lead back"] += 1
            continue
        walked.add(place)
        for entry in _visible(inner, unused):
            if entry.is_dir() and not _is_image(entry):
                waiting.append(Path(entry))
            elif _is_image(entry):
                images.append(_file(entry))
            else:
                unused[_kind(entry)] += 1
    return sorted(images), unused


def _visible(folder: Path, hidden: Counter[str] | None = None) -> Iterator[os.DirEntry[str]]:
    """What a folder holds, without what is hidden or of an operating system. Hidden images are counted: they were not
    made by one, which begins their names by '._'."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith("."):
                if entry.name.lower() not in _LITTER:
                    yield entry
            elif hidden is not None and _is_image(entry) and not entry.name.startswith("._"):
                hidden["hidden images"] += 1


def _require_classes(class_folder: Path, images: Sequence[Path]) -> None:
    """Refuse folders that are parts of a data set by their names: taken as classes, or as of one class, they would make
    another question of it. Only where no image lies in the folder itself may it be a part of classes.

    Raises:
        DataError: the class folder is one, or a folder inside of it.
    """
    parents = {image.parent for image in images}
    parts = [inner for image in parents for inner in (image, *image.parents) if inner.is_relative_to(class_folder)]
    for inner in sorted(set(parts)):
        if (inner != class_folder or class_folder not in parents) and not _PARTS.isdisjoint(_words(inner.name)):
            rule = "pass the folder that holds train and test, called like this, each with its class folders"
            raise DataError(f"data = {str(inner)!r}: is a part of a data set by its name, and not of a class; {rule}")


def _words(name: str) -> list[str]:
    return re.split(r"[^a-z]+", name.lower())


def _is_image(entry: os.DirEntry[str] | Path) -> bool:
    return entry.name.lower().endswith(IMAGE_SUFFIXES)


def _file(entry: os.DirEntry[str]) -> Path:
    file = Path(entry)
    if not entry.is_file():
        rule = "must be a file, as its ending says" if file.exists() else "a link to nothing: No such file or directory"
        raise DataError(f"data = {str(file)!r}: {rule}")
    return file


def _kind(entry: os.DirEntry[str] | Path) -> str:
    suffix = Path(entry.name).suffix.lower()
    return ascii(suffix)[1:-1] if suffix else "without an ending"


def _numbers(kinds: Mapping[str, int]) -> str:
    """Kinds of files with their numbers, the commonest first."""
    ranked = sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
    texts = [f"{kind} ({number:,})" for kind, number in ranked[:MAX_KINDS]]
    rest = sum(number for _, number in ranked[MAX_KINDS:])
    return ", ".join([*texts, f"others ({rest:,})"] if rest else texts)
