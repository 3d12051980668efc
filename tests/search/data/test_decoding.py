"""Images of every format and mode are decoded alike, and a faulty one is named with the rule."""

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_sources import encoded, pixels, refusal, write_images
from numpy.typing import NDArray
from PIL import ExifTags, Image

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
            "JFIF": "JPEG",
            "jpe": "JPEG",
            "tif": "TIFF",
            "TIFF": "TIFF",
            "ppm": "PPM",
            "pgm": "PPM",
        }.items():
            mode = "L" if suffix == "pgm" else "RGB"
            pixels(200, mode=mode).save(tmp_path / name / f"x-{suffix}.{suffix}", format)
    dataset = open_dataset(str(tmp_path))
    assert dataset.num_train + dataset.num_test == 24
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
        case "16 bits of colour" | "16 bits and transparent":
            kind, channels = (2, 3) if how == "16 bits of colour" else (6, 4)
            content = zlib.compress((b"\0" + bytes(16 * channels)) * 8)
            chunks = ((b"IHDR", struct.pack(">IIBBBBB", 8, 8, 16, kind, 0, 0, 0)), (b"IDAT", content), (b"IEND", b""))
            whole = (struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in chunks)
            file.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(whole))
        case "empty":
            file.write_bytes(b"")
        case "cut":
            file.write_bytes(encoded(1)[:45])
        case "another format":
            pixels(1).save(file, "TGA")
        case "a cut TIFF":
            pixels(1, size=64).save(file, "TIFF", compression="tiff_lzw")
            file.write_bytes(file.read_bytes().replace(b"\x80", b"\x7f"))
        case "pages":
            pixels(1).save(file, "TIFF", save_all=True, append_images=[pixels(2)])
        case "large tiles":
            tags = ((256, 8), (257, 8), (258, 8), (259, 5), (262, 1), (277, 1), (322, 30_000), (323, 16), (324, 8))
            entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in (*tags, (325, 8)))
            file.write_bytes(b"II*\0" + struct.pack("<IH", 8, 10) + entries + bytes(4))
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
        ("16 bits of colour", "pixel mode RGB;16B; images must have 8 bits a channel"),
        ("16 bits and transparent", "pixel mode RGBA;16B; images must have 8 bits a channel"),
        ("empty", "damaged or not an image"),
        ("cut", "damaged or not an image"),
        ("another format", "must be one of PNG, JPEG, BMP, WEBP, GIF, TIFF, PPM"),
        ("a cut TIFF", "damaged or not an image"),
        ("pages", "has several pages; must be one image"),
        ("large tiles", "stored in tiles of 30000 pixels; must be of 1024 at most"),
        ("a folder", "must be a file"),
        ("a broken link", "No such file or directory"),
        ("a pipe", "must be a file"),
        ("a bomb", "too many pixels"),
        ("a small bomb", "too many pixels"),
    ],
)
def test_a_faulty_image_is_named_with_the_rule(
    tmp_path: Path, cache: Path, capfd: pytest.CaptureFixture[str], how: str, rule: str
) -> None:
    write_images(tmp_path / "pets", size=64 if how == "a cut TIFF" else 8)
    file = tmp_path / "pets" / "dog" / "3.png"
    spoil(file, how)
    message = refusal(tmp_path / "pets")
    assert str(file) in message
    assert rule in message
    assert not cache.exists() or list(cache.iterdir()) == []
    assert capfd.readouterr() == ("", "")  # libtiff and Pillow would say something of their own


def test_colours_of_16_bits_a_pixel_have_no_more_than_8_a_channel() -> None:
    header = struct.pack("<IiiHHIIiiII", 40, 8, 8, 1, 16, 3, 128, 0, 0, 0, 0) + struct.pack("<III", 0xF800, 0x7E0, 0x1F)
    bmp = b"BM" + struct.pack("<IHHI", 14 + len(header) + 128, 0, 0, 14 + len(header)) + header
    pixels = decoded_bytes(bmp + struct.pack("<H", 0xF800) * 64, 3)
    assert pixels.shape == (1, 8, 8, 3) or pixels.shape == (8, 8, 3)
    assert pixels.reshape(-1, 3).tolist() == [[255, 0, 0]] * 64


def decoded_bytes(encoded: bytes, channels: int) -> NDArray[np.uint8]:
    (chunk,) = EncodedImages(lambda: iter([("x", encoded)])).chunks(8, channels)
    return chunk[0]


# What makes each orientation of EXIF upright, as its specification (JEITA CP-3451) says what is where.
UPRIGHT: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: image[::-1].swapaxes(0, 1),
    7: lambda image: image[::-1, ::-1].swapaxes(0, 1),
    8: lambda image: image[:, ::-1].swapaxes(0, 1),
}


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_is_turned_as_its_exif_says(format: str, channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, channels), dtype=np.uint8)
    if format == "WEBP":  # has no grey
        pixels = np.repeat(pixels, 3 // channels, axis=2)
    for orientation, upright in UPRIGHT.items():
        buffer, exif = io.BytesIO(), Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        options = {"lossless": True, "exact": True} if format == "WEBP" else {}
        Image.fromarray(pixels.squeeze()).save(buffer, format, exif=exif, **options)
        decoded = decoded_bytes(buffer.getvalue(), pixels.shape[2])
        np.testing.assert_array_equal(decoded, upright(pixels), str(orientation))


def test_a_photograph_is_turned_as_its_exif_says() -> None:
    dark_left = np.repeat(np.where(np.arange(8) < 4, 0, 255)[None], 8, axis=0).astype(np.uint8)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # held so that the left became the top
    buffer = io.BytesIO()
    Image.fromarray(dark_left).save(buffer, "JPEG", exif=exif)
    decoded = decoded_bytes(buffer.getvalue(), 1)
    assert decoded[:3].max() < 50 and decoded[5:].min() > 200


@pytest.mark.parametrize("exif", [b"garbage!", b"MM\0*\xff\xff\xff\xff", b"II*\0\x08\0\0\0\x01"])
@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_damaged_exif_says_nothing(exif: bytes, format: str) -> None:
    buffer = io.BytesIO()
    pixels(9).save(buffer, format, exif=b"Exif\0\0" + exif)
    assert decoded_bytes(buffer.getvalue(), 3).tolist() == [[[9, 9, 9]] * 8] * 8


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
