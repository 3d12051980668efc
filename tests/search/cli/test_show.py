"""`nas show` shows a network stage by stage."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from models.architecture import Architecture
from models.count import count_parameters
from models.int8 import count_int8_bytes
from search.files import StudyFiles
from search.study.best_guess import ranked_guesses
from search.study.reading import read_view

Nas = Callable[..., CompletedProcess[str]]


def test_show_adds_up(nas: Nas, tmp_path: Path) -> None:
    text = '{"stem": {"width": 16}, "stages": [{"block": "basic", "depth": 3, "width": 16}]}'
    (tmp_path / "net.json").write_text(text)
    network = Architecture.from_json(text)
    shown = json.loads(nas("show", "--architecture", "net.json", "--format", "json").stdout)
    assert shown["params"] == count_parameters(network)
    assert sum(part["macs"] for part in shown["parts"]) == shown["macs"]
    assert shown["int8_bytes"] == count_int8_bytes(network)
    table = nas("show", "--architecture", "net.json").stdout
    assert "total" in table and f"\n{count_int8_bytes(network):,} bytes in int8: " in table


def test_a_name_that_stands_twice_in_an_architecture_is_refused_with_its_line(nas: Nas, tmp_path: Path) -> None:
    stage = '{"block": "basic", "depth": 3,\n "width": 16}'
    once = f'{{"stem": {{"width": 16}},\n"stages": [{stage}, {stage}]}}'
    for text, line, name, first in (
        (once.replace('"depth": 3', '"depth": 3, "depth": 2'), 2, "depth", 2),
        (once.replace('"depth": 3', '"depth": 3, "depth": 0'), 2, "depth", 2),
        (once.replace("]}", '], "stem": {"width": 8}}'), 4, "stem", 1),
        (once.replace('{"width": 16}', '{"width": 8,\n"w\\u0069dth": 16}'), 2, "width", 1),
    ):
        (tmp_path / "net.json").write_text(text)
        shown = nas("show", "--architecture", "net.json")
        rule = f"the key {name!r} is given twice; it stands in line {first} already"
        assert (shown.returncode, shown.stderr) == (2, f"nas: net.json, line {line}: {rule}\n")
    (tmp_path / "net.json").write_text(once)
    assert nas("show", "--architecture", "net.json").returncode == 0


def test_a_trial_is_shown_for_the_images_of_its_study(nas: Nas, searched: StudyFiles) -> None:
    trial = read_view(searched).trials[3]
    shown = json.loads(nas("show", "--trial", "3", "--format", "json").stdout)
    assert (shown["params"], shown["macs"]) == (trial.params, trial.macs)
    assert shown["architecture"] == trial.architecture.to_dict()
    rows = list(csv.DictReader(nas("show", "--trial", "3", "--format", "csv").stdout.splitlines()))
    assert [row["part"] for row in rows] == [part["part"] for part in shown["parts"]] + ["total"]
    assert int(rows[-1]["params"]) == trial.params
    missing = nas("show", "--trial", "99")
    assert missing.returncode == 2
    assert missing.stderr == "study: digits-20k\nnas: trial = 99: no such trial in study 'digits-20k'\n"


def test_a_guess_is_shown_within_a_budget_or_a_study(nas: Nas, searched: StudyFiles) -> None:
    shown = json.loads(nas("show", "--baseline", "guess-1", "--budget", "100k", "--format", "json").stdout)
    assert (shown["params"], shown["macs"]) == (78_042, 12_501_632)
    assert json.loads(nas("show", "--baseline", "guess-1", "--format", "json").stdout)["params"] == 4_896_394
    view = read_view(searched)
    best = ranked_guesses(dict(view.guesses), view.trials)[0]
    for name in (best, "guess"):
        shown = json.loads(nas("show", "--baseline", name, "--study", searched.name, "--format", "json").stdout)
        assert shown["architecture"] == dict(view.guesses)[best].to_dict()
        assert shown["parts"][0]["size"] == view.image_size
    grey = json.loads(nas("show", "--baseline", "resnet20-b", "--study", searched.name, "--format", "json").stdout)
    assert grey["params"] == 272_186


def test_a_number_too_long_to_be_read_is_one_line(nas: Nas, tmp_path: Path) -> None:
    (tmp_path / "net.json").write_text('{"stem": ' + "9" * 5000 + "}")
    shown = nas("show", "--architecture", "net.json")
    assert shown.returncode == 2
    assert shown.stderr.startswith("nas: net.json: architecture: not JSON (") and shown.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--trial", "3", "--budget", "20k"), "budget = 20k: is for a --baseline without a --study"),
        (
            ("--baseline", "guess-1", "--study", "digits-20k", "--budget", "1M"),
            "budget = 1M: is for a --baseline without",
        ),
        (
            ("--baseline", "resnet40", "--budget", "1M"),
            "budget = 1M: is for guesses; resnet40 is the same within every",
        ),
        (("--baseline", "guess-5", "--budget", "100k"), "baseline = 'guess-5': no such network is within the limits; "),
        (
            ("--baseline", "guess-1", "--budget", "500"),
            "baseline = 'guess-1': no such network is within the limits; no",
        ),
    ],
)
def test_a_guess_that_cannot_be_shown_is_refused(
    nas: Nas, searched: StudyFiles, options: tuple[str, ...], message: str
) -> None:
    refused = nas("show", *options)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith(f"nas: {message}") and refused.stderr.count("\n") == 1
