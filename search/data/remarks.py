"""What a user should know of a data set, such as what of its files is not used: told as warnings."""

import logging
from pathlib import Path

_log = logging.getLogger(__name__)


def remark(path: Path | str, *notes: str, option: str = "data") -> None:
    """Tell of the data set at a path, or of this name, what there is to know, a line each."""
    for note in notes:
        _log.warning("%s = %r: %s", option, str(path), note)
