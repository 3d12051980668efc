"""What nas search and nas retrain make of their arguments; tests/search/test_cli.py runs them."""

from pathlib import Path

import pytest

from search.cli.training import _short_count
from search.files import StudyFiles


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (5_000_000, "5M"),
        (1_500_000, "1.5M"),
        (20_000, "20k"),
        (999, "999"),
        (1_234_567, "1234567"),
        (123_456_700, "123456.7k"),
        (123_457_000, "123457k"),
        (1_234_567_800, "1234567.8k"),
        (10**17 + 10**5, "100000000000.1M"),
    ],
)
def test_a_studys_default_name_tells_its_budget_to_the_digit(number: int, text: str) -> None:
    assert _short_count(number) == text
    assert StudyFiles(Path("studies"), f"digits-{text}").name == f"digits-{text}"
