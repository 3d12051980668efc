"""Export: three files that need torch alone."""

import ast
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from sysconfig import get_path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from models.architecture import Architecture, Stage, Stem
from models.build import build
from models.count import count_parameters
from search.errors import StorageError, StudyError, TrainingError
from search.files import StudyFiles
from search.study.export import export
from search.study.plan import Plan

MEAN, STD = (0.3,), (0.25,)
NETWORKS = {
    "basic": Architecture(Stem(4), (Stage("basic", 2, 4, 3, 0.1), Stage("basic", 1, 8)), "A", 1, 10),
    "bottleneck": Architecture(Stem(8, 5, 1, 2), (Stage("bottleneck", 2, 16), Stage("basic", 1, 8)), "b", 1, 10),
    "even": Architecture(
        Stem(4), (Stage("basic", 1, 8, 2), Stage("bottleneck", 1, 16, 4, 0.0, 2, "average-pool")), "B", 1, 10
    ),
}
# Without `site`, the checkout that an editable install puts on the path is not there.
ALONE = """
import importlib.util, json, sys
sys.path.append(sys.argv[2])
sys.path.insert(0, sys.argv[1])
missing = [name for name in ("models", "search") if importlib.util.find_spec(name) is None]
import model, torch
network = model.load()
images = torch.tensor(json.load(open(sys.argv[3])), dtype=torch.uint8)
with torch.no_grad():
    logits = network(model.preprocess(images))
counted = sum(parameter.numel() for parameter in network.parameters())
print(json.dumps([missing, network.training, counted, list(model.CLASSES), logits.tolist()]))
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All installed packages but this project."""
    folder = tmp_path_factory.mktemp("packages")
    for entry in Path(get_path("purelib")).iterdir():
        if entry.name not in ("models", "search"):
            (folder / entry.name).symlink_to(entry)
    return folder


def retrained(files: StudyFiles, network: Architecture, **changes: Any) -> torch.nn.Module:
    """The folder that a final run leaves. BatchNorm statistics are made up, as training would."""
    torch.manual_seed(0)
    module = build(network).eval()
    for name, buffer in module.named_buffers():
        if buffer.is_floating_point():
            buffer.copy_(torch.rand_like(buffer) + (0.5 if name.endswith("var") else -0.5))
    folder = files.retrained(42, 0)
    folder.mkdir(parents=True)
    save_file(module.state_dict(), folder / "weights.safetensors")
    result = {
        "architecture": network.to_dict(),
        "params": count_parameters(network),
        "test_accuracy": 0.9876,
        "mean": MEAN,
        "std": STD,
    }
    (folder / "result.json").write_text(json.dumps(result | changes))
    return module


def test_an_export_is_three_files(files: StudyFiles, make_plan: Callable[..., Plan], tmp_path: Path) -> None:
    architecture = NETWORKS["basic"]
    retrained(files, architecture)
    written = export(files, make_plan(), 42, tmp_path / "out" / "net")
    assert [path.name for path in written] == ["model.py", "weights.safetensors", "architecture.json"]
    assert sorted((tmp_path / "out" / "net").iterdir()) == sorted(written)
    assert Architecture.from_json(written[2].read_text()) == architecture
    assert written[1].read_bytes() == (files.retrained(42, 0) / "weights.safetensors").read_bytes()


def test_the_first_seed_is_exported_not_the_best(
    files: StudyFiles, make_plan: Callable[..., Plan], tmp_path: Path
) -> None:
    retrained(files, NETWORKS["basic"])
    better = files.retrained(42, 1)
    better.mkdir()
    for name in ("weights.safetensors", "result.json"):
        (better / name).write_bytes((files.retrained(42, 0) / name).read_bytes().replace(b"0.9876", b"0.9999"))
    export(files, make_plan(), 42, tmp_path)
    assert "test accuracy 98.76%" in (tmp_path / "model.py").read_text()


def test_the_module_imports_torch_and_the_standard_library_alone(
    files: StudyFiles, make_plan: Callable[..., Plan], tmp_path: Path
) -> None:
    retrained(files, NETWORKS["bottleneck"])
    export(files, make_plan(), 42, tmp_path)
    tree = ast.parse((tmp_path / "model.py").read_text())
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(str(node.module))
    assert imported == {"torch", "torch.nn", "json", "pathlib", "typing", "collections.abc"}
    expected = f"Trial 42 of study toy: {count_parameters(NETWORKS['bottleneck']):,} parameters, "
    assert (ast.get_docstring(tree) or "").startswith(expected + "test accuracy 98.76% on toy.")


@pytest.mark.parametrize("name", NETWORKS)
def test_an_export_gives_the_same_logits_where_nas_is_not_installed(
    files: StudyFiles, make_plan: Callable[..., Plan], tmp_path: Path, packages: Path, name: str
) -> None:
    network = retrained(files, NETWORKS[name])
    classes = ("it's", 'a "class"', "back\\slash", "ü", "猫", "a\nb", "{}", "'''", '"""', "%s")
    data = make_plan().question.data.model_copy(update={"classes": classes})
    export(files, make_plan(data=data), 42, tmp_path / "export")
    images = torch.randint(0, 256, (5, 1, 8, 8), dtype=torch.uint8)
    (tmp_path / "images.json").write_text(json.dumps(images.tolist()))
    arguments = [str(tmp_path / "export"), str(packages), str(tmp_path / "images.json")]
    command = [sys.executable, "-I", "-S", "-c", ALONE, *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    missing, is_training, counted, named, logits = json.loads(done.stdout)
    assert missing == ["models", "search"]
    assert (is_training, counted) == (False, count_parameters(NETWORKS[name]))
    assert tuple(named) == classes
    with torch.no_grad():
        expected = network((images.float() / 255 - MEAN[0]) / STD[0])
    torch.testing.assert_close(torch.tensor(logits), expected, rtol=1e-5, atol=1e-6)
    assert expected.std() > 0.01  # not all alike by a dead network


def test_a_trial_that_was_not_retrained_cannot_be_exported(
    files: StudyFiles, make_plan: Callable[..., Plan], tmp_path: Path
) -> None:
    with pytest.raises(StudyError) as caught:
        export(files, make_plan(), 7, tmp_path / "out")
    assert str(caught.value) == "trial = 7: has no trained weights; run `nas retrain --trial 7` first"
    assert not (tmp_path / "out").exists()


def test_weights_of_another_network_are_not_exported(
    files: StudyFiles, make_plan: Callable[..., Plan], tmp_path: Path
) -> None:
    retrained(files, NETWORKS["basic"], architecture=NETWORKS["even"].to_dict())
    with pytest.raises(TrainingError, match="but the architecture has"):
        export(files, make_plan(), 42, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_weights_over_the_budget_are_not_exported(
    files: StudyFiles, make_plan: Callable[..., Plan], tmp_path: Path
) -> None:
    retrained(files, NETWORKS["basic"])
    with pytest.raises(TrainingError, match="over the limit of 1,000"):
        export(files, make_plan(budget=1_000), 42, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("damage", ["{", "[]", "{}", '{"architecture": {}}', '{"architecture": 3}'])
def test_a_damaged_result_is_one_line(
    files: StudyFiles, make_plan: Callable[..., Plan], tmp_path: Path, damage: str
) -> None:
    retrained(files, NETWORKS["basic"])
    (files.retrained(42, 0) / "result.json").write_text(damage)
    with pytest.raises(StorageError, match="cannot be read") as caught:
        export(files, make_plan(), 42, tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_lost_weights_are_one_line(files: StudyFiles, make_plan: Callable[..., Plan], tmp_path: Path) -> None:
    retrained(files, NETWORKS["basic"])
    (files.retrained(42, 0) / "weights.safetensors").unlink()
    with pytest.raises(StorageError, match="cannot be read"):
        export(files, make_plan(), 42, tmp_path / "out")
