"""CIFAR-style pickles: whatever wrote them is understood, and nothing that they name is run."""

import os
import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.data.pickles import read_pickle
from search.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 12), dtype=np.uint8)


def written(path: Path, value: object, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_pickle(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "array",
    [IMAGES, np.asfortranarray(IMAGES), IMAGES[::2], IMAGES.reshape(5, 2, 2, 3), IMAGES.astype(">i4")],
    ids=["plain", "fortran", "strided", "images", "big endian"],
)
def test_arrays_of_every_protocol_are_what_pickle_itself_reads(
    tmp_path: Path, protocol: int, array: np.ndarray[Any, Any]
) -> None:
    batch = {b"data": array, "labels": [1, 2, -3, 70_000, 2**40], "ids": np.arange(5), "scale": 0.5}
    found = read_pickle(written(tmp_path / "batch", batch, protocol))
    assert found["data"].dtype == array.dtype
    np.testing.assert_array_equal(found["data"], array)
    np.testing.assert_array_equal(found["ids"], np.arange(5))
    assert (found["labels"], found["scale"]) == ([1, 2, -3, 70_000, 2**40], 0.5)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_numbers_bytes_and_text_of_every_protocol_are_read(tmp_path: Path, protocol: int) -> None:
    batch = {"ids": [np.int64(3), np.uint8(200)], "names": [b"a\xff.png", "ü"], "pair": (1, True, None), "empty": {}}
    found = read_pickle(written(tmp_path / "batch", batch, protocol))
    assert found == {"ids": [3, 200], "names": [b"a\xff.png", "ü"], "pair": (1, True, None), "empty": {}}


def test_a_batch_as_python_2_wrote_cifar_is_read(tmp_path: Path) -> None:
    """Protocol 2 with byte strings and the module names of numpy 1, as in cifar-10-python.tar.gz."""
    raw = IMAGES.tobytes()
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85U\x01b\x87Rq\x04(K\x01K\x05K\x0c\x86"
        b"cnumpy\ndtype\nq\x05U\x02u1K\x00K\x01\x87Rq\x06(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        b"T" + len(raw).to_bytes(4, "little") + raw + b"tb"
    )
    content = b"\x80\x02}q\x01(U\x04data" + array + b"U\x06labels]q\x07(K\x06K\x09K\x00K\x01K\x02eU\x05batchU\x02b1u."
    (tmp_path / "test_batch").write_bytes(content)
    found = read_pickle(tmp_path / "test_batch")
    assert found["labels"] == [6, 9, 0, 1, 2] and found["batch"] == "b1"
    np.testing.assert_array_equal(found["data"], IMAGES)
    np.testing.assert_array_equal(pickle.loads(content, encoding="bytes")[b"data"], IMAGES)


class Hostile:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.path}'",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_would_run_a_command_is_refused_and_does_not_run(tmp_path: Path, protocol: int) -> None:
    path, made = tmp_path / "batch.pkl", tmp_path / "made"
    written(path, {"data": IMAGES, "labels": Hostile(made)}, protocol)
    assert "a pickle that would run 'posix.system'; must hold numpy arrays and plain values alone" in refusal(path)
    assert not made.exists()
    pickle.loads(path.read_bytes())
    assert made.exists(), "the pickle is as hostile as it claims"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"cnumpy.testing\nrun_module_suite\n.", "would run 'numpy.testing.run_module_suite'"),
        (b"cnumpy\nload\n.", "would run 'numpy.load'"),
        (b"\x8c\x05numpy\x8c\x07ndarray\x93\x8c\x00\x93.", "damaged or not a pickle"),
        (b"(S'id'\nios\nsystem\n.", "with the instruction INST"),
        (b"(cnumpy\nndarray\n)o.", "with the instruction OBJ"),
        (b"cnumpy\nndarray\n)\x81.", "with the instruction NEWOBJ"),
        (b"Pmodule\n.", "with the instruction PERSID"),
        (b"\x82\x01.", "with the instruction EXT1"),
        (b"\x97.", "with the instruction NEXT_BUFFER"),
        (b"]r\xff\xff\xff\xff0.", "with the instruction POP"),
        (b"}r\xff\xff\xff\x7f.", None),
        (b"\x96\xff\xff\xff\xff\xff\xff\xff\x7f.", "damaged or not a pickle"),
        (b"\x8e\xff\xff\xff\xff\xff\xff\xff\x00.", "damaged or not a pickle"),
        (b"h\x05.", "damaged or not a pickle"),
        (b"}}.", "damaged or not a pickle"),
        (b"t.", "damaged or not a pickle"),
        (b"", "damaged or not a pickle"),
        (b"not a pickle", "damaged or not a pickle"),
        (b"\x89PNG\r\n\x1a\n", "with the instruction PERSID"),
        (b"].", "a pickle of something else; must be one of a dictionary"),
        (b"}]K\x01s.", "holds a dictionary with a key that is neither text nor a whole number"),
        (b"}(K\x01K\x02tK\x01s.", "holds a dictionary with a key that is neither text nor a whole number"),
    ],
    ids=range(22),
)
def test_what_is_no_batch_is_one_line(tmp_path: Path, content: bytes, message: str | None) -> None:
    (tmp_path / "batch").write_bytes(content)
    if message is None:  # a memo of a large number takes no memory of that size
        assert read_pickle(tmp_path / "batch") == {}
    else:
        assert message in refusal(tmp_path / "batch")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("dtype", ["<U5", ">U5", "S5"])
def test_arrays_and_lists_of_text_are_read(tmp_path: Path, protocol: int, dtype: str) -> None:
    array = np.array(["a.png", "b"], dtype=dtype)
    found = read_pickle(written(tmp_path / "batch", {"ids": array, "list": list(array)}, protocol))
    np.testing.assert_array_equal(found["ids"], array)
    assert found["list"] == array.tolist()


def test_what_has_a_number_for_a_name_is_left_out(tmp_path: Path) -> None:
    batch = {0: "cat", "names": {0: "cat", 10**5000: "dog"}, 10**5000: IMAGES}
    assert read_pickle(written(tmp_path / "batch", batch)) == {"names": {0: "cat", 10**5000: "dog"}}


@pytest.mark.parametrize(("dtype", "named"), [("O", "O8"), ("M8[s]", "M8"), ("c8", "c8")])
def test_arrays_of_anything_but_numbers_and_text_are_refused(tmp_path: Path, dtype: str, named: str) -> None:
    array = np.array([1, 2], dtype="i8").astype(dtype)
    message = f"holds an array of type '{named}'; must hold numbers or text"
    assert message in refusal(written(tmp_path / "batch", {"data": array}))


def test_text_of_numbers_that_are_no_characters_is_refused(tmp_path: Path) -> None:
    text = np.array(["abcd"])
    for ids in (text, [text[0]]):
        content = pickle.dumps({"ids": ids}).replace("abcd".encode("utf-32-le"), b"\xff" * 16)
        (tmp_path / "batch").write_bytes(content)
        assert "damaged or not a pickle" in refusal(tmp_path / "batch")


LONG = np.str_("x" * 100_000)


@pytest.mark.parametrize("kind", ["bytes", "text", "list"])
def test_what_a_file_holds_once_is_made_once(tmp_path: Path, kind: str) -> None:
    shared: dict[str, tuple[object, int]] = {
        "bytes": ({"ids": [LONG.encode()] * 1_000}, 2),  # protocol 2 has a call that makes them of text
        "text": ({"ids": [LONG] * 1_000}, 4),
        "list": ((lambda items: {f"list {number}": items for number in range(1_000)})([1] * 50_000), 4),
    }
    path = written(tmp_path / "batch", *shared[kind])
    tracemalloc.start()
    try:
        found = read_pickle(path)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000, "not the 100 MB and more of as many copies"
    finally:
        tracemalloc.stop()
    assert len(found) == 1_000 or len(found["ids"]) == 1_000


def test_an_array_whose_bytes_do_not_fill_its_shape_is_refused(tmp_path: Path) -> None:
    content = pickle.dumps({"data": IMAGES}, protocol=2).replace(b"K\x05K\x0c\x86", b"K\x05K\x0d\x86")
    (tmp_path / "batch").write_bytes(content)
    assert "damaged or not a pickle" in refusal(tmp_path / "batch")


def test_no_cut_or_garbled_batch_ends_in_another_error(tmp_path: Path) -> None:
    content = pickle.dumps({"data": IMAGES, "labels": [1, 2]}, protocol=4)
    generator = np.random.default_rng(0)
    path = tmp_path / "batch"
    for position in range(0, len(content), 3):
        garbled = bytearray(content)
        garbled[position] = generator.integers(256)
        for damaged in (content[:position], bytes(garbled)):
            path.write_bytes(damaged)
            try:
                assert isinstance(read_pickle(path), dict)
            except DataError as error:
                assert "\n" not in str(error)


def test_a_very_deep_pickle_is_refused_without_a_crash(tmp_path: Path) -> None:
    (tmp_path / "batch").write_bytes(b"}N" + b"\x85" * 1_000_000 + b"K\x01s.")
    assert "a key that is neither text nor a whole number" in refusal(tmp_path / "batch")


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in refusal(tmp_path / "nothing")
