"""Every error a user can meet. The message is one line: name = value, then the rule.

NasError                      exit status 1: the work could not be done
├── InputError (ValueError)   exit status 2: the request is invalid
│   ├── SpaceError            the search space, or a limit it cannot meet
│   ├── RecipeError           a training recipe
│   ├── DataError             a data set
│   └── StudyError            a study or a trial in it
├── TrainingError             a training run failed, or too many did
├── StorageError              the disk or the database failed
└── Interrupted               exit status 130 or 143: a signal asked for the end
"""


class NasError(Exception):
    """Base of all errors of this project."""

    exit_status = 1


class InputError(NasError, ValueError):
    """What the user asked for is invalid."""

    exit_status = 2


class SpaceError(InputError):
    """A search space that cannot be read, or holds no design within the limits."""


class RecipeError(InputError):
    """A training recipe that cannot be read or does not fit the data."""


class DataError(InputError):
    """A data set that is unknown, missing, damaged or of the wrong shape."""


class StudyError(InputError):
    """A study or a trial that does not exist, is in use, or asks another question."""


class TrainingError(NasError):
    """A training run failed, or so many did that going on is pointless."""


class StorageError(NasError):
    """A study could not be written or read."""


class Interrupted(NasError):
    """A signal asked for the end. What there was to keep is kept."""

    def __init__(self, message: str, exit_status: int) -> None:
        super().__init__(message)
        self.exit_status = exit_status
