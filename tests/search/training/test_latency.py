import json
from pathlib import Path

import pytest
import torch

from models.architecture import Architecture, Stage, Stem
from search.training import latency as module
from search.training.latency import latency

CPU = torch.device("cpu")


def network(depth: int, width: int = 16) -> Architecture:
    return Architecture(Stem(width), (Stage("basic", depth, width),))


def test_a_deeper_network_takes_longer(tmp_path: Path) -> None:
    shallow, deep = (latency(network(depth), 16, CPU, "fp32", tmp_path / "latency.json") for depth in (1, 12))
    assert 0 < 2 * shallow < deep < 1


def test_a_design_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "latency.json"
    first = latency(network(1), 16, CPU, "fp32", path)
    monkeypatch.setattr(module, "_measure", lambda *_: 99.0)
    assert latency(network(1), 16, CPU, "fp32", path) == first
    for changed in ((network(2), 16, "fp32"), (network(1), 32, "fp32"), (network(1), 16, "bf16")):
        architecture, size, precision = changed
        assert latency(architecture, size, CPU, precision, path) == 99.0
    assert len(json.loads(path.read_text())) == 4


def test_measuring_takes_no_longer_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10_000))
    monkeypatch.setattr(module.time, "perf_counter", lambda: 0.3 * next(clock))
    # Three runs of 0.3 s after five of warm-up, and not fifty.
    assert module._measure(network(1, 4), 8, CPU, "fp32") == pytest.approx(0.3)
    assert next(clock) < 40
