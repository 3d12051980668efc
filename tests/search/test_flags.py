"""Flags of test images survive as text."""

import numpy as np
import pytest

from search.flags import pack, unpack


@pytest.mark.parametrize("number", [0, 1, 7, 8, 9, 359, 10_000])
def test_flags_come_back_as_they_were(number: int) -> None:
    flags = np.random.default_rng(number).random(number) < 0.9
    assert np.array_equal(unpack(pack(flags), number), flags)


def test_ten_thousand_flags_take_less_than_two_kilobytes() -> None:
    text = pack(np.ones(10_000, dtype=bool))
    assert text.isascii() and len(text) < 1_700


@pytest.mark.parametrize("text", ["", "AAA", "not base64!", "AAAA"])
def test_a_damaged_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        unpack(text, 9)
