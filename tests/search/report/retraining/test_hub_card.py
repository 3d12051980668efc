"""The README.md of an export has a header that the hub reads, and it says what was measured."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from models.architecture import Architecture, Stage, Stem
from search.files import StudyFiles
from search.recipe import Recipe
from search.report.retraining.hub_card import LOADING, hub_card
from search.space.space import load_space
from search.study.plan import Circumstances, Data, Plan, Question
from search.study.trained import TrainedRun
from search.study.view import RunView
from search.trained_network import TrainedNetwork

NETWORK = Architecture(Stem(16), (Stage("basic", 2, 16),))


@pytest.fixture
def card(tmp_path: Path, run: Callable[..., RunView]) -> Callable[..., str]:
    """The card of a network trained on data of this name."""

    def make(name: str, license: str | None = None) -> str:
        data = Data(name=name, fingerprint="0" * 64, image_size=32, channels=3, classes=tuple("abcdefghij"))
        question = Question(
            budget=5_000_000,
            data=data,
            space=load_space(None),
            recipe=Recipe(name="fast", epochs=8),
            sampler="tpe",
            pruner="median",
            seed=0,
        )
        circumstances = Circumstances(source=name, storage=None, created="2026-01-01", num_trials=3)
        view = replace(run("0042", 0, 0.9512, architecture=NETWORK), precision="fp32")
        network = TrainedNetwork(NETWORK, Path("weights.safetensors"), (0.5,) * 3, (0.2,) * 3, "fp32")
        plan = Plan(question=question, circumstances=circumstances)
        return hub_card(StudyFiles(tmp_path, "mine"), plan, TrainedRun(view, network, {}), "# The card\n", license)

    return make


def header(text: str) -> dict[str, Any]:
    """The header as huggingface_hub finds it."""
    found = re.match(r"^\s*---[\r\n]+([\S\s]*?)[\r\n]+---([\r\n]|\n|$)", text)
    assert found is not None
    values: dict[str, Any] = yaml.safe_load(found[1])
    return values


def test_the_header_says_library_tags_data_and_accuracy(card: Callable[..., str]) -> None:
    values = header(card("cifar10"))
    assert (values["library_name"], values["pipeline_tag"]) == ("pytorch", "image-classification")
    assert values["datasets"] == ["uoft-cs/cifar10"] and values["metrics"] == ["accuracy"]
    (model,) = values["model-index"]
    (result,) = model["results"]
    assert model["name"].startswith("trial 42 of study mine, ")
    assert result["dataset"] == {"name": "cifar10", "type": "uoft-cs/cifar10", "split": "test"}
    assert result["metrics"] == [{"type": "accuracy", "value": 0.9512, "name": "Test accuracy, seed 0"}]


@pytest.mark.parametrize("name", ["my data: a", "---", "\n---\n", "%a", "ü", "- x"])
def test_a_name_of_data_cannot_change_the_header(card: Callable[..., str], name: str) -> None:
    values = header(card(name))
    assert values["model-index"][0]["results"][0]["dataset"]["name"] == name
    assert "datasets" not in values


def test_the_card_follows_with_the_line_that_loads_it(card: Callable[..., str]) -> None:
    text = card("digits")
    assert text.endswith("\n# The card\n")
    assert all(f"\n> {line}\n" in text for line in LOADING.splitlines())


def test_the_license_is_the_users(card: Callable[..., str]) -> None:
    assert header(card("digits", "apache-2.0"))["license"] == "apache-2.0"
    assert "license" not in header(card("digits"))
