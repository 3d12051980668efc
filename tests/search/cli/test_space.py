"""`nas space` counts what a space holds, and what limits leave of it."""

import csv
import json
from collections.abc import Callable
from subprocess import CompletedProcess

from search.files import StudyFiles

Nas = Callable[..., CompletedProcess[str]]


def test_space_counts_what_a_budget_leaves(nas: Nas) -> None:
    values = json.loads(nas("space", "--space", "small.yaml", "--budget", "5k", "--format", "json").stdout)
    assert values["total"] > values["feasible"] > 0
    assert values["smallest"] <= 5_000 < values["largest"]


def test_a_study_gives_its_space_and_the_budget_for_baselines(nas: Nas, searched: StudyFiles) -> None:
    own = nas("space", "--study", "digits-20k", "--format", "json")
    said = nas("space", "--space", "small.yaml", "--budget", "20k", "--data", "digits", "--format", "json")
    assert own.returncode == 0 and json.loads(own.stdout) == json.loads(said.stdout)
    rows = json.loads(nas("baseline", "list", "--study", "digits-20k", "--format", "json").stdout)
    assert not any(row["within_budget"] for row in rows)
    assert all(row["architecture"]["in_channels"] == 1 for row in rows)


def test_the_audit_is_printed_in_every_form(nas: Nas) -> None:
    words = nas("space", "--space", "small.yaml", "--budget", "3k", "--data", "digits")
    assert words.returncode == 0, words.stderr
    assert "different architectures of" in words.stdout and "what no design within the limits has" in words.stdout
    values = json.loads(nas("space", "--space", "small.yaml", "--budget", "20k", "--format", "json").stdout)
    assert values["feasible"] <= values["total"] == sum(bin["designs"] for bin in values["histogram"])
    names = [row[0] for row in csv.reader(nas("space", "--space", "small.yaml", "--format", "csv").stdout.splitlines())]
    assert names[:3] == ["name", "total", "feasible"] and "histogram" not in names


def test_space_takes_the_rule_for_macs_and_says_what_a_search_would_add(nas: Nas) -> None:
    command = ("space", "--space", "small.yaml", "--budget", "20k", "--data", "digits")
    limits: dict[str, tuple[str, ...]] = {macs: ("--limit", f"macs={macs}") for macs in ("none", "auto", "187500")}
    line = "nas search adds: at most 187.5k MACs (150 a parameter of the budget at 32x32 pixels"
    assert line in nas(*command).stdout
    assert "nas search adds" not in nas(*command, *limits["none"]).stdout
    assert "nas search adds" not in nas("space", "--space", "small.yaml").stdout, "there is no budget"
    plain, none, auto, same = (
        json.loads(nas(*command, *options, "--format", "json").stdout) for options in ((), *limits.values())
    )
    assert plain == none and auto == same and auto["feasible"] < plain["feasible"]
