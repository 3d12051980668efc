"""Which runs count as this search's, and how their networks are labelled."""

from search.report.findings import find
from search.report.retraining.full_length_runs import results_frame


def test_a_baseline_trained_by_two_recipes_is_two_networks(study, run):
    view = study(
        runs=(run("resnet40", 0, 0.9, recipe="as1"), run("resnet40", 0, 0.8, recipe="ft"), run("resnet10", 0, 0.7))
    )
    findings = find(view)
    assert [network.label for network in findings.final_networks] == ["resnet10", "resnet40 by as1", "resnet40 by ft"]
    assert results_frame(findings.networks, view.is_over)["label"].tolist() == [
        "resnet10",
        "resnet40 by as1",
        "resnet40 by ft",
    ]
