"""Every error that a user can see. The message is one line: name = value, then the rule.

NasError                      exit status 1: the work could not be done
├── InputError (ValueError)   exit status 2: the request is invalid
│   ├── SpaceError            the search space, or a limit that it cannot meet
│   ├── RecipeError           a training recipe
│   ├── DataError             a data set
│   └── StudyError            a study or a trial in it
├── TrainingError             a training run failed, or too many did
├── StorageError              the disk or the database failed
├── OutputError               exit status 1, or 141 where nobody reads what the command prints
└── Interrupted               exit status 130, 141 or 143: a signal, or a closed output, ended the command
"""

import errno


class NasError(Exception):
    """Base of all errors of this project."""

    exit_status = 1


class InputError(NasError, ValueError):
    """The request is invalid."""

    exit_status = 2


class SpaceError(InputError):
    """A search space that cannot be read, or holds no design within the limits."""


class RecipeError(InputError):
    """A training recipe that cannot be read or does not fit the data."""


class DataError(InputError):
    """A data set that is unknown, missing, damaged or of the wrong shape."""


class StudyError(InputError):
    """A study or a trial that does not exist, is in use, or belongs to another question."""


class TrainingError(NasError):
    """A training run failed, or so many did that it is pointless to continue."""


class StorageError(NasError):
    """A study could not be written or read."""


class VerificationError(NasError):
    """What was verified is damaged, refused, or does not agree with itself."""


class OutputError(NasError):
    """What a command prints cannot be written: nobody reads it any more, or the disk is full."""

    def __init__(self, error: OSError) -> None:
        self.is_unread = error.errno == errno.EPIPE
        super().__init__("nobody reads its output" if self.is_unread else f"cannot write its output: {error.strerror}")
        self.exit_status = 141 if self.is_unread else 1  # as of a program that SIGPIPE ends


class Interrupted(NasError):
    """A signal or a closed output ended the command, after everything worth keeping was saved."""

    def __init__(self, message: str, exit_status: int) -> None:
        super().__init__(message)
        self.exit_status = exit_status
