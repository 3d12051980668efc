"""The wheel: `nas` works from it in any folder, also one with a hostile `models`."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel in it, which borrows this one's other packages."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # The checkout itself is on this environment's path by an editable install, and must not be found.
    borrowed = [path for path in sys.path if path.endswith("site-packages")]
    (site / "borrowed.pth").write_text(f"import sys; sys.path.extend({borrowed!r})\n")
    script = folder / "bin" / "nas"
    script.write_text(f"#!{folder}/bin/python\nfrom search.cli import main\nmain()\n")
    script.chmod(0o755)
    return folder


def test_the_wheel_holds_the_two_packages_and_the_default_space(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"models", "search"}
    for name in ("modern", "tiny"):
        assert f"search/space/named/{name}.yaml" in names
    for needed in ("search/space/space.yaml", "search/report/templates/page.html", "models/blocks.py"):
        assert needed in names
    space = zipfile.ZipFile(wheel).read("search/space/space.yaml")
    assert space == (ROOT / "space.yaml").read_bytes()


@pytest.mark.slow
def test_nas_from_the_wheel_trains_beside_a_hostile_models_folder(environment: Path, tmp_path: Path) -> None:
    for name in ("models", "search", "torch"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('the wrong package')\n")
    nas = environment / "bin" / "nas"
    where = [
        str(environment / "bin" / "python"),
        "-P",
        "-c",
        "import models, search; print(models.__file__, search.__file__)",
    ]
    found = subprocess.run(where, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert found.count(str(environment)) == 2
    command = ["search", "--data", "digits", "--budget", "20k", "--trials", "1", "--epochs", "1"]
    result = subprocess.run([nas, *command], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    assert "1 trial trained" in result.stdout


@pytest.mark.slow
def test_nas_from_the_wheel_finds_its_space_in_an_empty_folder(environment: Path, tmp_path: Path) -> None:
    command = [environment / "bin" / "nas", "space", "--budget", "1M", "--format", "json"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert '"feasible"' in result.stdout
