"""Numbers and times as people write them."""

import pytest

from search.errors import InputError
from search.space.limits import parse_count, parse_duration


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5e6", 5_000_000),
        ("5E6", 5_000_000),
        ("5e+6", 5_000_000),
        ("5M", 5_000_000),
        ("5m", 5_000_000),
        ("1.5M", 1_500_000),
        ("500k", 500_000),
        ("500K", 500_000),
        ("5_000_000", 5_000_000),
        ("5000000", 5_000_000),
        ("2.5e3", 2_500),
        ("0.5k", 500),
        ("1G", 10**9),
        ("1b", 10**9),
        (" 7 ", 7),
        ("1", 1),
        ("1e12", 10**12),
        ("999999999999", 999_999_999_999),
        ("4_997_194", 4_997_194),
    ],
)
def test_a_count_is_read_in_every_form(text: str, value: int) -> None:
    parsed = parse_count(text)
    assert parsed == value
    assert type(parsed) is int


NO_COUNTS = """
    -5 +5 0.5 1.5 1e-3 1e13 2000G 1e99 1e123 5x 5MM M e6 _5 1,000 0x10 inf nan 1.0000001M five 5e6.5
"""


@pytest.mark.parametrize(
    "text",
    ["", " ", "0", "5 M", "5\n6", *NO_COUNTS.split()],
)
def test_what_is_no_count_is_refused_in_one_line_with_its_name(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_count(text, "limit macs")
    assert str(caught.value).startswith(f"limit macs = {text!r}: must be a whole number from 1 to 10^12")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("90", 90),
        ("30m", 1_800),
        ("2h", 7_200),
        ("2H", 7_200),
        ("1d", 86_400),
        ("1.5h", 5_400),
        ("0.5s", 0.5),
        (" 10s ", 10),
    ],
)
def test_a_duration_is_read_in_every_form(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "0.0h", "-1h", "h", "2 h", "1h30m", "2w", "1e3", "inf", "nan", "two"])
def test_what_is_no_duration_is_refused_in_one_line_with_its_name(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_duration(text)
    assert str(caught.value) == f"timeout = {text!r}: must be a time above zero, as in 90s, 30m or 2h"
