from pathlib import Path

import numpy as np
import torch
from PIL import Image

from search.protocol import ContactSheet
from search.recipe import Recipe
from search.training.contact_sheet import NUM_DRAWS, draw_contact_sheet
from search.training.images import Images

PLAIN = Recipe(name="plain", epochs=1)


def images(num: int, size: int, channels: int = 3) -> Images:
    pixels = torch.randint(0, 256, (num, channels, size, size), generator=torch.Generator().manual_seed(0))
    return Images(pixels.to(torch.uint8), torch.arange(num))


def drawn(path: Path, recipe: Recipe, data: Images, seed: int = 0) -> np.ndarray:
    draw_contact_sheet(ContactSheet(recipe, seed, path), data)
    return np.asarray(Image.open(path))


def cells(sheet: np.ndarray, size: int) -> list[list[np.ndarray]]:
    """The images of a sheet by row and column; each has a border of two pixels."""
    step = size + 2
    rows, columns = (sheet.shape[0] - 2) // step, (sheet.shape[1] - 2) // step
    return [
        [sheet[2 + step * r : step * (r + 1), 2 + step * c : step * (c + 1)] for c in range(columns)]
        for r in range(rows)
    ]


def test_without_augmentation_every_column_is_the_image_itself(tmp_path: Path) -> None:
    data = images(3, 64)
    grid = cells(drawn(tmp_path / "sheet.png", PLAIN, data), 64)
    assert (len(grid), len(grid[0])) == (3, 1 + NUM_DRAWS)
    originals = {image.permute(1, 2, 0).numpy().tobytes() for image in data.images}
    for row in grid:
        assert all(np.array_equal(row[0], other) for other in row[1:])
        assert row[0].tobytes() in originals


def test_augmentation_changes_all_but_the_first_column(tmp_path: Path) -> None:
    recipe = Recipe(name="crops", epochs=1, crop_padding=8, flip=True)
    grid = cells(drawn(tmp_path / "a" / "sheet.png", recipe, images(12, 64)), 64)
    assert len(grid) == 8
    assert all(not np.array_equal(row[0], other) for row in grid for other in row[1:3])


def test_small_and_grey_images_are_enlarged(tmp_path: Path) -> None:
    grid = cells(drawn(tmp_path / "sheet.png", PLAIN, images(2, 8, channels=1)), 64)
    small = grid[0][0][::8, ::8]
    assert np.array_equal(small.repeat(8, 0).repeat(8, 1), grid[0][0])


def test_the_seed_fixes_the_sheet(tmp_path: Path) -> None:
    recipe = Recipe(name="crops", epochs=1, crop_padding=8, cutmix=1.0)
    one, two, other = (drawn(tmp_path / f"{n}.png", recipe, images(8, 32), seed) for n, seed in enumerate((0, 0, 1)))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)
