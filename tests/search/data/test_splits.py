"""Splits are stratified, complete and fixed by their seed."""

import numpy as np
import pytest

from search.data.splits import split


@pytest.mark.parametrize(("num_images", "fraction"), [(50_000, 0.1), (20_000, 0.1), (19_990, 0.2), (100, 0.2)])
def test_a_split_is_stratified_complete_and_sorted(num_images: int, fraction: float) -> None:
    labels = np.random.default_rng(1).permutation(np.arange(num_images) % 10)
    train, validation = split(labels, seed=0)
    assert np.array_equal(np.sort(np.concatenate([train, validation])), np.arange(num_images))
    assert np.all(np.diff(train) > 0)
    assert np.all(np.diff(validation) > 0)
    assert np.bincount(labels[validation]).tolist() == [round(num_images / 10 * fraction)] * 10
    assert train.dtype == validation.dtype == np.int64


def test_a_split_is_fixed_by_its_seed() -> None:
    labels = np.arange(1000) % 10
    assert np.array_equal(split(labels, 3)[1], split(labels, 3)[1])
    assert not np.array_equal(split(labels, 3)[1], split(labels, 4)[1])


def test_a_class_of_two_images_has_one_on_either_side_and_a_single_image_is_for_training() -> None:
    labels = np.array([0] * 50 + [1] * 2 + [2])
    train, validation = split(labels, 0)
    assert np.bincount(labels[train]).tolist() == [40, 1, 1]
    assert np.bincount(labels[validation], minlength=3).tolist() == [10, 1, 0]


def test_nothing_splits_into_nothing() -> None:
    train, validation = split(np.empty(0, dtype=np.int64), 0)
    assert len(train) == len(validation) == 0
