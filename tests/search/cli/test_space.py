"""`nas space` counts what a space holds, and what limits leave of it."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from search.cli.space import copy_space, space
from search.errors import InputError
from search.files import StudyFiles
from search.space.space import space_text

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
    assert not any(row["within_budget"] for row in rows if row["source"] != "guess")
    assert all(row["architecture"]["in_channels"] == 1 for row in rows)


def test_a_named_space_is_written_to_a_file_that_is_never_replaced(tmp_path: Path) -> None:
    copied = copy_space("tiny", tmp_path)
    assert copied.read_text(encoding="utf-8") == space_text("tiny")
    with pytest.raises(InputError, match=r"^copy = tiny: .*tiny.yaml is there already; move it away first$"):
        copy_space("tiny", tmp_path)
    with pytest.raises(InputError, match=r"^copy = 'tinny': no such space; there are resnet, modern, tiny$"):
        copy_space("tinny", tmp_path)
    with pytest.raises(
        InputError, match=r"^copy = modern: .*modern.yaml cannot be written \(No such file or directory\)$"
    ):
        copy_space("modern", tmp_path / "none")
    with pytest.raises(InputError, match=r"^copy = tiny: writes a file; leave out the other options$"):
        space(copy="tiny", budget="5M")


def test_the_audit_is_printed_in_every_form(nas: Nas) -> None:
    words = nas("space", "--space", "small.yaml", "--budget", "3k", "--data", "digits")
    assert words.returncode == 0, words.stderr
    assert "different architectures of" in words.stdout and "what no design within the limits has" in words.stdout
    assert "random designs within the limits look like" in words.stdout
    values = json.loads(nas("space", "--space", "small.yaml", "--budget", "20k", "--format", "json").stdout)
    assert sum(bin["draws"] for bin in values["draws"]["layers"]["bins"]) == values["draws"]["number"] == 1_000
    assert values["draws"]["params"]["p95"] <= 20_000
    assert values["feasible"] <= values["total"] == sum(bin["designs"] for bin in values["histogram"])
    names = [row[0] for row in csv.reader(nas("space", "--space", "small.yaml", "--format", "csv").stdout.splitlines())]
    assert names[:3] == ["name", "total", "feasible"] and not {"histogram", "draws"} & set(names)


def test_weights_that_are_wrong_are_one_line_and_weights_are_shown(nas: Nas, tmp_path: Path) -> None:
    small = (tmp_path / "small.yaml").read_text()
    (tmp_path / "wrong.yaml").write_text(f"{small}\nweights: {{stage: {{depth: [1, -1]}}}}\n")
    refused = nas("space", "--space", "wrong.yaml")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.splitlines() == [
        "nas: wrong.yaml: weights.stage.depth = [1, -1]: weights must be numbers of 0 or more"
    ]
    (tmp_path / "right.yaml").write_text(f"{small}\nweights: {{stage: {{depth: falling}}}}\n")
    shown = nas("space", "--space", "right.yaml")
    assert shown.returncode == 0 and "weighed    stage.depth falling; all else equal" in shown.stdout


def test_limits_that_leave_nothing_have_no_draws(nas: Nas) -> None:
    values = json.loads(nas("space", "--space", "small.yaml", "--budget", "10", "--format", "json").stdout)
    assert (values["feasible"], values["draws"]) == (0, None)


def test_space_takes_the_rule_for_macs_and_says_what_a_search_would_add(nas: Nas) -> None:
    command = ("space", "--space", "small.yaml", "--budget", "20k", "--data", "digits")
    limits: dict[str, tuple[str, ...]] = {macs: ("--limit", f"macs={macs}") for macs in ("none", "auto", "400000")}
    line = "nas search adds: at most 400k MACs (320 for each of 20,000 parameters at 32x32 pixels"
    fill = "at least 80% of the budget used, if 1,000 designs do (--fill none lifts it)\n"
    assert nas(*command).stdout.endswith(f"{line}, --limit macs=none lifts it); {fill}")
    assert nas(*command, *limits["none"]).stdout.endswith(f"nas search adds: {fill}")
    assert nas(*command, "--fill", "0.5").stdout.endswith(f"{line}, --limit macs=none lifts it)\n")
    assert "nas search adds" not in nas(*command, *limits["none"], "--fill", "none").stdout
    assert "nas search adds" not in nas("space", "--space", "small.yaml").stdout, "there is no budget"
    plain, none, auto, same = (
        json.loads(nas(*command, *options, "--format", "json").stdout) for options in ((), *limits.values())
    )
    assert plain == none and auto == same and auto["feasible"] < plain["feasible"]
