"""`nas audit-proxy` as a user meets it: in virtual time, and once with networks that are really trained."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from shutil import copytree
from subprocess import CompletedProcess
from typing import Any

import pytest
from small_search import Simulation, by_size

from search.cli.audit_proxy import audit_proxy
from search.cli.output import Format
from search.errors import DataError, InputError, RecipeError, StudyError, TrainingError
from search.files import StudyFiles
from search.protocol import Failed, Job
from search.study.reading import read_view

Nas = Callable[..., CompletedProcess[str]]


def test_trials_are_audited_and_printed_in_every_form(
    searched: StudyFiles, simulation: Simulation, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    options: dict[str, Any] = {"epochs": 6, "seeds": 2, "workers": "3", "device": "cpu", "study": searched.name}
    options["studies"] = searched.studies
    audit_proxy("8", **options, format=Format.JSON)
    printed = capsys.readouterr()
    rows = json.loads(printed.out)
    assert len(rows) == len({row["number"] for row in rows}) == 8
    trials = {trial.number: trial for trial in read_view(searched).trials}
    assert "pruned" in {row["state"] for row in rows}
    for row in rows:
        trial = trials[row["number"]]
        assert (row["state"], row["value"], row["params"]) == (trial.state, trial.value, trial.params)
        assert (row["epochs"], row["full_epochs"], row["recipe"]) == (trial.num_epochs, 6, "full")
        full = 0.2 + trial.params / 50_000 + 0.05 * (trial.params % 7)
        assert row["full_values"] == pytest.approx([full, full])
        assert row["full_value"] == pytest.approx(full)
    assert "A trial's value after 4 epochs ranks designs as 6 epochs do with rho = " in printed.err
    assert len(simulation.last_jobs) == 16
    assert {job.purpose for job in simulation.last_jobs} == {"proxy"}
    assert not (searched.studies / "test-ledger").exists()
    num_fleets = len(simulation.fleets)

    audit_proxy("8", **options, format=Format.CSV)
    table = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["number"], row["full_value"]) for row in table] == [
        (str(row["number"]), str(row["full_value"])) for row in rows
    ]
    assert len(simulation.fleets) == num_fleets, "what is there already is not trained again, and no worker starts"

    audit_proxy("8", **options)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("A trial's value after 4 epochs ranks designs as 6 epochs do with rho = ")
    assert any(line.startswith("Of the best 2 at full length") for line in lines)
    assert [line.split()[0] for line in lines if line.endswith("full   ")] == [str(row["number"]) for row in rows]


def test_a_trial_that_fails_at_full_length_is_named_and_the_others_are_audited(
    searched: StudyFiles, simulation: Simulation, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[str] = []

    def curve(job: Job, epoch: int) -> float | Failed:
        seen.append(job.label)
        return Failed("training loss is nan in epoch 1") if job.label == seen[0] else by_size(job, epoch)

    simulation.curve = curve
    audit_proxy("5", epochs=2, device="cpu", study=searched.name, studies=searched.studies, format=Format.JSON)
    printed = capsys.readouterr()
    assert len(json.loads(printed.out)) == 4
    assert f"proxy {seen[0]}: failed, and is left out: training loss is nan in epoch 1" in printed.err

    simulation.curve = lambda job, epoch: Failed("out of memory")
    with pytest.raises(TrainingError, match=r"^none of these trials could be trained at full length$"):
        audit_proxy("5", epochs=3, device="cpu", study=searched.name, studies=searched.studies)


def test_mistakes_are_refused_before_anything_is_trained(
    searched: StudyFiles, simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def attempt(trials: str, **options: Any) -> None:
        audit_proxy(trials, **{"study": searched.name, "studies": searched.studies, "device": "cpu"} | options)

    with pytest.raises(InputError, match=r"^trials = 21: this study has only 20 trained trials, "):
        attempt("21")
    with pytest.raises(InputError, match=r"^trials = 2: must be 3 or more, to compare their orders$"):
        attempt("2")
    with pytest.raises(InputError, match=r"^trials = 'some': must be a whole number"):
        attempt("some")
    with pytest.raises(StudyError, match=r"^study = 'other': no such study in "):
        attempt("5", study="other")
    with pytest.raises(RecipeError, match=r"^recipe = 'fulll': no such recipe; did you mean full"):
        attempt("5", recipe="fulll")
    with pytest.raises(InputError, match=r"^device = 'tpu': must be one of auto, cpu, cuda, or a GPU as cuda:1$"):
        attempt("5", device="tpu")
    text = searched.plan.read_text()
    digest = read_plan_fingerprint(text)
    searched.plan.write_text(text.replace(digest, digest[::-1]))
    with pytest.raises(DataError, match=r"^data = digits: is not the data this study was begun with$"):
        attempt("5")
    assert simulation.fleets == [], "no worker was started"
    assert not (searched.folder / "proxy").exists()


def read_plan_fingerprint(text: str) -> str:
    return next(line.split()[1] for line in text.splitlines() if line.strip().startswith("fingerprint:"))


@pytest.mark.slow
def test_real_networks_are_audited_without_opening_the_test_set(
    nas: Nas, tmp_path: Path, trained_studies: tuple[Path, CompletedProcess[str]]
) -> None:
    copytree(trained_studies[0], tmp_path / "studies")
    audited = nas("audit-proxy", "--trials", "3", "--epochs", "3", "--format", "json")
    assert audited.returncode == 0, audited.stderr
    rows = json.loads(audited.stdout)
    assert len(rows) == 3
    assert all(0.1 < row["full_value"] <= 1 and row["full_epochs"] == 3 for row in rows)
    assert "3 trials, too few for an interval" in audited.stderr
    assert not (tmp_path / "studies" / "test-ledger").exists()
    again = nas("audit-proxy", "--trials", "3", "--epochs", "3", "--format", "json")
    assert json.loads(again.stdout) == rows
    assert "epoch 3/3" in audited.stderr and "epoch 3/3" not in again.stderr
    too_many = nas("audit-proxy", "--trials", "5")
    assert too_many.returncode == 2
    assert too_many.stderr.startswith("study: digits-20k\nnas: trials = 5: this study has only 4 trained trials, ")
    assert too_many.stderr.count("\n") == 2
