"""What a training learns from teachers, and how it is known."""

from dataclasses import replace

import pytest

from search.teaching import Teacher, Teaching

FIRST, SECOND = Teacher("trial 3", 100, 200, "abc"), Teacher("resnet40", 300, 400, "def", "has no card")
TEACHING = Teaching((FIRST, SECOND), "top2")


def test_neither_order_nor_names_tell_teachings_apart() -> None:
    renamed = replace(FIRST, name="trial 7", caveat="unknown")
    assert TEACHING.digest == Teaching((SECOND, renamed), "top3").digest
    others = [
        replace(TEACHING, teachers=(FIRST,)),
        replace(TEACHING, teachers=(FIRST, FIRST, SECOND)),
        replace(TEACHING, temperature=4.0),
        replace(TEACHING, share=0.5),
    ]
    assert len({TEACHING.digest, *(other.digest for other in others)}) == 5


def test_it_is_said_in_words() -> None:
    assert TEACHING.words == "taught by trial 3 and resnet40 (temperature 2, share 0.7)"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teachers": ()}, "teachers: there is none"),
        ({"temperature": 0.0}, "temperature = 0: must be above 0, and at most 1,000"),
        ({"temperature": float("nan")}, "temperature = nan: must be above 0"),
        ({"temperature": float("inf")}, "temperature = inf: must be above 0"),
        ({"share": 0.0}, "teacher-share = 0: must be above 0, and at most 1"),
        ({"share": 1.5}, "teacher-share = 1.5: must be above 0, and at most 1"),
    ],
)
def test_a_number_out_of_range_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        replace(TEACHING, **changes)  # type: ignore[arg-type]
    assert str(caught.value).startswith(message)
