"""Training and validation accuracy of full-length runs."""

from search.report.findings import find
from search.report.retraining.training_curves import training_curves_figure, training_curves_frame
from search.study.networks import quoted


def of_finals(view):
    return training_curves_frame(quoted(find(view).final_networks))


def of_finalists(view):
    return training_curves_frame(quoted(find(view).round))


def test_run_curves_have_validation_only_where_it_was_measured(study, run):
    view = study(runs=(run("0001", 0, 0.9), run("0001", 0, 0.9, "finalist")))
    frame = of_finals(view)
    assert frame["split"].unique().tolist() == ["train"]
    assert len(frame) == 20


def test_curves_of_finalists_show_training_and_validation(study, run):
    view = study(runs=(run("0001", 0, 0.9), run("0001", 0, 0.9, "finalist"), run("0001", 1, 0.9, "finalist")))
    frame = of_finalists(view)
    assert frame["split"].unique().tolist() == ["train", "validation"]
    assert frame["seed"].unique().tolist() == [0, 1]


def test_training_is_dotted_only_beside_validation(study, run):
    without = training_curves_figure(of_finals(study(runs=(run("0001", 0, 0.9),))))
    assert [trace.line.dash for trace in without.figure.data] == ["solid"]
    history = run("0001", 0, 0.9, "finalist").history
    with_validation = study(runs=(run("0001", 0, 0.9, history=history),))
    drawn = training_curves_figure(of_finals(with_validation))
    assert [trace.line.dash for trace in drawn.figure.data] == ["dot", "solid"]
