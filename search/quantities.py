"""What every message writes alike: numbers with what they count (1 trial, 2 trials; 3,520 s and never 3.52e+03 s),
lists, and long texts cut short."""

import math
from decimal import Decimal

_LONGEST = 160  # characters of a part of a line


def plural(number: int, noun: str, many: str | None = None) -> str:
    """1 trial, 2 trials; `many` where an s is not enough."""
    return f"{number:,} {noun if number == 1 else many or noun + 's'}"


def significant(value: float, digits: int = 3) -> str:
    """A number to so many digits, or to its unit where it is larger, and without an exponent: 0.0784, 12.5, 3,521."""
    if not math.isfinite(value) or abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{Decimal(f'{value:.{digits}g}'):f}"


def sentence_list(words: list[str]) -> str:
    """a; a and b; a, b and c."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def brief(text: object) -> str:
    """What another library, a file or a user says, on a part of one line: what can be printed, and of many words the
    first."""
    printable = "".join(character if character.isprintable() else " " for character in str(text))
    words = " ".join(printable.split()) or ("" if text == "" else type(text).__name__)
    if len(words) <= _LONGEST:
        return words
    head, _, tail = words[: _LONGEST - 4].rpartition(" ")
    return f"{head or tail} ..."
