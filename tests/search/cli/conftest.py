"""Studies to give commands about: in virtual time where no trained network is needed."""

import pickle
from collections.abc import Callable
from pathlib import Path
from shutil import copytree
from subprocess import CompletedProcess

import pytest
from small_search import SEARCH, SMALL_SPACE, Simulation

from search.files import StudyFiles
from search.workers import machine


@pytest.fixture(autouse=True)
def _space(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SMALL_SPACE)


@pytest.fixture
def simulation(monkeypatch: pytest.MonkeyPatch) -> Simulation:
    """Takes the place of the worker processes of commands in this process."""
    simulated = Simulation()
    monkeypatch.setattr(machine, "LocalFleet", simulated)
    return simulated


@pytest.fixture(scope="session")
def simulated_studies(
    built_once: Callable[..., Path], cache: Path, nas_in: Callable[..., CompletedProcess[str]]
) -> Path:
    """A folder of studies with one of 20 trials of 4 epochs, digits-20k."""

    def search(folder: Path) -> None:
        (folder / "small.yaml").write_text(SMALL_SPACE)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("NAS_CACHE", str(cache))
            patch.setattr(machine, "LocalFleet", Simulation())
            options = ("--trials", "20", "--epochs", "4", "--device", "cpu", "--fill", "none")
            done = nas_in(folder, *SEARCH, *options)
        assert done.returncode == 0, done.stderr

    return built_once("simulated", search) / "studies"


@pytest.fixture
def searched(simulated_studies: Path, tmp_path: Path) -> StudyFiles:
    """The study of 20 trials, in `tmp_path`."""
    copytree(simulated_studies, tmp_path / "studies")
    return StudyFiles(tmp_path / "studies", "digits-20k")


@pytest.fixture(scope="session")
def trained_studies(
    built_once: Callable[..., Path], cache: Path, nas_in: Callable[..., CompletedProcess[str]]
) -> tuple[Path, CompletedProcess[str]]:
    """A folder of studies with one whose networks were really trained, by `SEARCH`, and what the command printed."""

    def search(folder: Path) -> None:
        (folder / "small.yaml").write_text(SMALL_SPACE)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("NAS_CACHE", str(cache))
            done = nas_in(folder, *SEARCH)
        (folder / "done.pickle").write_bytes(pickle.dumps(done))

    folder = built_once("trained", search)
    return folder / "studies", pickle.loads((folder / "done.pickle").read_bytes())
