"""`nas show` shows a network stage by stage."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

from models.architecture import Architecture
from models.count import count_parameters

Nas = Callable[..., CompletedProcess[str]]


def test_show_adds_up(nas: Nas, tmp_path: Path) -> None:
    text = '{"stem": {"width": 16}, "stages": [{"block": "basic", "depth": 3, "width": 16}]}'
    (tmp_path / "net.json").write_text(text)
    shown = json.loads(nas("show", "--architecture", "net.json", "--format", "json").stdout)
    assert shown["params"] == count_parameters(Architecture.from_json(text))
    assert sum(part["macs"] for part in shown["parts"]) == shown["macs"]
    assert "total" in nas("show", "--architecture", "net.json").stdout
