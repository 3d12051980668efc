"""The search against its control: known answers on studies made by hand."""

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from search.report import control
from search.report.control import Comparison, compare, control_figure, control_frame, control_sentences, size_sentence
from search.study.view import StudyView, TrialView

Make = Callable[..., Any]
Study = Callable[..., StudyView]


@pytest.fixture
def paired(trial: Make, study: Study) -> Study:
    """A study of these accuracies, of its own trials and of the control's; all its trials take as long, but for
    `seconds` that say otherwise. An accuracy of None is a pruned trial."""

    def make(own: list[float | None], random: list[float | None], seconds: tuple[float, float] = (10.0, 10.0)) -> Any:
        trials: list[TrialView] = []
        for is_control, values, each in ((False, own, seconds[0]), (True, random, seconds[1])):
            for value in values:
                state = "complete" if value is not None else "pruned"
                trials.append(trial(len(trials), value or 0.99, state, seconds=each, is_control=is_control, history=()))
        return study(trials=tuple(trials), control=0.25)

    return make


def compared(view: StudyView) -> Comparison:
    found = compare(view)
    assert found is not None
    return found


def test_what_never_varies_is_told_exactly(paired: Study) -> None:
    found = compared(paired([0.9] * 20, [0.8] * 6))
    assert (found.seconds, found.num_search, found.num_control) == (60.0, 6, 6.0)
    assert (found.search, found.control) == (0.9, 0.8)
    assert found.difference == pytest.approx(0.1)
    # That all of six and six trials fall to one side each has a chance of 2 in 924: less than the 5% of both ends.
    assert (found.low, found.high) == (0.0, 0.0)


def test_the_search_is_not_credited_with_trials_it_came_to_later(paired: Study) -> None:
    found = compared(paired([0.5] * 10 + [0.9] * 30, [0.6] * 10))
    assert (found.seconds, found.num_search) == (100.0, 10)
    assert (found.search, found.control, found.difference) == (0.5, 0.6, pytest.approx(-0.1))
    longer = compared(paired([0.5] * 10 + [0.9] * 30, [0.6] * 11))
    assert (longer.num_search, longer.search) == (11, 0.9)


def test_the_searchs_trials_are_in_the_order_of_their_numbers(paired: Study) -> None:
    view = paired([0.5, 0.6, 0.7, 0.8, 0.9, 0.95], [0.6] * 5)
    shuffled = type(view)(**{**_fields(view), "trials": view.trials[::-1]})
    assert compare(shuffled) == compare(view)
    assert compared(shuffled).search == 0.9
    frame = control_frame(shuffled)
    assert frame[frame["group"] == "search"]["expected"].unique().tolist() == [0.5, 0.6, 0.7, 0.8, 0.9]
    assert frame[frame["group"] == "search"][["low", "high"]].isna().all(axis=None)


def test_the_controls_expected_best_is_that_of_arithmetic(paired: Study) -> None:
    """Of ten trials, half of them 0.9 and half 0.8, the best of k is 0.8 with chance C(5, k) / C(10, k)."""
    frame = control_frame(paired([0.9, 0.8] * 10, [0.9, 0.8] * 5))
    rows = frame[frame["group"] == "control"]
    for num_trials in range(1, 11):
        (row,) = rows[np.isclose(rows["seconds"], 10.0 * num_trials)].itertuples()
        expected = 0.9 - 0.1 * math.comb(5, num_trials) / math.comb(10, num_trials)
        assert row.expected == pytest.approx(expected, abs=0.004)
    assert rows["expected"].is_monotonic_increasing
    assert (rows["low"] <= rows["high"]).all()
    assert (rows["low"].iloc[-1], rows["high"].iloc[-1]) == (0.9, 0.9)


def test_times_at_which_there_is_nothing_but_guessing_are_left_out(paired: Study) -> None:
    frame = control_frame(paired([0.9] * 5, [0.8] * 5))
    assert frame["seconds"].min() == 10.0
    assert frame["expected"].tolist() == pytest.approx([0.9] * (len(frame) // 2) + [0.8] * (len(frame) // 2))
    pruned = control_frame(paired([0.9] * 5, [0.8, None, None, None, None]))
    # One of five trials counts: it is among the first two of an order with chance 2/5, among the first three with 3/5.
    assert pruned[pruned["group"] == "control"]["seconds"].min() == 30.0
    rarely = control_frame(paired([0.9] * 9, [0.8] + [None] * 20, seconds=(1.0, 10.0)))
    assert rarely[rarely["group"] == "control"]["seconds"].tolist() == [9.0]  # the last is always there


def test_both_have_the_same_device_time_not_the_same_number_of_trials(paired: Study) -> None:
    found = compared(paired([0.8, 0.9] * 8, [0.9, 0.8] * 5, seconds=(40.0, 10.0)))
    assert (found.seconds, found.num_search, found.num_control) == (100.0, 2, 10.0)
    assert (found.search, found.control) == (0.9, 0.9)
    short = compared(paired([0.9, 0.8] * 3, [0.9, 0.8] * 5, seconds=(5.0, 10.0)))
    assert (short.seconds, short.num_search, short.num_control) == (30.0, 6, 3.0)
    assert short.control == pytest.approx(0.9 - 0.1 * 10 / 120, abs=0.004)


def test_pruned_trials_cost_their_seconds_and_count_for_nothing(paired: Study) -> None:
    found = compared(paired([None] * 5 + [0.9] * 3, [None, 0.8] + [None] * 4))
    assert (found.seconds, found.num_search, found.num_control) == (60.0, 6, 6.0)
    assert (found.search, found.control) == (0.9, 0.8)
    early = compared(paired([None] * 6 + [0.9] * 3, [None, 0.8] + [None] * 4))
    assert early.search == 0.1  # guessing, of ten classes


def test_a_search_whose_first_trial_is_longer_than_the_control_has_nothing_yet(paired: Study) -> None:
    found = compared(paired([0.9] * 5, [0.8] * 5, seconds=(1000.0, 10.0)))
    assert (found.num_search, found.search) == (0, 0.1)
    assert found.low <= found.difference <= found.high


def test_hand_made_and_unfinished_trials_belong_to_neither_group(paired: Study, trial: Make) -> None:
    view = paired([0.9] * 20, [0.8] * 6)
    others = (
        trial(90, 0.97, baseline="resnet20-b", seconds=500.0),
        trial(91, 0.3, "running", seconds=500.0),
        trial(92, 0.3, "running", seconds=500.0, is_control=True),
    )
    more = paired([0.9] * 20, [0.8] * 6).trials + others
    assert compare(type(view)(**{**_fields(view), "trials": more})) == compare(view)
    said = control_sentences(type(view)(**{**_fields(view), "trials": more}))
    assert (
        said[-1] == "Left out on both sides: 1 hand-made first trial (the best reached 97.00%), which no search found."
    )


def _fields(view: StudyView) -> dict[str, Any]:
    return {name: getattr(view, name) for name in type(view).__dataclass_fields__}


def test_the_difference_of_two_like_groups_is_not_distinguishable(paired: Study) -> None:
    rng = random.Random(0)
    values = [rng.gauss(0.9, 0.02) for _ in range(40)]
    view = paired(values[:30], values[30:])
    found = compared(view)
    assert found.low < found.difference < found.high
    assert "Search and control are not distinguishable from one search." in control_sentences(view)


def test_drawn_alike_they_are_rarely_told_apart(paired: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of searches that do not learn one in twenty is told apart by chance: of 40, six or more with chance 1.4%."""
    monkeypatch.setattr(control, "NUM_DRAWS", 300)
    rng = random.Random(1)
    apart = 0
    for _ in range(40):
        found = compared(paired(*([rng.gauss(0.9, 0.02) for _ in range(number)] for number in (75, 25))))
        apart += not found.low <= found.difference <= found.high
    assert apart <= 5


def test_the_range_of_chance_is_that_of_dealing_anew(paired: Study) -> None:
    found = compared(paired([0.9] * 5, [0.5] * 5))
    assert (found.low, found.high) == (0.0, 0.0)  # all good trials on one side: 2 of 252
    few = compared(paired([0.9, 0.5, 0.5, 0.5, 0.5], [0.5] * 5))
    # The one good trial falls to either side with chance 1/2, so either difference is usual.
    assert (few.low, few.high) == (pytest.approx(-0.4), pytest.approx(0.4))
    assert "not distinguishable" in " ".join(control_sentences(paired([0.9, 0.5, 0.5, 0.5, 0.5], [0.5] * 5)))


@pytest.mark.parametrize(("own", "which"), [(0.9, "better"), (0.7, "worse")])
def test_even_a_clear_difference_is_said_to_be_of_one_search(paired: Study, own: float, which: str) -> None:
    said = " ".join(control_sentences(paired([own] * 20, [0.8] * 6)))
    assert f"In this one search its own designs did {which} than random ones" in said
    assert "what a repeat would show, one search cannot tell" in said
    assert "not distinguishable" not in said
    sign, reached = ("+", "90.00%") if which == "better" else ("-", "70.00%")
    assert (
        f"In its first 1 min of device time the search reached {reached} (6 trials), and in as much the control is "
        f"expected to reach 80.00% (about 6): a difference of {sign}10.00 points. Were all these trials random "
        "designs, chance alone would make a difference of +0.00 to +0.00 points (95% range where they are dealt out to "
        "both at random)."
    ) in said


def test_the_sentences_say_what_the_control_is_and_whether_the_sampler_saw_it(paired: Study) -> None:
    view = paired([0.9] * 20, [0.8, None] * 3)
    first, second, *rest = control_sentences(view)
    assert first == (
        "6 of 26 trials (asked for: a share of 0.25) drew uniform random designs within the same limits, pruned by the "
        "same rule, in 1 min of device time."
    )
    assert second.startswith("The sampler saw how they ended") and "the search had its help" in second
    assert len(rest) == 3 and rest[1].startswith("Were all these trials random designs, chance alone would make")
    alike = control_sentences(type(view)(**{**_fields(view), "sampler": "random"}))
    assert alike[1].startswith("The sampler learns from no trial")


@pytest.mark.parametrize(
    ("own", "random", "reason"),
    [
        ([0.9] * 20, [0.8] * 4, "Of the control trials 4 have ended, 4 of them trained to the end"),
        ([0.9] * 4, [0.8] * 9, "Of the search's own trials 4 have ended, 4 of them trained to the end"),
        ([0.9] * 20, [None] * 6, "Of the control trials 6 have ended, 0 of them trained to the end"),
        ([0.9] * 20, [], "Of the control trials 0 have ended"),
    ],
)
def test_too_few_trials_are_not_compared(
    paired: Study, own: list[float], random: list[float | None], reason: str
) -> None:
    view = paired(own, random)
    assert compare(view) is None
    assert control_frame(view).empty
    assert control_sentences(view)[-1].startswith(reason)


def test_without_device_time_there_is_no_comparison(paired: Study) -> None:
    view = paired([0.9] * 9, [0.8] * 9, seconds=(10.0, 0.0))
    assert compare(view) is None
    assert "no device time is recorded" in control_sentences(view)[-1]


def test_of_a_search_without_a_control_nothing_is_said(study: Study, search: Make) -> None:
    view = study(trials=search(30))
    assert control_sentences(view) == []
    assert control_frame(view).empty


def test_the_same_study_gives_the_same_numbers(paired: Study) -> None:
    view = paired([0.9, 0.8, 0.85] * 5, [0.9, 0.8] * 3)
    assert compare(view) == compare(view)
    assert control_frame(view).equals(control_frame(view))


def test_the_figure_ends_with_the_numbers_of_the_comparison(paired: Study) -> None:
    view = paired([0.9] * 20, [0.8] * 6)
    drawing = control_figure(control_frame(view))
    lines = {trace.name: trace for trace in drawing.figure.data if trace.name}
    assert {name: trace.y[-1] for name, trace in lines.items()} == {"search": 0.9, "control": 0.8}
    assert all(trace.x[-1] == 60.0 for trace in lines.values())
    assert drawing.caption.endswith("After 1 min: the search 90.00%, the control 80.00%.")
    assert [trace.fill for trace in drawing.figure.data] == [None, "toself", None]  # a band of the control alone
    long = control_figure(control_frame(paired([0.9] * 9, [0.8] * 9, seconds=(3_600.0, 3_600.0))))
    assert long.figure.layout.xaxis.title.text == "Device time (hours)"


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
