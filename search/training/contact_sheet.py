"""A contact sheet: training images beside their augmentations by a recipe, to look at."""

import torch
from torch import Tensor

from search.protocol import ContactSheet
from search.training.images import Images, Normalisation
from search.training.pipeline import Pipeline
from search.writing import replacing

NUM_IMAGES = 8
NUM_DRAWS = 9
MIN_SIZE = 64  # pixels; smaller images are enlarged


def draw_contact_sheet(sheet: ContactSheet, data: Images) -> None:
    """Write a PNG with one row per image: the image itself, then independent draws of its augmentation.

    The images are drawn at random from `data`. They are shown as the network sees them, converted back from normalised
    values to colours: zeros around crops and the holes of cutout have the mean colour.

    Raises:
        StorageError: the file cannot be written.
    """
    from torchvision.utils import make_grid, save_image  # takes a second and more, which no training need pay

    generator = torch.Generator(data.device).manual_seed(sheet.seed)
    normalise = Normalisation.of(sheet.recipe, data)
    pipeline = Pipeline(sheet.recipe, normalise, generator, torch.Generator().manual_seed(sheet.seed + 1))
    chosen = torch.randperm(len(data), generator=generator, device=data.device)[:NUM_IMAGES]
    pixels, labels = data.images[chosen], data.labels[chosen]
    columns = [normalise(pixels)] + [pipeline(pixels, labels).images for _ in range(NUM_DRAWS)]
    images = torch.stack(columns, dim=1).flatten(0, 1)
    shown = _enlarged(((images - normalise.offset) / normalise.factor / 255).clamp(0, 1))
    sheet.path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(sheet.path) as path:
        save_image(make_grid(shown, nrow=1 + NUM_DRAWS, pad_value=1.0), path, format="png")


def _enlarged(images: Tensor) -> Tensor:
    factor = -(-MIN_SIZE // images.shape[-1])
    return images.repeat_interleave(factor, dim=2).repeat_interleave(factor, dim=3)
