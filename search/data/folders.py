"""Folders of image files, a sub-folder for each class. Hidden files and folders are passed over."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from search.data.decoding import EncodedImages, Part, Source
from search.data.splits import TEST_FRACTION, TEST_SEED, set_aside
from search.errors import DataError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif")
LAYOUTS = "train-*.parquet and test-*.parquet, or train/<class>/* and test/<class>/*, or <class>/* of images"


def class_folders(folder: Path) -> list[tuple[Path, str]]:
    """Every image file in the class folders of a folder, with its class; both in sorted order.

    Raises:
        DataError: there is no class folder, or one without images.
        OSError: a folder cannot be read.
    """
    classes = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not classes:
        raise DataError(f"data = {str(folder)!r}: holds nothing that can be read; must be laid out as {LAYOUTS}")
    files: list[tuple[Path, str]] = []
    for class_folder in classes:
        images = sorted(image_files(class_folder))
        if not images:
            suffixes = " ".join(IMAGE_SUFFIXES)
            raise DataError(f"data = {str(class_folder)!r}: holds no images ({suffixes}); the layout must be {LAYOUTS}")
        name = os.fsencode(class_folder.name).decode(errors="backslashreplace")  # it may hold bytes that are no text
        files += [(image, name) for image in images]
    return files


def image_files(folder: Path) -> list[Path]:
    """What has the name of an image in a folder, in no order. A folder may have one, too.

    Raises:
        OSError: the folder cannot be read.
    """
    visible = (entry for entry in folder.iterdir() if not entry.name.startswith("."))
    return [entry for entry in visible if entry.suffix.lower() in IMAGE_SUFFIXES]


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
