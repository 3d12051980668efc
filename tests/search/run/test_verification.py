"""One flipped byte in an export is found; what agrees with itself but not with its card, its budget or its program is
found as well; and what is verified is data."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from models.architecture import Architecture, Stage, Stem
from models.count import count_parameters
from search.errors import InputError
from search.files import StudyFiles
from search.protocol import Setup
from search.run import verification
from search.run.bundle import write_bundle
from search.run.export import export
from search.run.export_certificate import NAME, Certificate, certify_files, read_certificate, write_certificate
from search.run.verification import Verification, verify
from search.study.plan import Plan
from search.study.trained import trained_runs
from search.trained_network import Verified, Verify
from search.training.predictor import load
from search.training.verifier import verify as compare

NETWORK = Architecture(Stem(4), (Stage("basic", 1, 4), Stage("bottleneck", 1, 8)), "B", 1, 10)
CARD = f"""# The card
| parameters | {count_parameters(NETWORK):,}, 9% of the budget |

The weights in this folder, those of the first seed, have 98.76%.
"""
FILES = ["model.py", "weights.safetensors", "architecture.json", "MODEL_CARD.md", "README.md", "config.json", NAME]


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker takes seconds to start; that one answers is tested in tests/search/cli/test_verify.py."""

    def ask(setup: Setup, task: Verify, log: Path) -> Verified:
        return Verified(tuple(compare(task, partial(load, device=torch.device("cpu")))))

    monkeypatch.setattr(verification, "ask", ask)


@pytest.fixture
def no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(*_: object) -> None:
        raise AssertionError("a damaged export must not be built or run")

    monkeypatch.setattr(verification, "ask", ask)


@pytest.fixture
def exported(
    files: StudyFiles, make_plan: Callable[..., Plan], retrained: Callable[..., Any], tmp_path: Path
) -> Callable[..., Path]:
    """Exports a retrained trial, or a baseline of this name, into a folder; keywords are the question's."""

    def make(label: str = "0042", **changes: Any) -> Path:
        retrained(NETWORK, label)
        trial, baseline = (None, label) if not label.isdecimal() else (42, None)
        plan = make_plan(**changes)
        run = trained_runs(files, plan, trial, baseline)[0]
        folder = tmp_path / "net"
        paths = export(files, plan, run, CARD, folder, {"README.md": "---\n---\n" + CARD})
        write_certificate(folder, [path.name for path in paths], files, plan, run)
        return folder

    return make


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the folder of one export is kept for all tests."""
    return tmp_path_factory.mktemp("made") / "net"


@pytest.fixture
def folder(made: Path, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of an export."""
    if not made.exists():
        exported: Callable[..., Path] = request.getfixturevalue("exported")
        exported().rename(made)
    return Path(shutil.copytree(made, tmp_path / "net"))


def found(result: Verification) -> str:
    """The first disagreement."""
    assert result.disagreement is not None and "\n" not in result.disagreement
    return result.disagreement


def sealed(folder: Path, **changes: Any) -> None:
    """Write the certificate as somebody would who wants it to be believed: with the hashes of what is there."""
    values = json.loads((folder / NAME).read_text()) | changes
    for name in values["files"]:
        content = (folder / name).read_bytes()
        values["files"][name] = {"bytes": len(content), "sha256": verification.hashlib.sha256(content).hexdigest()}  # type: ignore[attr-defined]
    (folder / NAME).write_text(Certificate.model_validate(values).sealed().to_text())


def test_an_export_agrees_with_itself(folder: Path) -> None:
    result = verify(folder)
    assert result.disagreement is None and result.is_verified
    assert {check.outcome for check in result.checks} == {"agrees"}
    params = count_parameters(NETWORK)
    counts = {(check.file, check.what): check.found for check in result.checks if "parameters" in check.what}
    assert counts == {
        ("architecture.json", "parameters by arithmetic"): params,
        ("architecture.json", "parameters by fvcore"): params,
        ("weights.safetensors", "parameters in the stored tensors"): params,
        ("MODEL_CARD.md", "parameters"): params,
        ("README.md", "parameters"): params,
        ("config.json", "parameters"): params,
        ("model.py", "parameters"): params,
    }
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES), "verifying writes nothing"


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_byte_is_found_and_its_file_is_named(folder: Path, no_worker: None, name: str) -> None:
    content = (folder / name).read_bytes()
    for place in (0, len(content) // 3, len(content) - 1):
        damaged = bytearray(content)
        damaged[place] ^= 1
        (folder / name).write_bytes(damaged)
        assert found(verify(folder)).startswith(f"{name}: ")
    (folder / name).write_bytes(content + b"\n")
    assert found(verify(folder)).startswith(f"{name}: ")


@pytest.mark.parametrize("name", FILES[:-1])
def test_what_is_gone_a_link_or_no_file_is_found(folder: Path, no_worker: None, tmp_path: Path, name: str) -> None:
    (folder / name).rename(tmp_path / "elsewhere")
    assert found(verify(folder)) == f"{name}: SHA-256: is gone"
    (folder / name).symlink_to(tmp_path / "elsewhere")
    assert found(verify(folder)) == f"{name}: SHA-256: a link; must be an ordinary file"
    (folder / name).unlink()
    os.mkfifo(folder / name)
    assert found(verify(folder)) == f"{name}: SHA-256: no ordinary file"
    (folder / name).unlink()
    (folder / name).mkdir()
    assert found(verify(folder)) == f"{name}: SHA-256: no ordinary file"


def test_a_certificate_that_is_a_link_or_too_large_is_refused(folder: Path, no_worker: None, tmp_path: Path) -> None:
    (folder / NAME).rename(tmp_path / NAME)
    (folder / NAME).symlink_to(tmp_path / NAME)
    assert found(verify(folder)) == f"{NAME}: seal: a link; must be an ordinary file"
    (folder / NAME).unlink()
    (folder / NAME).touch()
    os.truncate(folder / NAME, 2**40)
    assert "at most" in found(verify(folder))


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}", b"\xff"])
def test_what_is_no_certificate_is_one_line(folder: Path, no_worker: None, content: bytes) -> None:
    (folder / NAME).write_bytes(content)
    assert found(verify(folder)) == f"{NAME}: seal: damaged, or no certificate of nas export"


@pytest.mark.parametrize("name", ["../a", "/etc/passwd", ".hidden", "a/b", "a\n", ""])
def test_a_certificate_names_no_file_elsewhere(folder: Path, no_worker: None, name: str) -> None:
    values = json.loads((folder / NAME).read_text())
    values["files"][name] = values["files"]["model.py"]
    certificate = read_certificate(folder / NAME).model_copy(update={"files": values["files"]})
    (folder / NAME).write_text(json.dumps(values | {"sha256": certificate.sha256}, indent=1) + "\n")
    assert found(verify(folder)).startswith(f"{NAME}: seal: ")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"params": 7}, "architecture.json: parameters by arithmetic: {params:,}; must be 7"),
        ({"budget": 100}, "certificate.json: budget: {params:,}; must be at most 100"),
        ({"macs": 7}, "architecture.json: multiply-accumulates: "),
        ({"limits": ["macs=10"]}, "certificate.json: limit of multiply-accumulates: "),
        ({"limits": ["nonsense"]}, "architecture.json: multiply-accumulates: limit"),
        ({"image_size": 10**9}, "architecture.json: multiply-accumulates: "),
        ({"test_accuracy": 0.5}, "MODEL_CARD.md: test accuracy: 98.76%; must be 50.00%"),
    ],
)
def test_a_certificate_of_other_values_disagrees(
    folder: Path, no_worker: None, changes: dict[str, Any], line: str
) -> None:
    sealed(folder, **changes)
    assert found(verify(folder)).startswith(line.format(params=count_parameters(NETWORK)))


def replaced(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("name", "old", "new", "line"),
    [
        ("MODEL_CARD.md", "| parameters | ", "| parameters | 9", "MODEL_CARD.md: parameters: 9"),
        ("README.md", "98.76%", "99.76%", "README.md: test accuracy: 99.76%; must be 98.76%"),
        ("config.json", '"num_parameters": ', '"num_parameters": 9', "config.json: parameters: 9"),
        ("config.json", '"width": 8', '"width": 9', "config.json: architecture: another; must be the same"),
        ("architecture.json", '"depth": 1', '"depth": 2', "architecture.json: parameters by arithmetic: "),
        ("architecture.json", '"width": 8', '"width": "8"', "architecture.json: architecture: width = '8'"),
        ("model.py", " parameters, test", "0 parameters, test", "model.py: parameters: "),
        ("model.py", "import json", "import os", "model.py: program: another program"),
        ("model.py", '"""Trial', '""";import os;"""Trial', "model.py: program: another program"),
        ("model.py", "MEAN = (", "MEAN = (0.5, ", "model.py: program: another program"),
        ("model.py", "CLASSES = (", "CLASSES = " + "(" * 5000, "model.py: program: another program"),
        ("model.py", "'width': 8", "'width': 9", "model.py: program: another program"),
    ],
)
def test_what_is_changed_and_certified_again_is_found(
    folder: Path, no_worker: None, name: str, old: str, new: str, line: str
) -> None:
    replaced(folder / name, old, new)
    sealed(folder)
    assert found(verify(folder)).startswith(line)


def test_another_program_is_run_only_where_a_person_asks(folder: Path, tmp_path: Path) -> None:
    replaced(folder / "model.py", "import json", f"import json\nopen({str(tmp_path / 'ran')!r}, 'w').close()")
    sealed(folder)
    assert found(verify(folder)).startswith("model.py: program: another program")
    assert not (tmp_path / "ran").exists()
    assert verify(folder, may_run=True).is_verified
    assert (tmp_path / "ran").exists()


def test_weights_of_another_network_are_found(folder: Path, no_worker: None) -> None:
    content = (folder / "weights.safetensors").read_bytes()
    endless = b'{"a": {"dtype": "I8", "shape": [%s], "data_offsets": [0, 0]}}' % b", ".join([b"9" * 4000] * 2)
    endless = len(endless).to_bytes(8, "little") + endless
    for damaged in (b"", content[:-4], content[:8] + b"[" * (len(content) - 8), b"\xff" * 8 + content[8:], endless):
        (folder / "weights.safetensors").write_bytes(damaged)
        sealed(folder)
        line = found(verify(folder))
        assert line.startswith("weights.safetensors: parameters in the stored tensors: not a readable safetensors")
    length = int.from_bytes(content[:8], "little")
    header, rest = json.loads(content[8 : 8 + length]), content[8 + length :]
    end = len(rest)
    renamed = {"body.weight" if name == "head.weight" else name: entry for name, entry in header.items()}
    for changed, more, line in (
        (header | {"extra": {"dtype": "F32", "shape": [1], "data_offsets": [end, end + 4]}}, b"\0" * 4, "; must be "),
        (header | {"extra": {"dtype": "F32", "shape": [0], "data_offsets": [end, end]}}, b"", "it holds extra, which"),
        (renamed, b"", "it holds no head.weight, which the architecture has"),
    ):
        text = json.dumps(changed).encode()
        (folder / "weights.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + rest + more)
        sealed(folder)
        assert line in found(verify(folder))


def test_a_folder_without_a_certificate_is_compared_with_itself(folder: Path) -> None:
    (folder / NAME).unlink()
    result = verify(folder)
    assert result.is_verified
    assert [check.file for check in result.checks if check.outcome == "left out"] == [NAME]
    replaced(folder / "MODEL_CARD.md", "| parameters | ", "| parameters | 9")
    assert found(verify(folder)).startswith("MODEL_CARD.md: parameters: ")


def test_other_weights_under_the_hubs_name_are_found(folder: Path) -> None:
    content = (folder / "weights.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content)
    assert verify(folder).is_verified
    (folder / "model.safetensors").write_bytes(content[:-1] + b"\x7f")
    assert found(verify(folder)) == "model.safetensors: content: another; must be that of weights.safetensors"


def test_what_the_certificate_says_nothing_of_is_named(folder: Path) -> None:
    (folder / "LICENSE").write_text("mine")
    (folder / "\x1b[31mred\n").write_text("in no terminal's control")
    result = verify(folder)
    assert result.is_verified
    assert [(check.file, check.outcome) for check in result.checks if check.outcome != "agrees"] == [
        ("[31mred", "left out"),
        ("LICENSE", "left out"),
    ]


def test_a_baseline_over_the_budget_is_a_reference(exported: Callable[..., Path]) -> None:
    result = verify(exported("resnet20-b", budget=100))
    assert result.is_verified
    (budget,) = [check for check in result.checks if check.what == "budget"]
    assert budget.outcome == "left out" and "is not held to it" in str(budget.found)


def test_one_file_is_verified_beside_its_architecture(folder: Path) -> None:
    replaced(folder / "MODEL_CARD.md", "98.76%", "99.99%")
    result = verify(folder / "weights.safetensors")
    assert result.is_verified and "MODEL_CARD.md" not in {check.file for check in result.checks}
    (folder / "model.py").unlink()
    (unknown,) = [check for check in verify(folder / "weights.safetensors").checks if check.outcome != "agrees"]
    assert unknown.outcome == "left out" and unknown.found == "it is not known how images are normalised"
    (folder / "weights.safetensors").write_bytes((folder / "weights.safetensors").read_bytes()[:-1] + b"\x7f")
    assert found(verify(folder / "weights.safetensors")).startswith("weights.safetensors: SHA-256: ")


def test_weights_of_another_network_beside_one_file_are_told_by_their_count(folder: Path, no_worker: None) -> None:
    (folder / NAME).unlink()
    replaced(folder / "architecture.json", '"width": 8', '"width": 16')
    (folder / "model.onnx").write_bytes(b"whatever it is")
    line = "weights.safetensors: parameters in the stored tensors: "
    assert found(verify(folder / "model.onnx")).startswith(line)


def test_a_run_of_a_study_is_held_to_its_budget(
    files: StudyFiles, make_plan: Callable[..., Plan], retrained: Callable[..., Any]
) -> None:
    retrained(NETWORK)
    make_plan().save(files)
    (run,) = files.folder.glob("retrain/*/*/seed-0")
    result = verify(run)
    assert result.is_verified
    assert {"budget", "logits", "parameters by fvcore"} <= {check.what for check in result.checks}
    make_plan(budget=100).save(files)
    assert found(verify(run)).startswith("plan.yaml: budget: ")
    files.plan.unlink()
    replaced(run / "result.json", '"params": ', '"params": 1')
    assert found(verify(run)).startswith("result.json: parameters: 1")


@pytest.fixture
def bundled(
    exported: Callable[..., Path], files: StudyFiles, make_plan: Callable[..., Plan], tmp_path: Path
) -> Iterator[tuple[Path, dict[str, Path | bytes]]]:
    """A bundle, and what is in it."""
    folder, plan = exported(), make_plan()
    run = trained_runs(files, plan, 42)[0]
    contents: dict[str, Path | bytes] = {name: folder / name for name in FILES if name != NAME}
    contents |= {"report.html": b"<p>page</p>", "plan.yaml": plan.to_yaml().encode()}
    contents[NAME] = certify_files(contents, files, plan, run).to_text().encode()
    write_bundle(tmp_path / "out.zip", contents)
    yield tmp_path / "out.zip", contents


def test_a_bundle_agrees_with_itself_until_a_byte_is_flipped(bundled: tuple[Path, dict[str, Path | bytes]]) -> None:
    path, contents = bundled
    assert {check.outcome for check in verify(path).checks} == {"agrees"}
    content = bytearray(path.read_bytes())
    content[content.index(b"<p>page") + 3] ^= 1
    path.write_bytes(content)
    assert found(verify(path)).startswith("out.zip: bundle: report.html: damaged")
    for name in contents:  # sealed again as a bundle, by somebody who does not write the certificate again
        if name != NAME:
            write_bundle(path, contents | {name: b"another"})
            assert found(verify(path)).startswith(f"{name}: SHA-256: ")
    write_bundle(path, contents | {"torch.py": b"import os"})
    assert found(verify(path)) == "torch.py: SHA-256: the certificate says nothing of it"
    write_bundle(path, {name: content for name, content in contents.items() if name != NAME})
    assert found(verify(path)) == f"out.zip: bundle: holds no {NAME}"


def test_what_is_no_export_is_wrong_input(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe.zip")
    shutil.copy(folder / "config.json", tmp_path / "weights.safetensors")
    for path, rule in (
        (tmp_path / "gone", "there is no such file"),
        (tmp_path / "empty", "it holds no architecture.json"),
        (tmp_path / "pipe.zip", "is no ordinary file"),
        (folder / "config.json", "must be a folder, a bundle"),
        (tmp_path / "weights.safetensors", "it holds no architecture.json"),
    ):
        with pytest.raises(InputError, match=rule):
            verify(path)
