import pytest

from search.quantities import brief, plural, significant


def test_one_is_singular_and_all_else_is_plural() -> None:
    assert [plural(number, "trial") for number in (0, 1, 2, 1_000)] == [
        "0 trials",
        "1 trial",
        "2 trials",
        "1,000 trials",
    ]
    assert (plural(1, "class", "classes"), plural(10, "class", "classes")) == ("1 class", "10 classes")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (5.0, "5"),
        (0.07841, "0.0784"),
        (0.00001234, "0.0000123"),
        (-12.345, "-12.3"),
        (99.96, "100"),
        (999.6, "1,000"),
        (3_521.4, "3,521"),
        (1e9, "1,000,000,000"),
        (float("inf"), "inf"),
    ],
)
def test_a_number_of_three_digits_never_has_an_exponent(value: float, text: str) -> None:
    assert significant(value) == text


def test_long_texts_are_part_of_one_line_that_a_terminal_can_print() -> None:
    assert brief("a\x1b[2J,\n b") == "a [2J, b"
    assert brief(ValueError()) == "ValueError"
    assert brief(", ".join(map(str, range(1_000)))).endswith("40, ...")
    assert brief("k" * 300) == "k" * 156 + " ...", "not the dots alone"
