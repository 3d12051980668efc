"""Labels of another set mean classes of the study by name, or by number where that cannot be read in two ways."""

import numpy as np
import pytest

from search.data.classes import Classes
from search.data.matching import Reading, label_texts, match_labels
from search.errors import DataError

SORTED = ("0", "1", "10", "11", *"23456789")  # class folders 0 to 11 come in this order
NUMBERS = tuple(map(str, range(12)))


def numbered(*labels: int) -> Classes:
    return Classes(tuple(map(str, labels)), labels, are_named=False)


def matched(
    classes: Classes, own: tuple[str, ...], own_are_named: bool | None, reading: Reading | None = None
) -> list[int]:
    labels = np.arange(len(classes.names))
    return match_labels("data = 'x'", labels, classes, own, own_are_named, reading).tolist()


def refusal(classes: Classes, own: tuple[str, ...], own_are_named: bool | None, reading: Reading | None = None) -> str:
    with pytest.raises(DataError) as caught:
        matched(classes, own, own_are_named, reading)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("classes", "own"),
    [
        (Classes.named(SORTED), NUMBERS),
        (Classes.named(NUMBERS), SORTED),
        (Classes.named(("9", "10", "11")), SORTED),
        (Classes.named(("dog", "cat")), ("cat", "dog", "eel")),
        (Classes(("cat",), (7,), True, ("cow", "fox")), ("cat", "dog")),
    ],
)
def test_names_are_matched_by_name_in_whatever_order(classes: Classes, own: tuple[str, ...]) -> None:
    assert [own[index] for index in matched(classes, own, True)] == list(classes.names)


@pytest.mark.parametrize(
    ("labels", "own"),
    [((0, 50, 999), ("0", "50", "999")), ((1, 3), ("1", "2", "3")), ((2, 10), NUMBERS), ((1, 2), ("1", "2", "3"))],
)
def test_labels_of_users_are_matched_by_their_value(labels: tuple[int, ...], own: tuple[str, ...]) -> None:
    assert [int(own[index]) for index in matched(numbered(*labels), own, False)] == list(labels)


@pytest.mark.parametrize("own_are_named", [True, None])
def test_numbers_mean_the_numbers_of_classes_with_other_names(own_are_named: bool | None) -> None:
    assert matched(numbered(0, 2), ("cat", "dog", "eel"), own_are_named) == [0, 2]
    assert matched(numbered(0, 2), ("0", "1", "2"), own_are_named) == [0, 2]
    assert matched(numbered(0, 2), ("00", "01", "02"), own_are_named) == [0, 2]


@pytest.mark.parametrize("own_are_named", [True, None])
@pytest.mark.parametrize(
    "own", [SORTED, ("1", "2", "3", "4"), ("0", "2", "5"), ("01", "02", "03"), ("9", "8", "7"), ("-1", "1")]
)
def test_numbers_that_could_be_names_or_numbers_are_not_guessed(
    own: tuple[str, ...], own_are_named: bool | None
) -> None:
    for label in range(3):
        message = refusal(numbered(label), own, own_are_named)
        assert "so a number could be either; pass --labels names or --labels numbers" in message


def test_the_option_settles_what_numbers_mean() -> None:
    assert matched(numbered(0, 2, 10), SORTED, True, "numbers") == [0, 2, 10]
    assert [SORTED[index] for index in matched(numbered(0, 2, 10), SORTED, True, "names")] == ["0", "2", "10"]
    assert matched(numbered(1, 2), ("01", "02"), True, "names") == [0, 1]
    assert matched(numbered(0, 1, 2), ("0", "50", "999"), False, "numbers") == [0, 1, 2]


@pytest.mark.parametrize("own_are_named", [False, None])
@pytest.mark.parametrize(
    "classes", [Classes.named(SORTED), Classes.named(("1", "10", "2")), Classes.named(NUMBERS[::-1])]
)
def test_a_study_of_bare_numbers_is_not_guessed_to_mean_names_either(
    classes: Classes, own_are_named: bool | None
) -> None:
    """Its labels may have been made by numbering class folders, as torchvision does."""
    assert "so a number could be either; pass --labels names or" in refusal(classes, NUMBERS, own_are_named)
    assert matched(classes, NUMBERS, own_are_named, "names") == list(map(int, classes.names))
    if len(classes.names) == len(NUMBERS):
        assert matched(classes, NUMBERS, own_are_named, "numbers") == list(range(12))
    else:
        message = "names 3 classes; must name the study's 12 to go by numbers"
        assert message in refusal(classes, NUMBERS, own_are_named, "numbers")


@pytest.mark.parametrize(
    ("classes", "own", "expected"),
    [
        (Classes.named(tuple("0123456789")), tuple("0123456789"), list(range(10))),
        (Classes.named(("0", "2", "5")), tuple("0123456789"), [0, 2, 5]),
        (Classes.named(("0", "50", "999")), ("0", "50", "999"), [0, 1, 2]),
        (Classes.named(("00", "01", "02")), ("0", "1", "2"), [0, 1, 2]),
        (Classes.named(("1", "10", "2")), ("1", "2", "10"), [0, 2, 1]),  # 10 is no number of three classes
    ],
)
def test_names_that_can_only_be_one_label_of_a_study_are_matched(
    classes: Classes, own: tuple[str, ...], expected: list[int]
) -> None:
    assert matched(classes, own, False) == expected


def test_a_class_that_the_study_has_not_is_named() -> None:
    assert refusal(numbered(0, 10), ("cat", "dog"), True) == (
        "data = 'x', index 1: label = 10; labels must be 0 to 1, the classes of the study"
    )
    with pytest.raises(DataError, match=r"^data = 'x': label = 10; labels must be 0 to 1"):
        match_labels("data = 'x'", np.array([0, 0]), numbered(0, 10), ("cat", "dog"), True)
    assert "label = 7; labels must be 0, 50, 999, the classes" in refusal(numbered(7), ("0", "50", "999"), False)
    assert refusal(Classes.named(("cat", "fox")), ("cat", "dog"), True) == (
        "data = 'x': its class 1 is 'fox'; must be one of the study's 2, which are cat, dog"
    )
    advice = "; pass --labels numbers to go by their order"
    assert refusal(Classes.named(("cat", "fox")), ("0", "1"), False).endswith(f"which are 0, 1{advice}")
    assert matched(Classes.named(("cat", "fox")), ("0", "1"), False, "numbers") == [0, 1]


@pytest.mark.parametrize(
    ("own", "own_are_named", "reading", "expected"),
    [
        (("cat", "dog"), True, None, ("0", "1")),
        (("cat", "dog"), True, "names", ("cat", "dog")),
        (("0", "50", "999"), False, None, ("0", "50", "999")),
        (("1", "2"), False, "numbers", ("0", "1")),
        (("0", "1"), None, None, ("0", "1")),
        (SORTED, True, "names", SORTED),
        (SORTED, True, "numbers", NUMBERS),
    ],
)
def test_predictions_are_written_so_that_they_can_be_read_in_one_way(
    own: tuple[str, ...], own_are_named: bool | None, reading: Reading | None, expected: tuple[str, ...]
) -> None:
    assert label_texts(own, own_are_named, reading) == expected


@pytest.mark.parametrize("own_are_named", [True, None])
@pytest.mark.parametrize("own", [SORTED, ("1", "2"), ("01", "02"), ("cat", "3")])
def test_predictions_that_could_be_read_in_two_ways_are_not_written(
    own: tuple[str, ...], own_are_named: bool | None
) -> None:
    with pytest.raises(DataError, match=r"could be either; pass --labels names or --labels numbers$"):
        label_texts(own, own_are_named, None)


def test_numbers_are_not_guessed_where_the_studys_own_files_count_classes_without_images_too() -> None:
    """The classes cat and dog of files in which 0 is the background, of which there is no image."""
    odd = "class number 0 is number 1 in its own files, so a number could be either"
    with pytest.raises(DataError, match=f"^labels: {odd}; pass --labels names or --labels numbers$"):
        label_texts(("cat", "dog"), True, None, (1, 2))
    assert label_texts(("cat", "dog"), True, "names", (1, 2)) == ("cat", "dog")
    assert label_texts(("cat", "dog"), True, "numbers", (1, 2)) == ("0", "1")
    with pytest.raises(DataError, match=f"its labels are numbers, and the study's {odd}"):
        match_labels("data = 'x'", np.array([0]), numbered(1), ("cat", "dog"), True, None, (1, 2))
    named = Classes(("cat", "dog"), (1, 2), True, ("background",))
    assert match_labels("data = 'x'", np.array([0, 1]), named, ("cat", "dog"), True, None, (1, 2)).tolist() == [0, 1]


def test_a_name_that_macos_spells_in_more_characters_is_the_same() -> None:
    assert matched(Classes.named(("dog", "cafe\u0301")), ("caf\u00e9", "dog"), True) == [1, 0]
    assert matched(Classes.named(("dog", "caf\u00e9")), ("cafe\u0301", "dog"), True) == [1, 0]
