"""nas export and nas verify, as a person or a script meets them."""

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import torch

from models.architecture import Architecture, Stage, Stem
from search.files import StudyFiles
from search.run import verification
from search.study.plan import Plan
from search.trained_network import Verified, Verify
from search.training.predictor import load
from search.training.verifier import verify

Nas = Callable[..., CompletedProcess[str]]

NETWORK = Architecture(Stem(4), (Stage("basic", 1, 4),), "B", 1, 10)


@pytest.fixture
def exported(
    nas: Nas,
    files: StudyFiles,
    make_plan: Callable[..., Plan],
    retrained: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A folder that `nas export --hub` wrote; a worker is replaced by this process."""

    def ask(_: object, task: Verify, __: Path) -> Verified:
        return Verified(tuple(verify(task, partial(load, device=torch.device("cpu")))))

    monkeypatch.setattr(verification, "ask", ask)
    retrained(NETWORK)
    make_plan().save(files)
    done = nas("export", "--study", "toy", "--trial", "42", "--output", "net", "--hub")
    assert done.returncode == 0, done.stderr
    names = "model.py weights.safetensors architecture.json MODEL_CARD.md config.json README.md model.safetensors"
    assert [Path(line).name for line in done.stdout.splitlines()] == [*names.split(), "certificate.json"]
    return tmp_path / "net"


def test_an_export_is_verified(nas: Nas, exported: Path) -> None:
    done = nas("verify", "net")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("verified: net\n")
    for words in ("parameters by arithmetic", "parameters by fvcore", "parameters in the stored tensors", "budget"):
        assert words in done.stdout
    for words in ("program", "logits of 4 images", "SHA-256"):
        assert words in done.stdout
    values = json.loads(nas("verify", "net", "--format", "json").stdout)
    assert (values["path"], values["verified"], values["disagreement"]) == ("net", True, None)
    rows = list(csv.DictReader(io.StringIO(nas("verify", "net", "--format", "csv").stdout)))
    assert [row["what"] for row in rows] == [check["what"] for check in values["checks"]]
    assert {row["outcome"] for row in rows} == {"agrees"}


def test_weights_under_the_hubs_name_of_an_earlier_export_are_named(nas: Nas, exported: Path) -> None:
    done = nas("export", "--study", "toy", "--trial", "42", "--output", "net")
    rest = "model.safetensors is of an earlier export, and not of this one"
    assert [line for line in done.stderr.splitlines() if "warning" in line] == [f"warning: net/{rest}"]


def test_a_flipped_byte_ends_in_one_line_that_names_the_file(nas: Nas, exported: Path) -> None:
    path = exported / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    for format in ("table", "csv", "json"):
        done = nas("verify", "net", "--format", format)
        assert done.returncode == 1
        assert re.fullmatch(r"nas: net: model\.safetensors: SHA-256: \w{64}; must be \w{64}\n", done.stderr)
        assert "verified: net" not in done.stdout
    assert json.loads(done.stdout)["verified"] is False


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("verify", "gone"), "verify gone: there is no such file"),
        (("verify", "."), "verify .: is no export and no run of nas; it holds no architecture.json"),
        (
            ("export", "--trial", "1", "--license", "a: b"),
            "license = 'a: b': must be a name as the hub writes it: mit, apache-2.0, cc-by-4.0, other",
        ),
        (("export", "--trial", "1", "--bundle", "out.tar"), "bundle = 'out.tar': must be the name of a .zip file"),
    ],
)
def test_what_cannot_be_done_is_one_line(nas: Nas, arguments: tuple[str, ...], line: str) -> None:
    done = nas(*arguments)
    assert (done.returncode, done.stderr) == (2, f"nas: {line}\n")


HUB = """
def snapshot_download(name):
    assert name == "USER/NAME"
    return {folder!r}
"""


@pytest.mark.slow  # starts a process that imports torch
def test_the_documented_line_loads_the_repository(exported: Path, tmp_path: Path) -> None:
    lines = re.findall(r"^> ((?:import sys|sys\.path).*)$", (exported / "README.md").read_text(), re.MULTILINE)
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "huggingface_hub.py").write_text(HUB.format(folder=str(exported)))
    program = "\n".join([*lines, "print(model.__file__, sum(one.numel() for one in network.parameters()))"])
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "hub"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    config = json.loads((exported / "config.json").read_text())
    assert done.stdout == f"{exported / 'model.py'} {config['num_parameters']}\n", done.stderr
