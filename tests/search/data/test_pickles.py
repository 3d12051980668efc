"""CIFAR-style pickles are read whatever wrote them, and nothing that they name is run."""

import os
import pickle
import tracemalloc
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import search.data.pickles
from search.data.arrays import read_arrays
from search.data.decoding import Shape
from search.data.labelled import read_labelled
from search.data.pickles import read_pickle
from search.data.sources import find_layout
from search.data.unlabelled import read_unlabelled
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
    batch_read = read_pickle(written(tmp_path / "batch", batch, protocol))
    assert batch_read["data"].dtype == array.dtype
    np.testing.assert_array_equal(batch_read["data"], array)
    np.testing.assert_array_equal(batch_read["ids"], np.arange(5))
    assert (batch_read["labels"], batch_read["scale"]) == ([1, 2, -3, 70_000, 2**40], 0.5)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_numbers_bytes_and_text_of_every_protocol_are_read(tmp_path: Path, protocol: int) -> None:
    batch = {"ids": [np.int64(3), np.uint8(200)], "names": [b"a\xff.png", "ü"], "pair": (1, True, None), "empty": {}}
    batch_read = read_pickle(written(tmp_path / "batch", batch, protocol))
    assert batch_read == {"ids": [3, 200], "names": [b"a\xff.png", "ü"], "pair": (1, True, None), "empty": {}}


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
    batch_read = read_pickle(tmp_path / "test_batch")
    assert batch_read["labels"] == [6, 9, 0, 1, 2] and batch_read["batch"] == "b1"
    np.testing.assert_array_equal(batch_read["data"], IMAGES)
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
        (b"]0}.", "with the instruction POP"),
        (b"\x8f.", "with the instruction EMPTY_SET"),
        (b"\x96\xff\xff\xff\xff\xff\xff\xff\x7f.", "damaged or not a pickle"),
        (b"\x8e\xff\xff\xff\xff\xff\xff\xff\x00.", "damaged or not a pickle"),
        (b"h\x05.", "damaged or not a pickle"),
        (b"}}.", "damaged or not a pickle"),
        (b"t.", "damaged or not a pickle"),
        (b"", "damaged or not a pickle"),
        (b"not a pickle", "damaged or not a pickle"),
        (b"\x89PNG\r\n\x1a\n", "with the instruction PERSID"),
        (b"].", "a pickle of something else; must be one of a dictionary"),
        (b"}]K\x01s.", "damaged or not a pickle"),
        (b"}K\x01\x85K\x01s.", "holds a dictionary with a key that is neither text nor a whole number"),
        (b"(K\x01\x85K\x01d.", "holds a dictionary with a key that is neither text nor a whole number"),
        (b"}NK\x01s.", "holds a dictionary with a key that is neither text nor a whole number"),
        (b"}(K\x01K\x02tK\x01s.", "holds a dictionary with a key that is neither text nor a whole number"),
    ],
    ids=range(25),
)
def test_what_is_not_a_batch_is_refused_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "batch").write_bytes(content)
    assert message in refusal(tmp_path / "batch")


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_empty_bytes_and_arrays_of_the_older_protocols_are_read(tmp_path: Path, protocol: int) -> None:
    batch = read_pickle(written(tmp_path / "batch", {"name": b"", "data": IMAGES[:0]}, protocol))
    assert batch["name"] == b"" and batch["data"].shape == (0, 12)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("dtype", ["<U5", ">U5", "S5"])
def test_arrays_and_lists_of_text_are_read(tmp_path: Path, protocol: int, dtype: str) -> None:
    array = np.array(["a.png", "b"], dtype=dtype)
    batch_read = read_pickle(written(tmp_path / "batch", {"ids": array, "list": list(array)}, protocol))
    np.testing.assert_array_equal(batch_read["ids"], array)
    assert batch_read["list"] == array.tolist()


def test_what_has_a_number_for_a_name_is_left_out(tmp_path: Path) -> None:
    batch = {0: "cat", "names": {0: "cat", 10**5000: "dog"}, 10**5000: IMAGES}
    assert read_pickle(written(tmp_path / "batch", batch)) == {"names": {0: "cat", 10**5000: "dog"}}


@pytest.mark.parametrize(("dtype", "named"), [("O", "O8"), ("M8[s]", "M8"), ("c8", "c8")])
def test_arrays_of_anything_but_numbers_and_text_are_refused(tmp_path: Path, dtype: str, named: str) -> None:
    array = np.array([1, 2], dtype="i8").astype(dtype)
    message = f"holds an array of type '{named}'; must hold numbers or text"
    assert message in refusal(written(tmp_path / "batch", {"data": array}))


def test_text_with_codes_that_are_not_characters_is_refused(tmp_path: Path) -> None:
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
        batch_read = read_pickle(path)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000, "not the 100 MB and more of as many copies"
    finally:
        tracemalloc.stop()
    assert len(batch_read) == 1_000 or len(batch_read["ids"]) == 1_000


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


@pytest.mark.parametrize("kind", ["device", "pipe", "folder"])
def test_what_is_no_file_is_refused_unread(tmp_path: Path, kind: str) -> None:
    """A pipe would be waited for, and /dev/zero never ends."""
    path = Path("/dev/zero") if kind == "device" else tmp_path / f"{kind}.npz"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    message = f"data = {str(path)!r}: a pipe, a device or a folder; must be a file"
    assert refusal(path) == message
    with pytest.raises(DataError) as caught:
        read_arrays(path)
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["pipe", "pipe.npz", "pipe.parquet"])
def test_no_command_waits_for_a_pipe_given_as_data(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    shape = Shape(8, 3)
    for read in (lambda path: read_unlabelled(path, shape), lambda path: read_labelled(path, shape), find_layout):
        with pytest.raises(DataError, match=f"{name}': a pipe"):
            read(tmp_path / name)


def test_a_file_too_large_to_be_a_batch_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(2**33)
    assert refusal(tmp_path / "huge").endswith("huge': over 4 GB; must be a batch as CIFAR's are")


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in refusal(tmp_path / "nothing")


# Programs that no pickler writes.


def constructor(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def integer(value: int) -> bytes:
    return b"J" + value.to_bytes(4, "little")


def dictionary(value: bytes) -> bytes:
    return b"}U\x04data" + value + b"s."


DTYPE = constructor("numpy", "dtype") + b"(U\x02u1K\x00K\x01tR"
BYTES_DTYPE = constructor("numpy", "dtype") + b"(U\x07S100000K\x00K\x01tR"
NDARRAY = constructor("numpy", "ndarray")
RECONSTRUCT = constructor("numpy.core.multiarray", "_reconstruct")
EMPTY_ARRAY = RECONSTRUCT + b"(" + NDARRAY + b"K\x00\x85U\x01btR"
TEXT = b"X" + (100_000).to_bytes(4, "little") + b"x" * 100_000
BILLION = integer(2**30)
HUGE = (2**36).to_bytes(8, "little")

NOTHING_BEHIND = {
    "index of the memo": b"}r\xff\xff\xff\x7f.",
    "length of bytes": b"\x8e" + HUGE + b".",
    "length of a byte array": b"\x96" + HUGE + b".",
    "length of text": b"\x8d" + HUGE + b".",
    "length of a frame": b"\x80\x04\x95" + HUGE + b"}.",
    "shape of an array without a state": dictionary(RECONSTRUCT + b"(" + NDARRAY + BILLION + b"\x85U\x01btR"),
    "shape in the state of an array": dictionary(EMPTY_ARRAY + b"(K\x01" + BILLION + b"\x85" + DTYPE + b"\x89U\x01xtb"),
    "shape in a call of ndarray": dictionary(NDARRAY + BILLION + b"\x85R"),
    "number of empty bytes": dictionary(constructor("builtins", "bytes") + BILLION + b"\x85R"),
}


def refusal_and_peak(path: Path) -> tuple[str, int]:
    """The one line, and the most bytes of memory that were taken for it."""
    tracemalloc.start()
    try:
        return refusal(path), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", NOTHING_BEHIND)
def test_a_stated_size_that_the_file_does_not_hold_takes_no_memory(tmp_path: Path, kind: str) -> None:
    (tmp_path / "batch").write_bytes(NOTHING_BEHIND[kind])
    message, peak = refusal_and_peak(tmp_path / "batch")
    assert "damaged or not a pickle" in message
    assert peak < 1_000_000


# A value, whose constructor and arguments or state the memo holds as 0 and 1; then the same value from the memo.
REPEATED = {
    "bytes": (constructor("_codecs", "encode") + b"q\x00" + TEXT + b"U\x06latin1\x86q\x01R", b"h\x00h\x01R"),
    "single values": (
        constructor("numpy.core.multiarray", "scalar") + b"q\x00" + BYTES_DTYPE + TEXT + b"\x86q\x01R",
        b"h\x00h\x01R",
    ),
    "arrays": (
        EMPTY_ARRAY + b"q\x00(K\x01" + integer(100_000) + b"\x85" + DTYPE + b"\x89" + TEXT + b"tq\x01b",
        b"h\x00h\x01b",
    ),
}


@pytest.mark.parametrize("kind", REPEATED)
def test_what_a_file_holds_once_cannot_be_made_a_thousand_times(tmp_path: Path, kind: str) -> None:
    value, again = REPEATED[kind]
    (tmp_path / "batch").write_bytes(dictionary(b"]" + value + b"a"))
    assert len(read_pickle(tmp_path / "batch")["data"]) == 1
    (tmp_path / "batch").write_bytes(dictionary(b"]" + value + b"a" + (again + b"a") * 1_000))
    message, peak = refusal_and_peak(tmp_path / "batch")
    assert "a pickle that makes more than it holds" in message
    assert peak < 2_000_000, "not the 100 MB of a thousand copies"


def laughs(levels: int) -> bytes:
    """A list of lists, each of ten times the one before it, which the memo holds as 1 to `levels`."""
    program = b"]"
    for level in range(1, levels + 1):
        before = b"h" + bytes([level - 1]) if level > 1 else b"N"
        program += b"](" + before * 10 + b"eq" + bytes([level]) + b"a"
    return program


def test_lists_that_stand_for_more_than_memory_holds_are_not_written_out(tmp_path: Path) -> None:
    (tmp_path / "batch").write_bytes(dictionary(laughs(30)))
    assert len(read_pickle(tmp_path / "batch")["data"]) == 30


def test_a_pickle_cannot_assign_to_the_elements_of_an_array(tmp_path: Path) -> None:
    """To do so, numpy would write such lists out."""
    array = constructor("numpy.core.numeric", "_frombuffer")
    array += b"(\x96" + (8).to_bytes(8, "little") + bytes(8) + DTYPE + b"K\x08\x85U\x01CtR"
    (tmp_path / "batch").write_bytes(dictionary(array))
    assert read_pickle(tmp_path / "batch")["data"].tolist() == [0] * 8
    number, lists = b"K\x01", b"h\x1e"
    for key, value in ((number, lists), (lists, number), (number, number)):
        program = b"}U\x01x" + laughs(30) + b"sU\x04data" + array + key + value + b"s" + b"s."
        (tmp_path / "batch").write_bytes(program)
        assert "damaged or not a pickle" in refusal(tmp_path / "batch")


DEEP = b")" + b"\x85" * 300_000


@pytest.mark.parametrize(
    "key",
    [DEEP, DEEP + b"Nb", DEEP + b"(e", DEEP + b"(u", b")" + b"\x85q\x00" * 300_000, b")" + b"K\x01\x86" * 300_000],
    ids=["plain", "with no state", "extended by nothing", "updated by nothing", "remembered", "pairs"],
)
def test_a_key_of_very_deep_tuples_is_refused_without_a_crash(tmp_path: Path, key: bytes) -> None:
    """Python hashes tuples in tuples until the C stack overflows, which ends the process."""
    (tmp_path / "batch").write_bytes(b"}" + key + b"K\x01s.")
    assert "a key that is neither text nor a whole number" in refusal(tmp_path / "batch")


def test_a_key_of_tuples_that_share_their_items_is_refused_at_once(tmp_path: Path) -> None:
    """Each holds the one before it twice: Python would hash 2**100 of them."""
    program = b"}]" + b")q\x00a" + b"h\x00h\x00\x86q\x00a" * 100 + b"h\x00K\x01s."
    for changed in (program, program.replace(b"K\x01s.", b"NbK\x01s.")):
        (tmp_path / "batch").write_bytes(changed)
        assert "a key that is neither text nor a whole number" in refusal(tmp_path / "batch")


@pytest.mark.parametrize("value", [b"]" * 500_000 + b"a" * 499_999, DEEP], ids=["lists", "tuples"])
def test_very_deep_values_are_read_and_deleted_without_a_crash(tmp_path: Path, value: bytes) -> None:
    (tmp_path / "batch").write_bytes(dictionary(value))
    assert len(read_pickle(tmp_path / "batch")["data"]) == 1


def test_a_pickle_of_countless_instructions_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each may make an object of a hundred times its size."""
    monkeypatch.setattr(search.data.pickles, "MAX_INSTRUCTIONS", 1_000)
    path = written(tmp_path / "batch", {"data": [[] for _ in range(1_000)]})
    assert "a pickle of over 1,000 instructions" in refusal(path)


def test_a_pickle_leaves_no_trace_for_the_next(tmp_path: Path) -> None:
    """It may set attributes of whatever it is handed."""
    states = (b"}U\x07__doc__U\x01xs", b"N}U\x0c__defaults__)s\x86", b"(K\x03U\x01>t")
    for target in (constructor("numpy", "dtype"), RECONSTRUCT, DTYPE, EMPTY_ARRAY):
        for state in states:
            (tmp_path / "batch").write_bytes(dictionary(target + state + b"b"))
            with suppress(DataError):
                read_pickle(tmp_path / "batch")
    batch = read_pickle(written(tmp_path / "batch", {"data": IMAGES}))
    np.testing.assert_array_equal(batch["data"], IMAGES)
