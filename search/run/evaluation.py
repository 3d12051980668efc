"""Trained networks of a study put to use: tested on another labelled set, or classifying unlabelled images."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from search.data.cache import scratch_folder, writing
from search.data.catalogue import from_anywhere, path_of, safe_name
from search.data.datasets import digest, open_cached, open_dataset
from search.data.decoding import ArrayImages, Part, Shape, decode
from search.data.labelled import decode_labelled, has_both_parts, read_labelled
from search.data.matching import Reading, match_labels
from search.data.splits import split as divide
from search.data.submission import rows_of
from search.data.unlabelled import read_unlabelled
from search.errors import DataError, InputError
from search.files import StudyFiles
from search.flags import unpack
from search.protocol import Setup
from search.run.plans import open_study_data
from search.study.ledger import Ledger, also_measured
from search.study.plan import Data, Plan
from search.study.robustness import write_robustness
from search.study.trained import TrainedRun
from search.trained_network import (
    Augmentation,
    AugmentedResult,
    Evaluate,
    Evaluated,
    Predict,
    Predicted,
    Robustness,
    Split,
    TestResult,
    augmentations,
)
from search.workers.devices import choose_devices
from search.workers.local import ask


class Overlap(NamedTuple):
    """How many images of a set are, pixel by pixel, also in a study's data: in its training part, which includes the
    validation images, and in its test part."""

    training: int
    test: int


class _Own(NamedTuple):
    """Which images (N,) of a set are the study's own."""

    training: NDArray[np.bool_]
    test: NDArray[np.bool_]


class _TestSet(NamedTuple):
    """What identifies a test set, and the .npy files of its images and labels."""

    data: Data
    images: Path
    labels: Path


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The results of runs on labelled images, seed by seed.

    Attributes:
        classes: the names of the rows of each confusion matrix.
        overlap: how many of the images are the study's own; None where these are no longer in the data cache.
        ledgers: the files with a line for each run: the set's, and the study's if some of its test images are in it.
        split: the split of the study's own images that they are; None if they are other images.
        seen: whether the networks were trained on them, as far as it is known that all of them are the study's.
    """

    data: str
    fingerprint: str
    classes: tuple[str, ...]
    results: tuple[tuple[int, TestResult], ...]
    overlap: Overlap | None
    ledgers: tuple[Path, ...]
    split: Split | None = None
    seen: bool = False

    @property
    def accuracies(self) -> tuple[float, ...]:
        """One a seed."""
        return tuple(result.accuracy for _, result in self.results)

    @property
    def num_images(self) -> int:
        return sum(map(sum, self.results[0][1].confusion))

    @property
    def augmented(self) -> tuple[AugmentedResult, ...]:
        """One a seed; empty where no test-time augmentation was asked for."""
        return tuple(one for _, result in self.results for one in result.augmented)

    @property
    def robustness(self) -> tuple[Robustness, ...]:
        """One a seed; empty where no corruptions were asked for."""
        return tuple(
            Robustness(self.split or "test", result.accuracy, result.corrupted, self.seen)
            for _, result in self.results
            if result.corrupted
        )

    def of_class(self, index: int) -> tuple[int, tuple[float, ...]]:
        """How many images a class has, and its accuracy for each seed; no accuracies where it has no image."""
        images = sum(self.results[0][1].confusion[index])
        return images, tuple(result.confusion[index][index] / images for _, result in self.results if images)


def evaluate(
    files: StudyFiles,
    plan: Plan,
    runs: list[TrainedRun],
    spec: str | None,
    device: str,
    reading: Reading | None = None,
    augmentation: Augmentation | None = None,
    corrupted: bool = False,
    split: Split = "test",
) -> Evaluation:
    """The results of runs on another labelled set with the study's classes, or on the study's own images again.

    The test part of the set is used, or all of it if it has no training part or is not divided. The opening of every
    run is in the set's ledger before the set is opened. The study's own test images are recognised however they are
    packed: a set that holds nothing else counts as the study's; where they are among others, the opening is in the
    study's ledger too, with the accuracy on these images alone. Classes are matched by `search.data.matching`. What was
    measured on the study's own images under corruptions is kept beside the results of the runs.

    Args:
        spec: the set; None for the study's own images.
        augmentation: with which the networks are tested as well, on the same opening.
        corrupted: whether they are tested under every corruption as well, on the same opening.
        split: which of the study's own images. Validation images open no test set.

    Raises:
        InputError: the networks cannot be tested with this augmentation.
        DataError: the set cannot be read, or the networks cannot be tested on it.
        TrainingError: a network cannot be used.
        StorageError: the ledger or the data cache cannot be written.
    """
    _require_views(runs[0], augmentation)
    setup, views = _setup(device), [run.view for run in runs]
    is_test = spec is not None or split == "test"
    with images_of_split(split, plan) if spec is None else _test_set(spec, plan, reading) as (data, images, labels):
        own, known = plan.question.data, _own_images(images, plan) if is_test else None
        part_of_own = None if data.fingerprint != own.fingerprint else split
        if data.fingerprint == own.fingerprint or (known is not None and known.test.all()):
            data = own
        opened: dict[str, NDArray[np.bool_] | None] = {data.ledger_name: None} if is_test else {}
        if known is not None and known.test.any():
            opened.setdefault(own.ledger_name, known.test)
        ledgers = [Ledger(files, name) for name in opened]
        lines = [
            [ledger.record(view.identity, view.seed, view.recipe, view.holdout, view.teaching) for view in views]
            for ledger in ledgers
        ]
        task = Evaluate(tuple(run.network for run in runs), images, labels, augmentation, corrupted)
        answer = ask(setup, task, Path(os.devnull))
    assert isinstance(answer, Evaluated)
    for ledger, of_runs, part in zip(ledgers, lines, opened.values(), strict=True):
        for line, result in zip(of_runs, answer.results, strict=True):
            if part is None:
                ledger.enter(line, result.accuracy, **also_measured(result))
            else:
                ledger.enter(line, _accuracy(result, part))
    results = tuple(zip((view.seed for view in views), answer.results, strict=True))
    overlap = None if known is None else Overlap(*(int(part.sum()) for part in known))
    ledger_files = tuple(map(files.ledger, opened))
    seen = not is_test and any(view.validation is None for view in views)
    evaluation = Evaluation(data.name, data.fingerprint, own.classes, results, overlap, ledger_files, part_of_own, seen)
    if part_of_own is not None:
        for view, robustness in zip(views, evaluation.robustness, strict=False):
            write_robustness(view, robustness)
    return evaluation


def predict(
    plan: Plan,
    run: TrainedRun,
    source: Path,
    device: str,
    augmentation: Augmentation | None = None,
    sample: Path | None = None,
) -> list[tuple[str, int]]:
    """The id and the class of every image, in the order of `search.data.unlabelled.read_unlabelled`, or by a sample of
    a submission as `search.data.submission.rows_of` says.

    Raises:
        InputError: the network cannot be used with this augmentation.
        DataError: the images or the sample cannot be read, have other ids, or the network cannot take them.
        TrainingError: the network cannot be used.
        StorageError: the data cache cannot be written.
    """
    _require_views(run, augmentation)
    setup, shape = _setup(device), _shape(plan)
    unlabelled = read_unlabelled(source, shape)
    rows = rows_of(unlabelled, sample)
    with scratch_folder() as folder:
        decode(unlabelled.images, len(rows), shape, folder / "images.npy")
        answer = ask(setup, Predict(run.network, folder / "images.npy", augmentation), Path(os.devnull))
    assert isinstance(answer, Predicted)
    assert len(answer.labels) == len(rows), "a worker classifies every image"
    return [(id, answer.labels[index]) for id, index in rows]


def _require_views(run: TrainedRun, augmentation: Augmentation | None) -> None:
    """
    Raises:
        InputError: the augmentation has no other views than the image itself, of a network of this training.
    """
    if augmentation is not None and augmentation not in augmentations(run.network.mirrored):
        why = "was not trained on mirrored images, or classifies characters, which differ in a mirror"
        raise InputError(f"tta = {augmentation}: {run.name} {why}; --tta shifts moves them alone")


@contextmanager
def _test_set(spec: str, plan: Plan, reading: Reading | None) -> Iterator[_TestSet]:
    """A test set as the study's networks take it."""
    own, path, shape, where = plan.question.data, path_of(spec), _shape(plan), f"data = {spec!r}"
    numbers = tuple(map(str, range(len(own.classes))))
    data = None
    # Class folders are divided where they are the study's own, which has trained on the rest of them.
    if path is None or from_anywhere(spec) == plan.circumstances.source or has_both_parts(path):
        dataset = open_dataset(spec)
        data = Data.of(dataset)
        if data.fingerprint == own.fingerprint:
            yield _TestSet(data, dataset.folder / "test-images.npy", dataset.folder / "test-labels.npy")
            return
        pixels, truth = dataset.test()
        part, classes = Part(ArrayImages(f"{where}, test images", pixels), truth), dataset.numbering
    else:
        part, classes = read_labelled(path, shape)
    matched = match_labels(where, part.labels, classes, own.classes, own.are_named, reading, own.labels)
    part = Part(part.images, matched)
    with scratch_folder() as folder:
        images, labels = folder / "images.npy", folder / "labels.npy"
        fingerprint = decode_labelled(part, own.classes if classes.are_named else numbers, shape, images, labels)
        if data is None:
            assert path is not None
            name = safe_name(path.stem if path.is_file() else path.name)
            data = own.model_copy(update={"name": name, "fingerprint": fingerprint})
        yield _TestSet(data, images, labels)


@contextmanager
def images_of_split(part: Split, plan: Plan) -> Iterator[_TestSet]:
    """The study's own test set, or its validation split.

    Raises:
        DataError: the data is not found, or has changed.
        StorageError: the data cache cannot be written.
    """
    dataset = open_study_data(plan)
    if part == "test":
        yield _TestSet(plan.question.data, dataset.folder / "test-images.npy", dataset.folder / "test-labels.npy")
        return
    images, labels = dataset.train()
    _, validation = divide(labels, plan.question.seed)
    with scratch_folder() as folder:
        paths = folder / "images.npy", folder / "labels.npy"
        with writing(folder):
            np.save(paths[0], images[validation])
            np.save(paths[1], labels[validation])
        yield _TestSet(plan.question.data, *paths)


def _own_images(images: Path, plan: Plan) -> _Own | None:
    """Which images are the study's own; None where these are no longer in the data cache. Pixels are compared, and no
    network sees them, so this opens no test set."""
    try:
        dataset = open_cached(plan.circumstances.source)
        if dataset.fingerprint != plan.question.data.fingerprint:
            return None
        parts = [{digest(image) for image in part} for part, _ in (dataset.train(), dataset.test())]
    except DataError:
        return None
    digests = [digest(image) for image in np.load(images, mmap_mode="r", allow_pickle=False)]
    return _Own(*(np.array([digest in part for digest in digests], dtype=np.bool_) for part in parts))


def _accuracy(result: TestResult, part: NDArray[np.bool_]) -> float:
    """The accuracy on the images of a part (N,) alone."""
    assert result.correct is not None
    return float(unpack(result.correct, len(part))[part].mean())


def _shape(plan: Plan) -> Shape:
    return Shape(plan.question.data.image_size, plan.question.data.channels)


def _setup(device: str) -> Setup:
    return Setup(None, 0, choose_devices(device)[0], len(os.sched_getaffinity(0)))
