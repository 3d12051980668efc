"""What figures share: thinning, and labels that cannot become markup."""

import json

import numpy as np
import pandas as pd

from search.report import drawing
from search.report.findings import find
from search.report.retraining.confusion import classes_figure, classes_frame, confusion_figure
from search.report.retraining.full_length_runs import results_figure, results_frame
from search.report.retraining.training_curves import training_curves_figure, training_curves_frame
from search.study.networks import quoted

HOSTILE = "</script><img src=x onerror=alert(1)>"


def test_thinning_keeps_what_is_to_be_kept_and_the_ends():
    frame = pd.DataFrame({"number": range(1000)})
    kept = drawing.thinned(frame, frame["number"] == 501, 10)["number"].tolist()
    assert len(kept) == 10
    assert {0, 501, 999} <= set(kept)
    assert kept == sorted(kept)


def test_labels_of_users_are_escaped_and_clipped():
    assert drawing.safe("<b>cat</b>") == "&lt;b&gt;cat&lt;/b&gt;"
    assert len(drawing.safe("x" * 500)) == 40


def test_no_figure_holds_a_hostile_label_unescaped(study, trial, run, errors):
    view = study(
        classes=(HOSTILE, *"bcdefghij"),
        trials=(trial(1, 0.9),),
        runs=(run("0001", 0, 0.9, confusion=errors(0.9)), run(HOSTILE, 0, 0.9, confusion=errors(0.8))),
    )
    findings = find(view)
    drawn = [
        results_figure(results_frame(findings.networks, view.is_over), view.budget),
        training_curves_figure(training_curves_frame(quoted(findings.final_networks))),
        classes_figure(classes_frame(findings.confusions, view.classes)),
        confusion_figure(np.array(errors(0.9)), list(view.classes), HOSTILE),
    ]
    for one in drawn:
        texts = json.dumps(json.loads(one.figure.to_json())["data"])
        assert "<img" not in texts
        assert "<img" not in str(one.figure.layout)
