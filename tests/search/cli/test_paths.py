"""A ~ at the beginning of an option that is a path, or of its variable, is a home folder, wherever it stands."""

from collections.abc import Callable
from inspect import signature
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, get_args

import pytest
import typer
from data_sources import write_images
from small_search import SEARCH, SMALL_SPACE

from models.architecture import Architecture, Stage, Stem
from search.cli.app import app
from search.files import StudyFiles

Nas = Callable[..., CompletedProcess[str]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder, which is not the working folder."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


def callbacks(group: typer.Typer) -> list[Callable[..., Any]]:
    """The functions of all commands of a group, and of the groups in it."""
    own = [command.callback for command in group.registered_commands if command.callback is not None]
    return own + [inner for other in group.registered_groups for inner in callbacks(other.typer_instance)]


def test_every_option_that_is_a_path_knows_it(home: Path) -> None:
    names = set()
    for callback in callbacks(app):
        for name, parameter in signature(callback).parameters.items():
            kind, *options = get_args(parameter.annotation) or (parameter.annotation,)
            if kind is Path or Path in get_args(kind):
                names.add(name)
                assert [option.parser("~/x") for option in options] == [home / "x"], f"{callback.__name__}: {name}"
    assert names == {"studies", "space", "output", "input", "ids", "bundle", "architecture"}


def test_a_search_and_its_report_stay_out_of_a_folder_called_tilde(
    nas: Nas, searched: StudyFiles, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "small.yaml").write_text(SMALL_SPACE)
    (home / "mine.yaml").write_text("name: mine\nepochs: 2\nbatch_size: 2")
    write_images(home / "data" / "pets", mode="L")
    searched.studies.rename(home / "studies")
    monkeypatch.setenv("NAS_STUDIES", "~/studies")
    monkeypatch.setenv("NAS_DATA", "~/data")
    for arguments in (
        ("report", "--output=~/page.html"),
        ("report", "--format", "csv", "--output=~/tables"),
        ("space", "--space=~/small.yaml", "--data", "pets"),
        ("search", "--dry-run", "--trials", "2", "--budget", "20k", "--data=~/data/pets", "--recipe=~/mine.yaml"),
    ):
        done = nas(*arguments)
        assert done.returncode == 0, done.stderr
    assert (home / "page.html").is_file() and (home / "tables" / "trials.csv").is_file()
    assert not (tmp_path / "~").exists()


@pytest.mark.parametrize("arguments", [("report", "--output=~nobody-here/x"), (*SEARCH, "--recipe", "~nobody-here/x")])
def test_a_home_folder_of_nobody_is_one_line(nas: Nas, arguments: tuple[str, ...]) -> None:
    done = nas(*arguments)
    assert done.returncode == 2
    rule = "path = '~nobody-here/x': there is no such home folder; a file of that name is written ./~nobody-here/x"
    assert done.stderr.endswith(f"{rule}\n") and done.stderr.count("\n") == 1


def test_an_architecture_is_read_from_a_home_folder(nas: Nas, home: Path) -> None:
    (home / "net.json").write_text(Architecture(Stem(8), (Stage("basic", 1, 8),)).to_json())
    assert nas("show", "--architecture=~/net.json").returncode == 0
