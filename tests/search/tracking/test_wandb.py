"""W&B's offline mode: files in the study's folder, no network and no key."""

import os
from pathlib import Path

import pytest
from processes import children, is_running

from search.errors import InputError
from search.files import StudyFiles
from search.tracking.tracker import Study

pytestmark = pytest.mark.slow  # W&B takes seconds to import and starts a process of its own


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_PROJECT", "WANDB_DATA_DIR", "WANDB_CACHE_DIR"):
        monkeypatch.setenv(name, "")  # so that what is set below goes again
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "home"))
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")


def test_runs_and_the_report_are_kept_offline_and_go_on_under_their_ids(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from search.tracking.wandb import prepare_wandb

    before = set(children(os.getpid()))
    study = Study(StudyFiles(tmp_path / "studies", "toy"), "2026-01-01", 8, {"budget": 5000})
    (tmp_path / "report.html").write_text("<p>what was found</p>")
    for state in ("interrupted", "complete"):
        tracker = prepare_wandb(offline=True).tracker(study)
        runs = ("trial-0000", "trial-0001")  # at the same time
        for run in runs:
            assert tracker.begin(run, {"params": 4242}) == 0
        for run in runs:
            tracker.measure(run, 1, {"train_loss": 1.5})
            tracker.end(run, state, {"validation_accuracy": 0.75})
        tracker.keep_report(tmp_path / "report.html")
        tracker.close()
        left = set(children(os.getpid())) - before
        assert not any(map(is_running, left)), "W&B's own process has ended"
    assert capfd.readouterr() == ("", "")

    logs = sorted((study.files.folder / "wandb").glob("offline-run-*/run-*.wandb"))
    ids = [log.stem.removeprefix("run-") for log in logs]
    assert sorted(ids) == sorted([study.id_of(run) for run in ("study-toy", *runs)] * 2)
    content = b"".join(log.read_bytes() for log in logs if study.id_of("trial-0000") in log.name)
    for text in (b"trial-0000", b"params", b"4242", b"train_loss", b"final/validation_accuracy", b"interrupted"):
        assert text in content
    assert any(b"report.html" in log.read_bytes() for log in logs if study.id_of("study-toy") in log.name)
    kept = [path for path in (study.files.folder / "wandb").rglob("*") if path.is_file()]
    assert b"<p>what was found</p>" in [path.read_bytes() for path in kept]
    assert not (tmp_path / "home").exists(), "nothing is written elsewhere"


def test_without_a_key_and_online_it_is_refused_before_anything_begins() -> None:
    from search.tracking.wandb import prepare_wandb

    with pytest.raises(InputError) as caught:
        prepare_wandb()
    assert str(caught.value).startswith("log = wandb: not logged in; run `wandb login`")


def test_the_mode_of_wandb_itself_is_kept_to(monkeypatch: pytest.MonkeyPatch) -> None:
    from search.tracking.wandb import prepare_wandb

    monkeypatch.setenv("WANDB_MODE", "offline")
    assert prepare_wandb().keeps_reports
