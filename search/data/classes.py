"""The classes of a data set: what they are called, and which labels in its files mean them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.errors import DataError
from search.quantities import brief

MAX_CLASSES = 10_000


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes that images belong to, in the rising order of their labels in the files.

    Attributes:
        names: one a class; its label as text where the files do not name it.
        labels: what the files call each class; not 0 to n - 1 where they leave numbers out.
        are_named: whether the files name them.
        unused: what the files call classes without an image. They are none: no network has an output for them.
    """

    names: tuple[str, ...]
    labels: tuple[int, ...]
    are_named: bool
    unused: tuple[str, ...] = ()

    @classmethod
    def of(cls, where: str, labels: NDArray[np.int64], names: tuple[str, ...] | None) -> "Classes":
        """The classes of images with these labels (N,). The name of label i is `names`[i]; negative labels are none.

        Raises:
            DataError: two have the same name, or there are too many; `where` names the labels.
        """
        used: list[int] = np.unique(labels[labels >= 0]).tolist()
        if names is not None:
            if len(set(names)) < len(names):
                twice = next(name for index, name in enumerate(names) if name in names[:index])
                raise DataError(f"{where}: two classes are called {twice!r}; names must differ")
            used = [label for label in used if label < len(names)]
        if len(used) > MAX_CLASSES:
            raise DataError(f"{where}: has {len(used):,} different labels; must have {MAX_CLASSES:,} at most")
        if names is None:
            return cls(tuple(map(str, used)), tuple(used), are_named=False)
        unused = tuple(names[label] for label in sorted(set(range(len(names))) - set(used)))
        return cls(tuple(names[label] for label in used), tuple(used), True, unused)

    @classmethod
    def named(cls, names: tuple[str, ...]) -> "Classes":
        """Classes that all have images, labelled from 0 in the order of their names."""
        return cls(names, tuple(range(len(names))), are_named=True)

    def indices(self, labels: NDArray[np.int64], where: str, unit: str) -> NDArray[np.int64]:
        """The index of the class that each label (N,) means. `unit` is what labels are counted by, from 0.

        Raises:
            DataError: a label means none; the first is named.
        """
        known = np.array(self.labels, dtype=np.int64)
        wrong = np.flatnonzero(~np.isin(labels, known))
        if len(wrong):
            rule = f"labels must be {listed(self.labels)}, the classes of the training images"
            num_names = len(self.names) + len(self.unused)
            if labels[wrong[0]] < 0:
                rule = "labels must not be negative"
            elif self.are_named and labels[wrong[0]] >= num_names:
                rule = f"labels must be {listed(tuple(range(num_names)))}, for {num_names:,} classes have names"
            elif not self.labels:
                rule = "labels must be those of the training images, and there are 0 training images with a class"
            raise DataError(f"{where}, {unit} {wrong[0]}: label = {labels[wrong[0]]}; {rule}")
        return np.searchsorted(known, labels).astype(np.int64)

    def notes(self) -> tuple[str, ...]:
        """What a user should know about the numbering of the classes, a sentence each."""
        notes = []
        if self.unused:
            number = f"{len(self.unused):,} of {len(self.unused) + len(self.names):,} classes"
            notes.append(f"{number} have no training image and are left out: {brief(', '.join(self.unused))}")
        if not self.are_named and self.labels != tuple(range(len(self.labels))):
            notes.append(f"{len(self.labels):,} classes, named by their labels: {brief(', '.join(self.names))}")
        return tuple(notes)


def listed(labels: tuple[int, ...]) -> str:
    """Labels in a few words: '0 to 9', or all of them."""
    if len(labels) > 1 and labels == tuple(range(labels[0], labels[-1] + 1)):
        return f"{labels[0]} to {labels[-1]}"
    return brief(", ".join(map(str, labels)))
