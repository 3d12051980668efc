"""What a name or path stands for, and named sets that are downloaded."""

import errno
import io
import pickle
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from data_sources import refusal, write_images, write_parquet

import search.data.cache
import search.data.catalogue
import search.data.datasets
from search.data.catalogue import NAMED, safe_name
from search.data.datasets import open_dataset
from search.training import download


def test_digits_are_the_greyscale_digits_of_scikit_learn() -> None:
    dataset = open_dataset("digits")
    assert (dataset.name, dataset.image_size, dataset.channels) == ("digits", 8, 1)
    assert dataset.classes == tuple("0123456789")
    assert dataset.num_train + dataset.num_test == 1797
    assert dataset.num_test == pytest.approx(0.2 * 1797, abs=5)
    images, _ = dataset.train()
    assert (images.min(), images.max()) == (0, 255)
    assert np.bincount(dataset.test()[1]).min() >= 34


def test_an_unknown_name_is_answered_with_the_nearest_and_all_known() -> None:
    message = refusal("cifr10")
    assert message.startswith("data = 'cifr10': no such data set or path (did you mean 'cifar10'?); must be")
    assert all(name in message for name in NAMED)
    assert "did you mean" not in refusal("/some/where")


@pytest.mark.parametrize("spec", ["", " ", "a\0b", "x" * 5000, "~nobody-of-that-name/data", "\udcff"])
def test_a_spec_that_can_be_no_path_is_refused(spec: str) -> None:
    assert refusal(spec).startswith(f"data = {spec!r}: ")


def test_a_known_name_means_the_set_and_a_separator_means_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(tmp_path / "digits")
    monkeypatch.chdir(tmp_path)
    assert open_dataset("digits").num_train == 1438
    assert open_dataset("./digits").num_train == 8


@pytest.mark.parametrize("setting", [".", "toys"])
def test_nas_data_is_looked_in_first_whether_it_holds_the_set_or_is_it(
    setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_parquet(tmp_path / "toys" / "train-0.parquet", [0, 1, 0, 1])
    write_parquet(tmp_path / "toys" / "test-0.parquet", [0, 1])
    monkeypatch.setenv("NAS_DATA", str(tmp_path / setting))
    assert open_dataset("toys").name == "toys"
    assert open_dataset("digits").num_train == 1438


def test_a_named_set_in_nas_data_has_its_real_class_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_parquet(tmp_path / "cifar10" / "train-0.parquet", [*range(10), 0, 1])
    write_parquet(tmp_path / "cifar10" / "test-0.parquet", [0, 9])
    monkeypatch.setenv("NAS_DATA", str(tmp_path))
    assert open_dataset("cifar10").classes == NAMED["cifar10"]
    assert open_dataset(str(tmp_path / "cifar10")).classes == tuple("0123456789")


def test_the_named_sets_have_as_many_classes_as_they_should() -> None:
    assert {name: len(set(classes)) for name, classes in NAMED.items()} == {
        "digits": 10,
        "cifar10": 10,
        "cifar100": 100,
        "fashion-mnist": 10,
        "svhn": 10,
    }
    assert list(NAMED["cifar100"]) == sorted(NAMED["cifar100"])


@pytest.mark.parametrize(
    ("name", "safe"),
    [("flowers", "flowers"), ("my flowers!", "my-flowers"), ("../../etc", "etc"), ("é", "data"), ("x" * 99, "x" * 40)],
)
def test_a_folder_name_is_made_safe(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_the_working_folder_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_images(tmp_path / "some pets")
    monkeypatch.chdir(tmp_path / "some pets")
    assert open_dataset(".").name == "some-pets"


class FakeSet:
    """Holds its arrays as torchvision does: channels last with a list of targets, or channels first with labels."""

    def __init__(self, channels_first: bool, num_images: int) -> None:
        self.data = np.arange(num_images * 8 * 8 * 3, dtype=np.uint8).reshape(num_images, 8, 8, 3)
        if channels_first:
            self.data = self.data.transpose(0, 3, 1, 2)
            self.labels = np.arange(num_images) % 10
        else:
            self.targets = [i % 10 for i in range(num_images)]


@pytest.mark.parametrize("channels_first", [False, True])
def test_torchvision_sets_become_channels_last_arrays(channels_first: bool) -> None:
    images, labels = download.to_arrays(FakeSet(channels_first, 20))
    assert np.array_equal(images, FakeSet(False, 20).data)
    assert (images.dtype, images.flags.c_contiguous) == (np.uint8, True)
    assert labels.tolist() == [i % 10 for i in range(20)]


def test_grey_tensors_keep_their_shape() -> None:
    dataset = SimpleNamespace(data=np.zeros((2, 28, 28), np.uint8), targets=np.array([1, 0]))
    assert download.to_arrays(dataset)[0].shape == (2, 28, 28)


def fake_process(
    fetch: Callable[[str], download.Fetch], runs: list[list[str]]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Stands for subprocess.run: runs the downloader's main in this process."""

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        runs.append(command)
        output = io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdout", output)
            patch.setattr(download.socket, "setdefaulttimeout", lambda _: None)
            status = download.main(command[4:], fetch)
        return subprocess.CompletedProcess(command, status, output.getvalue(), "")

    return run


def test_a_named_set_is_downloaded_once_by_a_process_of_its_own(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[list[str]] = []
    run = fake_process(lambda name: lambda folder, train: FakeSet(name == "svhn", 40 if train else 20), runs)
    monkeypatch.setattr(search.data.catalogue.subprocess, "run", run)
    dataset = open_dataset("cifar10")
    assert open_dataset("cifar10") == dataset
    directory = str(cache / "downloads")
    assert runs == [[sys.executable, "-P", "-m", "search.training.download", "cifar10", directory]]
    assert (dataset.num_train, dataset.num_test, dataset.classes) == (40, 20, NAMED["cifar10"])
    assert np.array_equal(dataset.train()[0], FakeSet(False, 40).data)
    assert list((cache / "downloads").glob("*.npz")) == []


def test_a_failing_download_is_one_line_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(name: str) -> download.Fetch:
        print("a remark of torchvision's")
        raise OSError("network\n\nunreachable")

    monkeypatch.setattr(search.data.catalogue.subprocess, "run", fake_process(fetch, []))
    assert refusal("svhn") == (
        "data = 'svhn': could not be downloaded (OSError: network unreachable); "
        "set NAS_DATA to a folder that holds it, or pass a path"
    )


def test_a_downloader_that_dies_without_a_word_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    dead: Any = lambda command, **_: subprocess.CompletedProcess(command, -9, "", "")  # noqa: E731
    monkeypatch.setattr(search.data.catalogue.subprocess, "run", dead)
    assert "could not be downloaded (exit status -9)" in refusal("cifar100")


@pytest.mark.slow
def test_the_downloader_really_starts_by_name(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "search.training.download", "no-such-set", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert (done.returncode, done.stdout) == (
        1,
        "ValueError: name = 'no-such-set': must be one of cifar10, cifar100, fashion-mnist, svhn\n",
    )


def test_an_archive_cannot_write_outside_its_folder_in_the_downloader(tmp_path: Path) -> None:
    """Whatever library unpacks it, and whether it asks for a filter or not."""
    with tarfile.open(tmp_path / "evil.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("../escaped"))
    code = (
        "import sys, tarfile\n"
        "from pathlib import Path\n"
        "from search.training.download import main\n"
        "def fetch(name):\n"
        "    with tarfile.open('evil.tar') as archive: archive.extractall('inside')\n"
        "sys.exit(main(['cifar10', '.'], fetch))"
    )
    (tmp_path / "inside").mkdir()
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout.startswith("OutsideDestinationError: ") and done.stdout.count("\n") == 1
    assert not (tmp_path / "escaped").exists()


def test_a_pickle_of_cifar10_with_a_wrong_checksum_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torchvision compares every file with its checksum before it unpickles one: here all are somebody else's."""
    from torchvision import datasets

    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch", "batches.meta"):
        (folder / name).write_bytes(pickle.dumps(Ill(tmp_path / "it ran")))
    monkeypatch.setattr(datasets.CIFAR10, "download", lambda _: None)
    for train in (True, False):
        with pytest.raises(RuntimeError, match="corrupted"):
            download.fetch("cifar10")(tmp_path, train)
    assert not (tmp_path / "it ran").exists()
    pickle.loads((folder / "test_batch").read_bytes()).close()
    assert (tmp_path / "it ran").exists(), "it would have run"


class Ill:
    """Opens a file when it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return open, (str(self.witness), "w")


def test_a_download_that_fails_while_writing_leaves_no_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download.np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        download.download("svhn", tmp_path, lambda folder, train: FakeSet(True, 4))
    assert list(tmp_path.iterdir()) == []
