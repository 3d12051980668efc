"""Timing of designs and the choice of precision."""

import json
from pathlib import Path

import numpy as np
import pytest

from models.architecture import Architecture, Stage, Stem
from search.recipe import Recipe
from search.training import timing
from search.training.images import Images

DATA = Images.from_arrays(np.zeros((256, 8, 8, 1), np.uint8), np.arange(256) % 10, "cpu")


def test_a_wider_network_takes_longer() -> None:
    recipe = Recipe(name="test", epochs=1, batch_size=64)

    def seconds(width: int) -> float:
        network = Architecture(Stem(width), (Stage("basic", 2, width),), in_channels=1)
        return timing.seconds_per_epoch(network, recipe, DATA, "fp32")

    assert 0 < seconds(8) < seconds(128)


def test_half_precision_must_be_clearly_faster_to_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for number, (half, chosen) in enumerate([(0.5, "bf16"), (0.95, "fp32"), (2.0, "fp32")]):
        monkeypatch.setattr(timing, "seconds_per_epoch", lambda *args, half=half: 1.0 if args[3] == "fp32" else half)
        assert timing.fastest_precision(DATA, 10, tmp_path / f"{number}.json") == chosen


def test_one_machine_always_gets_the_same_precision(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cache = tmp_path / "precision.json"
    monkeypatch.setattr(timing, "seconds_per_epoch", lambda *args: 1.0 if args[3] == "fp32" else 0.5)
    first = timing.fastest_precision(DATA, 10, cache)
    monkeypatch.setattr(timing, "seconds_per_epoch", lambda *args: 0.5 if args[3] == "fp32" else 1.0)
    assert timing.fastest_precision(DATA, 10, cache) == first == "bf16"
    assert list(json.loads(cache.read_text()).values()) == ["bf16"]
