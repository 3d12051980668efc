"""Which class of a study is meant by the labels of another set: by name, or by number.

Names are compared where both sides have them. A bare number is a class's number, from 0, or its name, where that is a
number. Where both could be meant and differ, as for class folders 0 to 11, which are numbered in the order 0, 1, 10,
11, 2, nothing is guessed. Nor is it where the files of a study's data number classes without images too.
"""

import re
import unicodedata
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from search.data.classes import Classes, listed
from search.errors import DataError
from search.quantities import brief, plural

Reading = Literal["names", "numbers"]
_ADVICE = "pass --labels names or --labels numbers"


def match_labels(
    where: str,
    labels: NDArray[np.int64],
    classes: Classes,
    own: tuple[str, ...],
    own_are_named: bool | None,
    reading: Reading | None = None,
    own_labels: tuple[int, ...] = (),
) -> NDArray[np.int64]:
    """The labels (N,) of a set as indices of a study's classes.

    Args:
        where: what names the set in errors.
        labels: indices of `classes`.
        classes: those of the set.
        own: the names of the study's classes.
        own_are_named: whether the files of its data name them; else they are named by their labels. None if that
            is unknown.
        reading: whether classes are matched by name or by number; None for the only way that can be meant.
        own_labels: what the files of the study's data call its classes; empty if these are numbers from 0.

    Raises:
        DataError: a class of the set is none of the study's, or several could be meant.
    """
    reading = reading or _only_reading(where, classes, own, own_are_named, own_labels)
    if reading == "numbers":
        if classes.are_named and len(classes.names) + len(classes.unused) != len(own):
            number = len(classes.names) + len(classes.unused)
            rule = f"must name the study's {len(own):,} to go by numbers"
            raise DataError(f"{where}: names {plural(number, 'class', 'classes')}; {rule}")
        places = [label if label < len(own) else None for label in classes.labels]
        known = listed(tuple(range(len(own))))
    else:
        places = _by_name(classes.names, own, are_numbers=not (classes.are_named and own_are_named))
        known = listed(tuple(map(int, own))) if all(map(_is_number, own)) else brief(", ".join(own))
    if None in places:
        at = places.index(None)
        if classes.are_named:
            rule = f"must be one of the study's {len(own):,}, which are {brief(', '.join(own))}"
            rule += "" if own_are_named else "; pass --labels numbers to go by their order"
            raise DataError(f"{where}: its class {classes.labels[at]} is {classes.names[at]!r}; {rule}")
        images = np.flatnonzero(labels == at)
        place = f"{where}, index {images[0]}" if len(images) else where  # its training part may have it alone
        rule = f"labels must be {known}, the classes of the study"
        raise DataError(f"{place}: label = {classes.labels[at]}; {rule}")
    return np.array(places, dtype=np.int64)[labels]


def label_texts(
    own: tuple[str, ...], own_are_named: bool | None, reading: Reading | None, own_labels: tuple[int, ...] = ()
) -> tuple[str, ...]:
    """What stands for each of a study's classes where predictions are written: its name, or its number from 0.

    Without a reading it is the number, but the label of the user's own data where its classes have no other names.

    Raises:
        DataError: without a reading, numbers could be taken for names, or for those of the study's own files.
    """
    if reading is None and own_are_named is not False and (odd := _misnumbered(own, own_labels)):
        raise DataError(f"labels: {odd}, so a number could be either; {_ADVICE}")
    by_name = reading == "names" or (reading is None and own_are_named is False)
    return own if by_name else tuple(map(str, range(len(own))))


def _only_reading(
    where: str, classes: Classes, own: tuple[str, ...], own_are_named: bool | None, own_labels: tuple[int, ...]
) -> Reading:
    """How classes must be matched if only one way can be meant.

    Raises:
        DataError: several can.
    """
    if not classes.are_named:
        if own_are_named is False:
            return "names"
        if (odd := _misnumbered(own, own_labels)) is None:
            return "numbers"
        advice = "name its classes, or count the study's from 0 and pass --labels numbers" if own_labels else _ADVICE
        raise DataError(
            f"{where}: its labels are numbers, and the study's {odd}, so a number could be either; {advice}"
        )
    if not own_are_named and own == tuple(map(str, range(len(own)))):
        # The study's labels may have been made by numbering such names: these, or sorted as text those of all.
        in_order = sorted(own)
        is_whole = len(classes.names) + len(classes.unused) == len(own)
        for name, label in zip(classes.names, classes.labels, strict=True):
            number = label if is_whole else in_order.index(name) if name in in_order else None
            if _is_number(name) and number not in (None, int(name)):
                could_be = f"the study's labels are numbers, and class number {number} of the set is called {name!r}"
                raise DataError(f"{where}: {could_be}, so a number could be either; {_ADVICE}")
    return "names"


def _by_name(names: tuple[str, ...], own: tuple[str, ...], are_numbers: bool) -> list[int | None]:
    """Where names stand among the study's. With `are_numbers`, 01 is the same as 1."""
    index_of = {_spelt(name): index for index, name in enumerate(own)}
    names = tuple(map(_spelt, names))
    if not are_numbers:
        return [index_of.get(name) for name in names]
    by_number = {int(name): index for name, index in index_of.items() if _is_number(name)}
    return [index_of.get(name, by_number.get(int(name)) if _is_number(name) else None) for name in names]


def _misnumbered(names: tuple[str, ...], labels: tuple[int, ...]) -> str | None:
    """Of the first class that has another class's number, or none's, as its name or as its label in the files, what it
    has."""
    for index, name in enumerate(names):
        if _is_number(name) and int(name) != index:
            return f"class number {index} is called {name!r}"
        if labels and labels[index] != index:
            return f"class number {index} is number {labels[index]} in its own files"
    return None


def _spelt(name: str) -> str:
    """The name with é in one character, which macOS writes in two."""
    return unicodedata.normalize("NFC", name)


def _is_number(name: str) -> bool:
    return re.fullmatch(r"-?[0-9]{1,18}", name) is not None
