import json
import math

import numpy as np
import pytest

from search.report import classes, drawing, figures, importances, run_figures, runs, tables

HOSTILE = "</script><img src=x onerror=alert(1)>"


def named(drawn, name):
    return next(trace for trace in drawn.figure.data if trace.name == name)


def test_the_front_ends_at_the_budget(study, trial, architecture):
    view = study(trials=tuple(trial(n, 0.8 + n / 100, architecture=architecture(8 + 8 * n)) for n in range(3)))
    drawn = figures.accuracy_figure(tables.accuracy_frame(view), figures.PARAMETERS, view.budget)
    front = named(drawn, "front")
    assert front.x[-1] == view.budget
    assert front.y[-1] == max(front.y) == 0.82


@pytest.mark.parametrize("widths", [(8, 16, 64), (60, 62, 64)])
def test_the_budget_and_every_trial_lie_within_the_parameter_axis(study, trial, architecture, widths):
    view = study(
        budget=1_200_000,
        trials=tuple(trial(n, 0.9, architecture=architecture(width)) for n, width in enumerate(widths)),
    )
    drawn = figures.accuracy_figure(tables.accuracy_frame(view), figures.PARAMETERS, view.budget)
    axis = drawn.figure.layout.xaxis
    low, high = (10**end if axis.type == "log" else end for end in axis.range)
    assert all(low < each.params < high for each in view.trials)
    assert low < view.budget < high
    assert axis.type == ("log" if widths[0] == 8 else "linear")


def test_the_caption_of_accuracies_names_the_best_in_numbers(study, trial):
    view = study(trials=(trial(0, 0.8), trial(17, 0.9341)))
    caption = figures.accuracy_figure(tables.accuracy_frame(view), figures.PARAMETERS, view.budget).caption
    assert "2 complete trials" in caption
    assert "The best, trial 17, reaches 93.41%" in caption


def test_accuracy_against_macs_has_its_own_front_and_no_line_without_a_limit(study, trial):
    view = study(trials=(trial(0, 0.8, params=10, macs=300), trial(1, 0.9, params=20, macs=200)))
    frame = tables.accuracy_frame(view)
    free = figures.accuracy_figure(frame, figures.MACS, None)
    assert named(free, "front").x == (200,)
    assert not free.figure.layout.shapes
    limited = figures.accuracy_figure(frame, figures.MACS, 1_000)
    assert limited.figure.layout.shapes[0].x0 == 1_000
    assert "The dashed line is the limit of 1,000." in limited.caption
    assert limited.data is not None and limited.data["number"].tolist() == [1]


def test_many_trials_are_drawn_in_a_selection_that_says_so(study, trial):
    view = study(trials=tuple(trial(number, 0.5 + number / 1e4, history=()) for number in range(2_500)))
    drawn = figures.accuracy_figure(tables.accuracy_frame(view), figures.PARAMETERS, view.budget)
    assert len(named(drawn, "complete trial").x) == tables.MAX_POINTS
    assert "2,000 of 2,500 trials" in drawn.caption


def test_pruned_and_failed_trials_have_a_strip_of_their_own(study, trial):
    view = study(trials=(trial(0, 0.8), trial(1, 0.3, "pruned"), trial(2, None, "failed")))
    drawn = figures.history_figure(tables.history_frame(view))
    assert [trace.yaxis for trace in drawn.figure.data if trace.name in ("pruned", "failed")] == ["y2", "y2"]
    assert drawn.figure.layout.yaxis2.ticktext == ("failed", "pruned")
    assert "1 complete, 1 pruned, 1 failed" in drawn.caption


def test_history_without_a_value_is_still_drawn(study, trial):
    drawn = figures.history_figure(tables.history_frame(study(trials=(trial(0, None, "failed"),))))
    assert [trace.name for trace in drawn.figure.data] == ["failed"]


def test_importances_are_drawn_largest_on_top(study, search):
    frame = importances.importances_frame(study(trials=search(60)))
    drawn = figures.importances_figure(frame)
    assert drawn.figure.data[0].y[-1] == frame["feature"].iloc[0]
    assert frame["feature"].iloc[0] in drawn.caption


def test_parts_are_drawn_for_parameters_and_macs(architecture):
    drawn = run_figures.parts_figure(tables.parts_frame(architecture(), 32))
    assert {trace.name for trace in drawn.figure.data} == {"parameters", "MACs"}
    assert all(math.isclose(sum(trace.x), 1, abs_tol=1e-3) for trace in drawn.figure.data)


def test_test_accuracies_are_told_to_be_no_validation(realistic):
    drawn = run_figures.tested_figure(runs.final_summary(realistic), realistic.budget)
    assert [trace.name for trace in drawn.figure.data] == ["retrained trial", "baseline"]
    assert "not validation" in drawn.caption


def test_training_is_dotted_only_beside_validation(study, run):
    without = run_figures.run_curves_figure(runs.run_curves_frame(study(runs=(run("0001", 0, 0.9),))))
    assert [trace.line.dash for trace in without.figure.data] == ["solid"]
    history = run("0001", 0, 0.9, "finalist").history
    with_validation = study(runs=(run("0001", 0, 0.9, history=history),))
    drawn = run_figures.run_curves_figure(runs.run_curves_frame(with_validation))
    assert [trace.line.dash for trace in drawn.figure.data] == ["dot", "solid"]


def test_classes_of_one_name_stay_apart(study, run):
    matrix = ((9, 1), (5, 5))
    view = study(classes=("cat", "cat"), runs=(run("0001", 0, 0.7, confusion=matrix),))
    drawn = run_figures.classes_figure(classes.classes_frame(view))
    assert sorted(drawn.figure.data[0].y) == [0, 1]
    assert drawn.figure.layout.yaxis.ticktext == ("cat", "cat")


def test_of_many_classes_the_hardest_are_shown(study, run):
    size = 100
    matrix = tuple(
        tuple((size if i == j else 0) + (i if j == (i + 1) % size else 0) for j in range(size)) for i in range(size)
    )
    names = tuple(f"c{index}" for index in range(size))
    view = study(classes=names, runs=(run("0001", 0, 0.7, confusion=matrix),))
    drawn = run_figures.classes_figure(classes.classes_frame(view))
    assert drawn.figure.layout.yaxis.ticktext[0] == "c99"
    assert "the 20 hardest of 100 classes" in drawn.caption


def test_errors_are_shares_of_the_true_class_and_correct_answers_blank():
    drawn = run_figures.confusion_figure(np.array([[90, 10], [0, 50]]), ["cat", "dog"], "0001")
    assert [list(row) for row in drawn.figure.data[0].z] == [[None, 10.0], [None, None]]
    assert "93.33% of all" in drawn.caption


def test_labels_of_users_are_escaped_and_clipped():
    assert drawing.safe("<b>cat</b>") == "&lt;b&gt;cat&lt;/b&gt;"
    assert len(drawing.safe("x" * 500)) == 40


def test_no_figure_holds_a_hostile_label_unescaped(study, trial, run, errors):
    view = study(
        classes=(HOSTILE, *"bcdefghij"),
        trials=(trial(1, 0.9),),
        runs=(run("0001", 0, 0.9, confusion=errors(0.9)), run(HOSTILE, 0, 0.9, confusion=errors(0.8))),
    )
    drawn = [
        run_figures.tested_figure(runs.final_summary(view), view.budget),
        run_figures.run_curves_figure(runs.run_curves_frame(view)),
        run_figures.classes_figure(classes.classes_frame(view)),
        run_figures.confusion_figure(np.array(errors(0.9)), list(view.classes), HOSTILE),
    ]
    for each in drawn:
        texts = json.dumps(json.loads(each.figure.to_json())["data"])
        assert "<img" not in texts
        assert "<img" not in str(each.figure.layout)
