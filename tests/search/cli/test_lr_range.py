"""`nas lr-range` and `nas data show`: what to look at before training."""

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

Nas = Callable[..., CompletedProcess[str]]


def test_a_learning_rate_range_is_found_and_drawn(nas: Nas, tmp_path: Path) -> None:
    result = nas("lr-range", "--baseline", "resnet20-b", "--data", "digits", "--recipe", "fast", "--steps", "40")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("learning rate: ")
    assert (tmp_path / "lr-range-resnet20-b.html").is_file()
    assert not (tmp_path / "studies").exists()


def test_a_contact_sheet_is_drawn(nas: Nas, tmp_path: Path) -> None:
    result = nas("data", "show", "--data", "digits", "--recipe", "full")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "digits-full.png").read_bytes().startswith(b"\x89PNG")
