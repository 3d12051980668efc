"""What a network may cost: numbers as people write them, and the limit that every proposal meets."""

import re

from search.errors import InputError

_SUFFIXES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9}
_COUNT = re.compile(r"(\d[\d_]*(?:\.\d+)?(?:e\+?\d{1,2})?)([kmgb]?)", re.IGNORECASE)


def parse_count(text: str, name: str = "budget") -> int:
    """A whole number from 1 to 10^12, written as 5e6, 5M, 500k, 1.5M or 5_000_000.

    Raises:
        InputError: anything else.
    """
    match = _COUNT.fullmatch(text.strip())
    value = 0.0
    if match:
        value = float(match[1].replace("_", "")) * _SUFFIXES[match[2].lower()]
    if not 1 <= value <= 1e12 or abs(value - round(value)) > 1e-6:
        raise InputError(f"{name} = {text!r}: must be a whole number from 1 to 10^12, as in 5e6, 5M, 500k or 5_000_000")
    return round(value)


_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")


def parse_duration(text: str, name: str = "timeout") -> float:
    """Seconds, written as 90s, 30m, 2h, 1d or a bare number of seconds.

    Raises:
        InputError: anything else.
    """
    match = _DURATION.fullmatch(text.strip().lower())
    seconds = float(match[1]) * _SECONDS[match[2]] if match else 0.0
    if seconds <= 0:
        raise InputError(f"{name} = {text!r}: must be a time above zero, as in 90s, 30m or 2h")
    return seconds
