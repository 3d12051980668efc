"""Numbers with what they count, as every message writes them: 1 trial, 2 trials; 3,520 s and never 3.52e+03 s."""

import math
from decimal import Decimal


def plural(number: int, noun: str, many: str | None = None) -> str:
    """1 trial, 2 trials; `many` where an s is not enough."""
    return f"{number:,} {noun if number == 1 else many or noun + 's'}"


def significant(value: float, digits: int = 3) -> str:
    """A number to so many digits, or to its unit where it is larger, and without an exponent: 0.0784, 12.5, 3,521."""
    if not math.isfinite(value) or abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{Decimal(f'{value:.{digits}g}'):f}"
