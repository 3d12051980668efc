"""Measured speeds: seconds per epoch, seconds per image, and the choice of precision."""

import json
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.architecture import Architecture, Stage, Stem
from search.errors import TrainingError
from search.recipe import Recipe
from search.training import speed
from search.training.images import Images
from search.training.measured import Measured
from search.training.quiet import Quiet

CPU = torch.device("cpu")
DATA = Images.from_arrays(np.zeros((256, 8, 8, 1), np.uint8), np.arange(256) % 10, "cpu")


def kept_in(path: Path) -> Measured:
    def is_valid(value: Any) -> bool:
        return speed.is_precision(value) or speed.is_latency(value)

    return Measured(path, is_valid, Quiet(path.parent), print)


def test_a_wider_network_takes_longer() -> None:
    recipe = Recipe(name="test", epochs=1, batch_size=64)

    def seconds(width: int) -> float:
        network = Architecture(Stem(width), (Stage("basic", 2, width),), in_channels=1)
        return speed.seconds_per_epoch(network, recipe, DATA, "fp32")

    assert 0 < seconds(8) < seconds(128)


def test_half_precision_must_be_clearly_faster_to_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for number, (half, chosen) in enumerate([(0.5, "bf16"), (0.95, "fp32"), (2.0, "fp32")]):
        monkeypatch.setattr(speed, "seconds_per_epoch", lambda *args, half=half: 1.0 if args[3] == "fp32" else half)
        assert speed.fastest_precision(DATA, 10, kept_in(tmp_path / f"{number}.json")) == chosen


def test_one_machine_always_gets_the_same_precision(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cache = tmp_path / "precision.json"
    monkeypatch.setattr(speed, "seconds_per_epoch", lambda *args: 1.0 if args[3] == "fp32" else 0.5)
    first = speed.fastest_precision(DATA, 10, kept_in(cache))
    monkeypatch.setattr(speed, "seconds_per_epoch", lambda *args: 0.5 if args[3] == "fp32" else 1.0)
    assert speed.fastest_precision(DATA, 10, kept_in(cache)) == first == "bf16"
    assert list(json.loads(cache.read_text()).values()) == ["bf16"]


# Latency.


def network(depth: int, width: int = 16) -> Architecture:
    return Architecture(Stem(width), (Stage("basic", depth, width),))


def test_a_deeper_network_takes_longer(tmp_path: Path) -> None:
    shallow, deep = (
        speed.latency(network(depth), 16, CPU, "fp32", kept_in(tmp_path / "latency.json")) for depth in (1, 12)
    )
    assert 0 < 2 * shallow < deep < 1


def test_a_design_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "latency.json"
    first = speed.latency(network(1), 16, CPU, "fp32", kept_in(path))
    monkeypatch.setattr(speed, "_measure_latency", lambda *_: 99.0)
    assert speed.latency(network(1), 16, CPU, "fp32", kept_in(path)) == first
    for changed in ((network(2), 16, "fp32"), (network(1), 32, "fp32"), (network(1), 16, "bf16")):
        architecture, size, precision = changed
        assert speed.latency(architecture, size, CPU, precision, kept_in(path)) == 99.0
    assert len(json.loads(path.read_text())) == 4


def test_nothing_else_computes_while_a_design_or_a_precision_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = kept_in(tmp_path / "values.json")
    quiet = cache._quiet
    alone: list[bool] = []

    def measure(*_: object) -> float:
        hours = count(0.0, 3_600.0)
        other = Quiet(tmp_path, clock=lambda: next(hours))
        with pytest.raises(TrainingError), other.alone():
            pass
        alone.append(not quiet._is_inside)
        return 1.0

    monkeypatch.setattr(speed, "_measure_latency", measure)
    monkeypatch.setattr(speed, "seconds_per_epoch", measure)
    with quiet.computing():
        assert speed.latency(network(1), 16, CPU, "fp32", cache) == 1.0
        assert speed.fastest_precision(DATA, 10, cache) == "fp32"
    assert alone == [True] * 3


def test_measuring_takes_no_longer_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10_000))
    monkeypatch.setattr(speed.time, "perf_counter", lambda: 0.3 * next(clock))
    # Three runs of 0.3 s after five of warm-up, and not fifty.
    assert speed._measure_latency(network(1, 4), 8, CPU, "fp32") == pytest.approx(0.3)
    assert next(clock) < 40
