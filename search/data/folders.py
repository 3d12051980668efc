"""Folders of image files, a sub-folder for each class. What is not used is remarked on, by kind and number.

Hidden files and folders are passed over, and so is what operating systems leave behind.
"""

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from search.data.classes import Classes
from search.data.decoding import EncodedImages, Part, Source
from search.data.remarks import remark
from search.data.splits import TEST_FRACTION, TEST_NAMES, TEST_SEED, set_aside
from search.errors import DataError
from search.quantities import plural

# Those of torchvision's ImageFolder, and other endings of the same formats.
IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm"),
)
LAYOUTS = "train-*.parquet and test-*.parquet, or train/<class>/* and test/<class>/*, or <class>/* of images"
MAX_KINDS = 8  # of unused files that are named one by one

_LITTER = frozenset({"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "lost+found", "$recycle.bin"})
_PARTS = frozenset({"train", "training", "testing", "dev", "eval", "evaluation", *TEST_NAMES})


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
        holds = f"no class folders, but {_numbers(unused)}" if unused else "nothing that can be read"
        raise DataError(f"data = {str(folder)!r}: holds {holds}; must be laid out as {LAYOUTS}")
    files: list[tuple[Path, str]] = []
    num_deep = 0
    for class_folder in sorted(classes):
        below = _images_below(class_folder)
        if not below.images:
            holds = f", but {_numbers(below.unused)}" if below.unused else ""
            rule = f"every class folder must hold some of {' '.join(IMAGE_SUFFIXES)}"
            if ".parquet" in below.unused:
                rule = "pass the folder that holds train and test, or train-*.parquet and test-*.parquet"
            raise DataError(f"data = {str(class_folder)!r}: holds no images{holds}; {rule}")
        _require_classes(class_folder, set(below.folders))
        unused += below.unused
        num_deep += len(below.images) - below.folders[class_folder]
        files += [(image, _class_name(class_folder)) for image in below.images]
    if all(_is_called_like_part(class_folder.name) for class_folder in classes):
        names = ", ".join(sorted(ascii(class_folder.name) for class_folder in classes))
        rule = "each must hold a folder for each class, and one be called train"
        raise DataError(f"data = {str(folder)!r}: holds {names}, parts of a data set by their names; {rule}")
    if num_deep:
        remark(folder, f"{plural(num_deep, 'image')} in folders inside of a class folder are of its class")
    remark_unused(folder, unused)
    return files


def is_divided(folder: Path) -> bool:
    """Whether a folder holds parts of a data set rather than its classes, of which one may be called train.

    Raises:
        OSError: the folder cannot be read.
    """
    train = folder / "train"
    if not train.is_dir():
        return False
    others = [other for other in visible_folders(folder) if other != train]
    if visible_folders(train) or any(_is_called_like_part(other.name) for other in others):
        return True
    return len(others) < 2  # with one more folder it may be anything, and the folder with both a part of something


def _is_called_like_part(name: str) -> bool:
    """As test, test1 or train_images."""
    words = re.findall("[a-z]+", name.lower())
    return bool(words) and not _PARTS.isdisjoint((words[0], words[-1]))


def image_files(folder: Path) -> list[Path]:
    """The images in a folder, in no order, without those in folders inside of it.

    Raises:
        DataError: what has the name of an image is not a file.
        OSError: the folder cannot be read.
    """
    images, unused = [], Counter[str]()
    for entry in _visible(folder, unused):
        if entry.is_dir() and not _is_image(entry):
            unused[f"images in {entry.name!a}"] += len(_images_below(Path(entry)).images)
        elif _is_image(entry):
            images.append(Path(_path_of_file(entry)))
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
            num_images = len(_images_below(entry).images)
            unused[f"images in {entry.name!a}" if num_images else f"folder {entry.name!a}"] += num_images or 1
        else:
            unused["images in no class folder" if _is_image(entry) else _kind(entry)] += 1
    return unused


def visible(folder: Path, ending: str = "") -> list[Path]:
    """The files and folders in a folder that are neither hidden nor what operating systems leave behind, sorted: those
    whose names end like this, in whatever case.

    Raises:
        OSError: the folder cannot be read.
    """
    return sorted(Path(entry) for entry in _visible(folder) if entry.name.lower().endswith(ending))


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
        remark(path, f"not used: {_numbers(unused)}")


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

    return Source(part(train), part(test), Classes.named(classes))


def encoded_files(files: Sequence[Path]) -> EncodedImages:
    """The images in some files, in the order of the files."""

    def items() -> Iterator[tuple[str, bytes | Path]]:
        return ((f"data = {str(file)!r}", file) for file in files)

    return EncodedImages(items)


def _class_name(folder: Path) -> str:
    """What a class folder calls its class. It may hold bytes that are no text, and é in one character or, as macOS
    writes it, in two."""
    return unicodedata.normalize("NFC", os.fsencode(folder.name).decode(errors="backslashreplace"))


class _Below(NamedTuple):
    """The images in a folder and the folders inside of it, sorted; the number of images that lie right in each folder
    that has any; and the kinds of what else is there."""

    images: list[Path]
    folders: Counter[Path]
    unused: Counter[str]


def _images_below(folder: Path) -> _Below:
    """What lies in and below a folder. Links are followed, unless they lead back to where they are."""
    paths: list[str] = []  # for tens of thousands of Paths take long to be compared
    folders, unused = Counter[Path](), Counter[str]()
    passed = set(folder.resolve().parents)
    waiting = [folder]
    while waiting:
        inner = waiting.pop()
        place = inner.resolve()
        if place in passed:
            unused["links that lead back"] += 1
            continue
        passed.add(place)
        num_before = len(paths)
        for entry in _visible(inner, unused):
            if _is_image(entry):
                paths.append(_path_of_file(entry))
            elif entry.is_dir():
                waiting.append(Path(entry))
            else:
                unused[_kind(entry)] += 1
        if len(paths) > num_before:
            folders[inner] = len(paths) - num_before
    return _Below(list(map(Path, sorted(paths))), folders, unused)


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


def _require_classes(class_folder: Path, with_images: set[Path]) -> None:
    """Refuse folders that are parts of a data set by their names: taken as classes, or as of one class, they would make
    another question of it. Only a class folder with images right in it may be called like a part.

    Raises:
        DataError: the class folder is one, or a folder inside of it.
    """
    inner = {folder for deepest in with_images for folder in (deepest, *deepest.parents)}
    inner = {folder for folder in inner if folder.is_relative_to(class_folder)}
    for folder in sorted(inner - ({class_folder} & with_images)):
        if not _PARTS.isdisjoint(re.split(r"[^a-z]+", folder.name.lower())):
            rule = "pass the folder whose own folders are called train and test, each with its class folders"
            raise DataError(f"data = {str(folder)!r}: is a part of a data set by its name, and not of a class; {rule}")


def _is_image(entry: os.DirEntry[str] | Path) -> bool:
    return entry.name.lower().endswith(IMAGE_SUFFIXES)


def _path_of_file(entry: os.DirEntry[str]) -> str:
    if not entry.is_file():
        exists = Path(entry).exists()
        rule = "must be a file, as its ending says" if exists else "a link to nothing: No such file or directory"
        raise DataError(f"data = {entry.path!r}: {rule}")
    return entry.path


def _kind(entry: os.DirEntry[str] | Path) -> str:
    suffix = Path(entry.name).suffix.lower()
    return ascii(suffix)[1:-1] if suffix else "without an ending"


def _numbers(kinds: Mapping[str, int]) -> str:
    """Kinds of files with their numbers, the commonest first."""
    ranked = sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
    texts = [f"{kind} ({number:,})" for kind, number in ranked[:MAX_KINDS]]
    rest = sum(number for _, number in ranked[MAX_KINDS:])
    return ", ".join([*texts, f"others ({rest:,})"] if rest else texts)
