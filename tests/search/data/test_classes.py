"""Labels become indices of the classes that have images, and what is left out is said."""

import numpy as np
import pytest

from search.data.classes import Classes, listed
from search.errors import DataError


def test_an_index_stands_for_each_label_in_use() -> None:
    labels = np.array([999, 0, 50, 999])
    classes = Classes.of("y", labels, None)
    assert classes == Classes(("0", "50", "999"), (0, 50, 999), are_named=False)
    assert classes.indices(labels, "y", "index").tolist() == [2, 0, 1, 2]


def test_names_belong_to_labels_and_those_without_images_are_no_classes() -> None:
    classes = Classes.of("y", np.array([2, 0, 2]), ("ant", "bee", "cat"))
    assert classes == Classes(("ant", "cat"), (0, 2), True, ("bee",))
    assert classes.indices(np.array([2, 0]), "y", "index").tolist() == [1, 0]


@pytest.mark.parametrize(
    ("labels", "names", "wrong", "message"),
    [
        ([0, 1], None, [0, -1], "y, index 1: label = -1; labels must not be negative"),
        ([1, 5], None, [1, 3], "y, index 1: label = 3; labels must be 1, 5, the classes of the training images"),
        ([0, 1], ("a", "b", "c"), [2], "y, index 0: label = 2; labels must be 0 to 1, the classes of the training"),
        ([1, 2], ("a", "b"), [2], "y, index 0: label = 2; labels must be 0 to 1, for 2 classes have names"),
        ([-1], None, [1], "y, index 0: label = 1; labels must be those of the training images, and there are 0"),
    ],
)
def test_a_label_without_training_images_is_refused(
    labels: list[int], names: tuple[str, ...] | None, wrong: list[int], message: str
) -> None:
    classes = Classes.of("y", np.array(labels), names)
    with pytest.raises(DataError) as caught:
        classes.indices(np.array(wrong), "y", "index")
    assert str(caught.value).startswith(message)


def test_only_what_a_user_may_not_expect_is_noted() -> None:
    assert Classes.of("y", np.arange(3), None).notes() == Classes.named(("a", "b")).notes() == ()
    assert Classes.of("y", np.array([1, 2]), None).notes() == ("2 classes, named by their labels: 1, 2",)
    left_out = Classes.of("y", np.array([1]), ("a", "b", "c")).notes()
    assert left_out == ("2 of 3 classes have no training image and are left out: a, c",)


def test_many_labels_are_part_of_one_line() -> None:
    assert (listed((0, 1, 2)), listed((3, 4)), listed((1, 3)), listed((5,))) == ("0 to 2", "3 to 4", "1, 3", "5")
    assert len(listed(tuple(range(0, 20_000, 2)))) <= 160
