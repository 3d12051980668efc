"""Accuracy against cost: the front, its drawing, and what size alone explains on studies made by hand."""

import pytest

from search.report.drawing import MAX_POINTS
from search.report.trials.leaderboard import ranked
from search.report.trials.pareto import MACS, PARAMETERS, accuracy_figure, accuracy_frame, size_sentence


def accuracies(view):
    return accuracy_frame(ranked(view.trials))


def named(drawn, name):
    return next(trace for trace in drawn.figure.data if trace.name == name)


def test_front_is_the_best_accuracy_at_most_this_many_parameters(study, trial, architecture):
    sizes = [architecture(width) for width in (8, 16, 24, 32)]
    values = (0.80, 0.85, 0.84, 0.90)
    trials = tuple(
        trial(number, value, architecture=size) for number, (size, value) in enumerate(zip(sizes, values, strict=True))
    )
    frame = accuracies(study(trials=trials))
    assert frame["params"].is_monotonic_increasing
    assert frame.set_index("number")["params_front"].to_dict() == {0: True, 1: True, 2: False, 3: True}


def test_the_front_of_macs_is_another_than_that_of_parameters(study, trial):
    trials = (
        trial(0, 0.8, params=10, macs=300),
        trial(1, 0.9, params=20, macs=200),
        trial(2, 0.85, params=30, macs=100),
    )
    frame = accuracies(study(trials=trials)).set_index("number")
    assert frame["params_front"].to_dict() == {0: True, 1: True, 2: False}
    assert frame["macs_front"].to_dict() == {0: False, 1: True, 2: True}


def test_of_two_designs_of_one_size_only_the_better_is_on_the_front(study, trial):
    frame = accuracies(study(trials=(trial(0, 0.8), trial(1, 0.9))))
    assert frame.set_index("number")["params_front"].to_dict() == {0: False, 1: True}


def test_the_front_ends_at_the_budget(study, trial, architecture):
    view = study(trials=tuple(trial(n, 0.8 + n / 100, architecture=architecture(8 + 8 * n)) for n in range(3)))
    drawn = accuracy_figure(accuracies(view), PARAMETERS, view.budget)
    front = named(drawn, "front")
    assert front.x[-1] == view.budget
    assert front.y[-1] == max(front.y) == 0.82


@pytest.mark.parametrize("widths", [(8, 16, 64), (60, 62, 64)])
def test_the_budget_and_every_trial_lie_within_the_parameter_axis(study, trial, architecture, widths):
    view = study(
        budget=1_200_000,
        trials=tuple(trial(n, 0.9, architecture=architecture(width)) for n, width in enumerate(widths)),
    )
    drawn = accuracy_figure(accuracies(view), PARAMETERS, view.budget)
    axis = drawn.figure.layout.xaxis
    low, high = (10**end if axis.type == "log" else end for end in axis.range)
    assert all(low < trial.params < high for trial in view.trials)
    assert low < view.budget < high
    assert axis.type == ("log" if widths[0] == 8 else "linear")


def test_the_caption_of_accuracies_names_the_best_in_numbers(study, trial):
    view = study(trials=(trial(0, 0.8), trial(17, 0.9341)))
    caption = accuracy_figure(accuracies(view), PARAMETERS, view.budget).caption
    assert "2 complete trials" in caption
    assert "The best, trial 17, reaches 93.41%" in caption


def test_accuracy_against_macs_has_its_own_front_and_no_line_without_a_limit(study, trial):
    view = study(trials=(trial(0, 0.8, params=10, macs=300), trial(1, 0.9, params=20, macs=200)))
    frame = accuracies(view)
    free = accuracy_figure(frame, MACS, None)
    assert named(free, "front").x == (200,)
    assert not free.figure.layout.shapes
    limited = accuracy_figure(frame, MACS, 1_000)
    assert limited.figure.layout.shapes[0].x0 == 1_000
    assert "The dashed line is the limit of 1,000." in limited.caption
    assert limited.data is not None and limited.data["number"].tolist() == [1]


def test_many_trials_are_drawn_in_a_selection_that_says_so(study, trial):
    view = study(trials=tuple(trial(number, 0.5 + number / 1e4, history=()) for number in range(2_500)))
    drawn = accuracy_figure(accuracies(view), PARAMETERS, view.budget)
    assert len(named(drawn, "complete trial").x) == MAX_POINTS
    assert "2,000 of 2,500 trials" in drawn.caption


def sized(trial, rows):
    """Complete trials of so many parameters and this accuracy; without one, a pruned trial."""
    trials = [
        trial(number, value or 0.5, "complete" if value is not None else "pruned", params=params)
        for number, (params, value) in enumerate(rows)
    ]
    return ranked(trials)


def test_where_size_explains_all_the_slope_is_exact(trial):
    trials = sized(trial, [(1_000 * 2**doubling, 0.8 + 0.01 * doubling) for doubling in range(6)])
    assert size_sentence(trials) == (
        "Size alone explains 100% of the variance of accuracy over 6 complete trials of 1,000 to 32,000 parameters: "
        "+1.00 points for each doubling of parameters (95% interval +1.00 to +1.00)."
    )


def test_size_is_judged_by_least_squares_of_the_complete_trials(trial):
    """Of x = -1, 0, 1, each twice, and y = x/100 +- 1/100: slope 1/100, R^2 = 4/10, and Student's interval of it."""
    rows = [
        (params, 0.85 + 0.01 * (step + side))
        for step, params in ((-1, 1_000), (0, 2_000), (1, 4_000))
        for side in (-1, 1)
    ]
    half = 2.7764 * (6e-4 / 4 / 4) ** 0.5  # t of 4 degrees; residual variance 6e-4 / 4, sum of squares of x 4
    expected = (
        f"+1.00 points for each doubling of parameters (95% interval {1 - 100 * half:+.2f} to {1 + 100 * half:+.2f})."
    )
    said = size_sentence(sized(trial, [*rows, (64_000, None)]))
    assert said.startswith(
        "Size alone explains 40% of the variance of accuracy over 6 complete trials of 1,000 to 4,000"
    )
    assert said.endswith(expected)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "Size alone: 0 complete trials cannot show"),
        ([(1_000, 0.8), (2_000, 0.9)], "Size alone: 2 complete trials cannot show"),
        ([(1_000, 0.8), (1_000, 0.9)] * 5, "Size alone: 10 complete trials cannot show"),
        (
            [(1_000, 0.8), (2_000, 0.8)] * 5,
            "Size alone explains nothing: all 10 complete trials have the same accuracy.",
        ),
    ],
)
def test_where_there_is_no_line_there_is_a_sentence(trial, rows, said):
    assert size_sentence(sized(trial, rows)).startswith(said)
