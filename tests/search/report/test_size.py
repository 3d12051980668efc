"""How much of the accuracy the size of a network explains: known answers on studies made by hand."""

from collections.abc import Callable
from typing import Any

import pytest

from search.report.size import size_sentence
from search.study.view import StudyView

Make = Callable[..., Any]
Study = Callable[..., StudyView]


def sized(trial: Make, study: Study, rows: list[tuple[int, float | None]]) -> StudyView:
    """Complete trials of so many parameters and this accuracy; without one, a pruned trial."""
    trials = [
        trial(number, value or 0.5, "complete" if value is not None else "pruned", params=params)
        for number, (params, value) in enumerate(rows)
    ]
    return study(trials=tuple(trials))


def test_where_size_explains_all_the_slope_is_exact(trial: Make, study: Study) -> None:
    view = sized(trial, study, [(1_000 * 2**doubling, 0.8 + 0.01 * doubling) for doubling in range(6)])
    assert size_sentence(view) == (
        "Size alone explains 100% of the variance of accuracy over 6 complete trials of 1,000 to 32,000 parameters: "
        "+1.00 points for each doubling of parameters (95% interval +1.00 to +1.00)."
    )


def test_size_is_judged_by_least_squares_of_the_complete_trials(trial: Make, study: Study) -> None:
    """Of x = -1, 0, 1, each twice, and y = x/100 +- 1/100: slope 1/100, R^2 = 4/10, and Student's interval of it."""
    rows: list[tuple[int, float | None]] = [
        (params, 0.85 + 0.01 * (step + side))
        for step, params in ((-1, 1_000), (0, 2_000), (1, 4_000))
        for side in (-1, 1)
    ]
    half = 2.7764 * (6e-4 / 4 / 4) ** 0.5  # t of 4 degrees; residual variance 6e-4 / 4, sum of squares of x 4
    expected = (
        f"+1.00 points for each doubling of parameters (95% interval {1 - 100 * half:+.2f} to {1 + 100 * half:+.2f})."
    )
    said = size_sentence(sized(trial, study, [*rows, (64_000, None)]))
    assert said.startswith(
        "Size alone explains 40% of the variance of accuracy over 6 complete trials of 1,000 to 4,000"
    )
    assert said.endswith(expected)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "Size alone: 0 complete trials cannot tell"),
        ([(1_000, 0.8), (2_000, 0.9)], "Size alone: 2 complete trials cannot tell"),
        ([(1_000, 0.8), (1_000, 0.9)] * 5, "Size alone: 10 complete trials cannot tell"),
        (
            [(1_000, 0.8), (2_000, 0.8)] * 5,
            "Size alone explains nothing: all 10 complete trials have the same accuracy.",
        ),
    ],
)
def test_where_there_is_no_line_there_is_a_sentence(
    trial: Make, study: Study, rows: list[tuple[int, float | None]], said: str
) -> None:
    assert size_sentence(sized(trial, study, rows)).startswith(said)
