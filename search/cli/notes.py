"""What the rooms below remark on, such as files of a data set that were not used, as lines on stderr."""

import logging
import sys


def show_notes() -> None:
    """From now on, every warning of the project's loggers is printed, once however often a data set is opened."""
    logging.getLogger("search").handlers = [_Notes()]


class _Notes(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._printed: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text not in self._printed:
            self._printed.add(text)
            print(f"note: {text}", file=sys.stderr)
