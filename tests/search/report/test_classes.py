"""Where networks err: counts of one network alone, over its seeds."""

import math
from dataclasses import replace

from search.report import classes
from search.report.classes import confusion


def test_class_accuracies_and_confused_pairs_add_over_seeds(study, run):
    matrix = ((8, 2, 0), (1, 9, 0), (0, 0, 0))
    view = study(
        classes=("cat", "dog"), runs=(run("0001", 0, 0.85, confusion=matrix), run("0001", 1, 0.85, confusion=matrix))
    )
    frame = classes.classes_frame(view)
    assert frame["name"].tolist() == ["cat", "dog", "class 2"]
    assert frame["images"].tolist() == [20, 20, 0]
    assert frame["accuracy"].tolist()[:2] == [0.8, 0.9]
    assert math.isnan(frame["accuracy"].iloc[2])
    pairs = classes.confused_pairs(view, "0001")
    assert pairs.values.tolist() == [["cat", "dog", 4, 0.2], ["dog", "cat", 2, 0.1]]


def test_errors_are_those_of_the_quoted_network_alone(study, run):
    right, wrong = ((10, 0), (0, 10)), ((0, 10), (10, 0))
    quoted = [run("0001", seed, 0.9, confusion=right, recipe_digest="a") for seed in (1, 2)]
    others = [
        run("0001", 0, 0.1, confusion=wrong, recipe_digest="b"),
        run("0001", 1, 0.1, confusion=wrong, recipe_digest="a", holdout=True),
    ]
    matrix = confusion(study(runs=(*others, *quoted)), "0001")
    assert matrix is not None and matrix.tolist() == [[20, 0], [0, 20]]
    frame = classes.classes_frame(study(runs=(*others, *quoted)))
    assert frame["accuracy"].tolist() == [1.0, 1.0]


def test_errors_of_an_earlier_searchs_network_are_not_the_trials(study, trial, run, architecture):
    matrix = ((10, 0), (0, 10))
    own = run("0001", 0, 0.9, confusion=matrix)
    other = replace(own, seed=1, architecture=architecture(64), confusion=((0, 10), (10, 0)))
    view = study(trials=(trial(1),), runs=(other, own))
    found = confusion(view, "0001")
    assert found is not None and found.tolist() == [[10, 0], [0, 10]]
    assert confusion(study(trials=(trial(1),), runs=(other,)), "0001") is None
