"""Where networks err: counts of one network alone, over its seeds, and their drawing."""

import math
from dataclasses import replace

import numpy as np

from search.report.findings import find
from search.report.retraining.confusion import classes_figure, classes_frame, confused_pairs, confusion_figure


def classes_of(view):
    return classes_frame(find(view).confusions, view.classes)


def test_class_accuracies_and_confused_pairs_add_over_seeds(study, run):
    matrix = ((8, 2, 0), (1, 9, 0), (0, 0, 0))
    view = study(
        classes=("cat", "dog"), runs=(run("0001", 0, 0.85, confusion=matrix), run("0001", 1, 0.85, confusion=matrix))
    )
    frame = classes_of(view)
    assert frame["name"].tolist() == ["cat", "dog", "class 2"]
    assert frame["images"].tolist() == [20, 20, 0]
    assert frame["accuracy"].tolist()[:2] == [0.8, 0.9]
    assert math.isnan(frame["accuracy"].iloc[2])
    pairs = confused_pairs(find(view).confusions["0001"], view.classes)
    assert pairs.values.tolist() == [["cat", "dog", 4, 0.2], ["dog", "cat", 2, 0.1]]


def test_errors_are_those_of_the_quoted_network_alone(study, run):
    right, wrong = ((10, 0), (0, 10)), ((0, 10), (10, 0))
    quoted = [run("0001", seed, 0.9, confusion=right, recipe_digest="a") for seed in (1, 2)]
    others = [
        run("0001", 0, 0.1, confusion=wrong, recipe_digest="b"),
        run("0001", 1, 0.1, confusion=wrong, recipe_digest="a", holdout=True),
    ]
    matrix = find(study(runs=(*others, *quoted))).confusions["0001"]
    assert matrix.tolist() == [[20, 0], [0, 20]]
    frame = classes_of(study(runs=(*others, *quoted)))
    assert frame["accuracy"].tolist() == [1.0, 1.0]


def test_errors_of_an_earlier_searchs_network_are_not_the_trials(study, trial, run, architecture):
    matrix = ((10, 0), (0, 10))
    own = run("0001", 0, 0.9, confusion=matrix)
    other = replace(own, seed=1, architecture=architecture(64), confusion=((0, 10), (10, 0)))
    view = study(trials=(trial(1),), runs=(other, own))
    assert find(view).confusions["0001"].tolist() == [[10, 0], [0, 10]]
    assert find(study(trials=(trial(1),), runs=(other,))).confusions == {}


def test_classes_of_one_name_stay_apart(study, run):
    matrix = ((9, 1), (5, 5))
    view = study(classes=("cat", "cat"), runs=(run("0001", 0, 0.7, confusion=matrix),))
    drawn = classes_figure(classes_of(view))
    assert sorted(drawn.figure.data[0].y) == [0, 1]
    assert drawn.figure.layout.yaxis.ticktext == ("cat", "cat")


def test_a_class_without_test_images_is_neither_easiest_nor_shown(study, run):
    matrix = ((8, 2, 0), (1, 9, 0), (0, 0, 0))
    drawn = classes_figure(
        classes_of(study(classes=("cat", "dog", "emu"), runs=(run("0001", 0, 0.8, confusion=matrix),)))
    )
    assert "cat is hardest with 80.00% and dog easiest with 90.00%" in drawn.caption
    assert drawn.figure.layout.yaxis.ticktext == ("cat", "dog")


def test_of_many_classes_the_hardest_are_shown(study, run):
    size = 100
    matrix = tuple(
        tuple((size if i == j else 0) + (i if j == (i + 1) % size else 0) for j in range(size)) for i in range(size)
    )
    names = tuple(f"c{index}" for index in range(size))
    view = study(classes=names, runs=(run("0001", 0, 0.7, confusion=matrix),))
    drawn = classes_figure(classes_of(view))
    assert drawn.figure.layout.yaxis.ticktext[0] == "c99"
    assert "the 20 hardest of 100 classes" in drawn.caption


def test_errors_are_shares_of_the_true_class_and_correct_answers_blank():
    drawn = confusion_figure(np.array([[90, 10], [0, 50]]), ["cat", "dog"], "0001")
    assert [list(row) for row in drawn.figure.data[0].z] == [[None, 10.0], [None, None]]
    assert "93.33% of all" in drawn.caption
