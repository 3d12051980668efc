"""Learning curves: thinned evenly, the best among them, and captions that say so."""

from search.report.trials.leaderboard import ranked
from search.report.trials.learning_curves import (
    MAX_CURVE_POINTS,
    MAX_CURVES,
    curves_figure,
    curves_frame,
    drawable_trials,
)


def curves_of(trials):
    return curves_frame(drawable_trials(trials), next(iter(ranked(trials)), None))


def named(drawn, name):
    return next(trace for trace in drawn.figure.data if trace.name == name)


def test_curves_are_thinned_evenly_and_keep_the_best(study, trial):
    trials = tuple(trial(number, 0.9 if number == 501 else 0.5) for number in range(1000))
    frame = curves_of(trials)
    numbers = frame["number"].unique()
    assert len(numbers) == MAX_CURVES
    assert frame.loc[frame["role"] == "best", "number"].unique().tolist() == [501]
    assert {0, 999} <= set(numbers)


def test_long_curves_keep_their_first_and_last_epoch(study, trial):
    frame = curves_of((trial(0, 0.9, num_epochs=1000),))
    assert len(frame) == MAX_CURVE_POINTS
    assert frame["epoch"].tolist()[0] == 1
    assert frame["epoch"].tolist()[-1] == 1000


def test_curves_are_few_traces_with_gaps_between_trials(study, trial):
    view = study(trials=(trial(0, 0.8), trial(1, 0.9), trial(2, 0.7), trial(3, 0.4, "pruned")))
    drawn = curves_figure(curves_of(view.trials), 4)
    assert [trace.name for trace in drawn.figure.data] == ["pruned", "complete", "best"]
    assert named(drawn, "complete").y.count(None) == 2
    assert "3 complete trials and 1 pruned." in drawn.caption


def test_a_thinned_figure_says_so(study, trial):
    view = study(trials=tuple(trial(number, 0.5) for number in range(400)))
    drawn = curves_figure(curves_of(view.trials), 400)
    assert "an even selection of 300 of 400 trials" in drawn.caption


def test_a_curve_of_one_epoch_is_a_point(study, trial):
    drawn = curves_figure(curves_of((trial(0, 0.8, num_epochs=1),)), 1)
    assert [trace.mode for trace in drawn.figure.data] == ["lines", "markers"]


def test_thinned_epochs_are_said_to_be(study, trial):
    short, long = (curves_of((trial(0, 0.8, num_epochs=n),)) for n in (MAX_CURVE_POINTS, 1000))
    assert "thinned" not in curves_figure(short, 1).caption
    assert "Long curves are thinned to 60 epochs." in curves_figure(long, 1).caption


def test_the_numbers_of_the_curves_are_those_of_the_best_trial(study, trial):
    drawn = curves_figure(curves_of((trial(0, 0.8), trial(1, 0.9))), 2)
    assert drawn.data is not None
    assert drawn.data["accuracy"].iloc[-1] == 0.9
