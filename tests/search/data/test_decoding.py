"""Images of every format and mode are decoded alike, and a faulty one is named with the rule."""

import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_sources import encoded, pixels, refusal, write_images
from PIL import Image

from search.data.datasets import open_dataset
from search.data.decoding import EncodedImages


def test_every_usual_format_is_read_whatever_the_case_of_its_ending(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for suffix, format in {
            "png": "PNG",
            "JPG": "JPEG",
            "Jpeg": "JPEG",
            "bmp": "BMP",
            "webp": "WEBP",
            "gif": "GIF",
        }.items():
            pixels(200).save(tmp_path / name / f"x-{suffix}.{suffix}", format)
    dataset = open_dataset(str(tmp_path))
    assert dataset.num_train + dataset.num_test == 12
    assert np.all(np.abs(dataset.train()[0].astype(int) - 200) <= 2)


@pytest.mark.parametrize("mode", ["L", "LA", "1"])
def test_a_set_all_in_grey_keeps_one_channel(tmp_path: Path, mode: str) -> None:
    write_images(tmp_path / "grey", mode=mode)
    assert open_dataset(str(tmp_path / "grey")).channels == 1


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_one_image_in_colour_makes_the_whole_set_rgb(tmp_path: Path, mode: str) -> None:
    write_images(tmp_path / "train", mode="L")
    write_images(tmp_path / "test", mode="L")
    pixels(51, mode=mode).save(tmp_path / "test" / "dog" / "last.png")
    dataset = open_dataset(str(tmp_path))
    assert dataset.channels == 3
    assert dataset.train()[0][1, 0, 0].tolist() == [1, 1, 1]
    assert dataset.test()[0][-1, 0, 0].tolist() == [51, 51, 51]


def spoil(file: Path, how: str) -> None:
    match how:
        case "not square":
            Image.new("RGB", (8, 9)).save(file)
        case "too small":
            Image.new("RGB", (3, 3)).save(file)
        case "too large":
            Image.new("RGB", (513, 513)).save(file)
        case "another size":
            Image.new("RGB", (9, 9)).save(file)
        case "16 bits":
            Image.fromarray(np.zeros((8, 8), dtype=np.uint16)).save(file)
        case "empty":
            file.write_bytes(b"")
        case "cut":
            file.write_bytes(encoded(1)[:45])
        case "another format":
            pixels(1).save(file, "TIFF")
        case "a folder":
            file.unlink()
            file.mkdir()
        case "a broken link":
            file.unlink()
            file.symlink_to("nowhere.png")
        case "a pipe":
            file.unlink()
            os.mkfifo(file)
        case "a bomb" | "a small bomb":
            side = 10_000 if how == "a small bomb" else 60_000  # Pillow warns of the first and refuses the second
            header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
            chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
            file.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IDAT\x35\xaf\x06\x1e")
        case _:
            raise AssertionError(how)


@pytest.mark.parametrize(
    ("how", "rule"),
    [
        ("not square", "8x9 pixels; images must be square"),
        ("too small", "3x3 pixels; images must measure 4 to 512 pixels a side"),
        ("too large", "513x513 pixels; images must measure 4 to 512 pixels a side"),
        ("another size", "9x9 pixels; all images must have the size of the first, 8x8"),
        ("16 bits", "pixel mode I;16; images must have 8 bits a channel"),
        ("empty", "damaged or not an image"),
        ("cut", "damaged or not an image"),
        ("another format", "must be one of PNG, JPEG, BMP, WEBP, GIF"),
        ("a folder", "must be a file"),
        ("a broken link", "No such file or directory"),
        ("a pipe", "must be a file"),
        ("a bomb", "too many pixels"),
        ("a small bomb", "too many pixels"),
    ],
)
def test_a_faulty_image_is_named_with_the_rule(tmp_path: Path, cache: Path, how: str, rule: str) -> None:
    write_images(tmp_path / "pets")
    file = tmp_path / "pets" / "dog" / "3.png"
    spoil(file, how)
    message = refusal(tmp_path / "pets")
    assert str(file) in message
    assert rule in message
    assert not cache.exists() or list(cache.iterdir()) == []


def test_an_image_file_of_absurd_length_is_not_read_whole(tmp_path: Path) -> None:
    write_images(tmp_path / "pets")
    with (tmp_path / "pets" / "dog" / "3.png").open("wb") as file:
        file.truncate(10**11)
    assert "3.png': over 64 MB" in refusal(tmp_path / "pets")


def test_images_are_decoded_in_chunks_and_not_all_at_once() -> None:
    taken: list[int] = []

    def items() -> Any:
        for i in range(5000):
            taken.append(i)
            yield str(i), encoded(1)

    first = next(EncodedImages(items).chunks(8, 3))
    assert first.shape == (1024, 8, 8, 3)
    assert len(taken) == 1024
