"""What was not used of a data set is on the screen, once, and no part of the results."""

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
from data_sources import write_images, write_npz
from small_search import SMALL_SPACE

Nas = Callable[..., CompletedProcess[str]]


def test_what_is_not_used_is_noted_once_by_every_command(nas: Nas, tmp_path: Path) -> None:
    write_images(tmp_path / "pets", 10)
    (tmp_path / "small.yaml").write_text(SMALL_SPACE)
    (tmp_path / "pets" / "cat" / "readme.txt").touch()
    note = f"note: data = {str(tmp_path / 'pets')!r}: not used: .txt (1)\n"
    space = ("--space", "small.yaml", "--budget", "20k", "--data", "./pets")
    search = ("search", *space, "--dry-run", "--trials", "2", "--batch-size", "8")
    for arguments in (("space", *space), search, search):
        done = nas(*arguments)
        assert done.returncode == 0, done.stderr
        assert done.stderr.startswith(note) and done.stderr.count("note: ") == 1
        assert "not used" not in done.stdout


def test_what_only_reading_shows_is_noted_whenever_a_set_is_opened(nas: Nas, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SMALL_SPACE)
    path = write_npz(tmp_path / "toy.npz", more=np.zeros(3))
    for _ in range(2):
        done = nas("space", "--space", "small.yaml", "--budget", "20k", "--data", "./toy.npz")
        assert (done.returncode, done.stderr) == (0, f"note: data = {str(path)!r}: not used: more\n")
