"""What must be one of several: a value of an option, or an option itself."""

from typing import Any

from search.errors import InputError


def one_of(name: str, value: str, choices: tuple[str, ...]) -> Any:
    """The value, if it is among the choices.

    Raises:
        InputError: it is not.
    """
    if value not in choices:
        raise InputError(f"{name} = {value!r}: must be one of {', '.join(choices)}")
    return value


def require_trial_or_baseline(command: str, trial: int | None, baseline: str | None) -> None:
    """
    Raises:
        InputError: both were given, or neither.
    """
    if (trial is None) == (baseline is None):
        raise InputError(f"{command}: give one of --trial NUMBER and --baseline NAME")
