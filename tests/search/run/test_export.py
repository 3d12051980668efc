"""Export: a network that needs torch alone, and its card."""

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

from models.architecture import Architecture, Stage, Stem
from models.baselines import find_baseline
from models.count import count_parameters
from search.errors import StorageError, StudyError, TrainingError
from search.files import StudyFiles
from search.run.export import export, model_source
from search.study.plan import Plan
from search.study.trained import trained_runs

Retrained = Callable[..., torch.nn.Module]
Export = Callable[..., list[Path]]

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
packages, images, *folders = sys.argv[1:]
sys.path.append(packages)
missing = [name for name in ("models", "search") if importlib.util.find_spec(name) is None]
import torch
images = torch.tensor(json.load(open(images)), dtype=torch.uint8)
told = []
for folder in folders:
    sys.path.insert(0, folder)
    import model
    network = model.load()
    with torch.no_grad():
        logits = network(model.preprocess(images))
    counted = sum(parameter.numel() for parameter in network.parameters())
    told.append([network.training, counted, list(model.CLASSES), logits.tolist()])
    sys.path.remove(folder)
    del sys.modules["model"]
print(json.dumps([missing, told]))
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All installed packages but this project."""
    folder = tmp_path_factory.mktemp("packages")
    for entry in Path(get_path("purelib")).iterdir():
        if entry.name not in ("models", "search"):
            (folder / entry.name).symlink_to(entry)
    return folder


def the_file(files: StudyFiles, name: str) -> Path:
    """The one of this name among the final runs."""
    (path,) = files.folder.glob(f"retrain/*/*/*/{name}")
    return path


@pytest.fixture
def export_trial(files: StudyFiles, make_plan: Callable[..., Plan]) -> Callable[..., list[Path]]:
    """Exports a retrained trial; keywords are the question's."""

    def run(number: int, output: Path, **changes: Any) -> list[Path]:
        plan = make_plan(**changes)
        return export(files, plan, trained_runs(files, plan, number)[0], "# The card", output)

    return run


def test_an_export_is_these_files(
    files: StudyFiles, retrained: Retrained, export_trial: Export, tmp_path: Path
) -> None:
    architecture = NETWORKS["basic"]
    retrained(architecture)
    written = export_trial(42, tmp_path / "out" / "net")
    names = ["model.py", "weights.safetensors", "architecture.json", "MODEL_CARD.md", "config.json"]
    assert [path.name for path in written] == names
    assert sorted((tmp_path / "out" / "net").iterdir()) == sorted(written)
    assert Architecture.from_json(written[2].read_text()) == architecture
    assert written[3].read_text() == "# The card"
    assert written[1].read_bytes() == the_file(files, "weights.safetensors").read_bytes()
    config = json.loads(written[4].read_text())
    assert Architecture.from_dict(config["architecture"]) == architecture
    assert (config["image_size"], config["num_channels"], config["image_mean"], config["image_std"]) == (
        8,
        1,
        [0.3],
        [0.25],
    )
    assert config["id2label"] == {str(number): str(number) for number in range(10)}


def test_the_first_seed_is_exported_not_the_best(retrained: Retrained, export_trial: Export, tmp_path: Path) -> None:
    retrained(NETWORKS["basic"])
    retrained(NETWORKS["basic"], seed=1, accuracy=0.9999)
    export_trial(42, tmp_path)
    assert "test accuracy 98.76%" in (tmp_path / "model.py").read_text()


def test_the_module_imports_torch_and_the_standard_library_alone(
    retrained: Retrained, export_trial: Export, tmp_path: Path
) -> None:
    retrained(NETWORKS["bottleneck"])
    export_trial(42, tmp_path)
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


def test_an_export_gives_the_same_logits_where_nas_is_not_installed(
    files: StudyFiles, make_plan: Callable[..., Plan], retrained: Retrained, tmp_path: Path, packages: Path
) -> None:
    classes = ("it's", 'a "class"', "back\\slash", "ü", "猫", "a\nb", "{}", "'''", '"""', "%s")
    data = make_plan().question.data.model_copy(update={"classes": classes})
    plan = make_plan(data=data)
    networks = []
    for number, (name, architecture) in enumerate(NETWORKS.items()):
        networks.append(retrained(architecture, f"{number:04d}"))
        export(files, plan, trained_runs(files, plan, number)[0], "", tmp_path / name)
    images = torch.randint(0, 256, (5, 1, 8, 8), dtype=torch.uint8)
    (tmp_path / "images.json").write_text(json.dumps(images.tolist()))
    arguments = [packages, tmp_path / "images.json", *(tmp_path / name for name in NETWORKS)]
    command = [sys.executable, "-I", "-S", "-c", ALONE, *map(str, arguments)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    missing, told = json.loads(done.stdout)
    assert missing == ["models", "search"]
    for architecture, network, (is_training, counted, named, logits) in zip(
        NETWORKS.values(), networks, told, strict=True
    ):
        assert (is_training, counted) == (False, count_parameters(architecture))
        assert tuple(named) == classes
        with torch.no_grad():
            expected = network((images.float() / 255 - MEAN[0]) / STD[0])
        torch.testing.assert_close(torch.tensor(logits), expected, rtol=1e-5, atol=1e-6)
        assert expected.std() > 0.01  # not all alike by a dead network


@pytest.mark.parametrize(
    "name", ['""";raise SystemExit(3);"""', "it's \"", "\\", '\\"', "a\nb\r\0ü猫\ud800", "{title}{0}"]
)
def test_a_name_in_a_plan_is_no_code_of_the_module(
    files: StudyFiles, make_plan: Callable[..., Plan], retrained: Retrained, name: str
) -> None:
    retrained(NETWORKS["basic"])
    plan = make_plan()
    sources = []
    for each in (name, "digits"):
        data = plan.question.data.model_copy(update={"name": each})
        changed = plan.model_copy(update={"question": plan.question.model_copy(update={"data": data})})
        sources.append(ast.parse(model_source(files, changed, trained_runs(files, plan, 42)[0])))
    hostile, harmless = (tree.body[0] for tree in sources)
    assert isinstance(hostile, ast.Expr) and isinstance(hostile.value, ast.Constant)
    assert isinstance(harmless, ast.Expr) and isinstance(harmless.value, ast.Constant)
    assert hostile.value.value == str(harmless.value.value).replace("digits", name)
    assert [ast.dump(node) for node in sources[0].body[1:]] == [ast.dump(node) for node in sources[1].body[1:]]


def test_a_trial_that_was_not_retrained_cannot_be_exported(export_trial: Export, tmp_path: Path) -> None:
    with pytest.raises(StudyError) as caught:
        export_trial(7, tmp_path / "out")
    assert str(caught.value) == "trial = 7: has no trained weights; run `nas retrain --trial 7` first"
    assert not (tmp_path / "out").exists()


def test_weights_of_another_network_are_not_exported(
    files: StudyFiles, retrained: Retrained, export_trial: Export, tmp_path: Path
) -> None:
    retrained(NETWORKS["basic"])
    path = the_file(files, "result.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"architecture": NETWORKS["even"].to_dict()}))
    with pytest.raises(TrainingError, match="but the architecture has"):
        export_trial(42, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_weights_over_the_budget_are_not_exported(retrained: Retrained, export_trial: Export, tmp_path: Path) -> None:
    retrained(NETWORKS["basic"])
    with pytest.raises(TrainingError, match="over the limit of 1,000"):
        export_trial(42, tmp_path / "out", budget=1_000)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("damage", ["{", "[]", "{}", '{"architecture": {}}', '{"architecture": 3}'])
def test_a_damaged_result_is_one_line(
    files: StudyFiles, retrained: Retrained, export_trial: Export, tmp_path: Path, damage: str
) -> None:
    retrained(NETWORKS["basic"])
    the_file(files, "result.json").write_text(damage)
    with pytest.raises(StorageError, match="cannot be read") as caught:
        export_trial(42, tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_lost_weights_are_one_line(
    files: StudyFiles, retrained: Retrained, export_trial: Export, tmp_path: Path
) -> None:
    retrained(NETWORKS["basic"])
    the_file(files, "weights.safetensors").unlink()
    rule = r"weights.safetensors: is gone; the `nas retrain` that trained trial 42 trains it again$"
    with pytest.raises(StorageError, match=rule):
        export_trial(42, tmp_path / "out")


def test_a_baseline_is_exported_under_its_name(
    files: StudyFiles, make_plan: Callable[..., Plan], retrained: Retrained, tmp_path: Path
) -> None:
    network = find_baseline("resnet20-b", 1, 10)
    retrained(network, label="resnet20-b")
    plan = make_plan()
    run = trained_runs(files, plan, None, "resnet20-b")[0]
    assert export(files, plan, run, "", tmp_path)[2].read_text() == network.to_json(indent=1)
    title = f"Baseline resnet20-b of study toy: {count_parameters(network):,} parameters, test accuracy 98.76% on toy."
    assert title in (tmp_path / "model.py").read_text()
