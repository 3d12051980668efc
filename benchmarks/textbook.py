"""The training loop that people write for CIFAR-10, and the same loop tuned for CUDA.

`train_epoch` is the textbook's: a DataLoader, torchvision's transforms on PIL images, float32, and the loss read at
every step. `train_epoch_tuned` follows the usual advice: bf16, channels_last, non-blocking copies, a fused optimiser,
and nothing read before the end of the epoch; its loader has many workers and pinned memory. Both are faster than most
scripts of their kind: workers live from epoch to epoch. The cosine falls with every step.

`train` is all of the textbook's training, and `accuracy_of` its test.

Hyperparameters come from a recipe, so that ours and theirs train alike: `RECIPE` is the script's ('report4') without
its colour jitter, `RECIPE_WITH_JITTER` is all of it.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from models.architecture import Architecture
from models.build import build
from search.recipe import Recipe
from search.recipes import RECIPES

RECIPE_WITH_JITTER = RECIPES["report4"]
RECIPE = RECIPE_WITH_JITTER.model_copy(update={"color_jitter": None})

Loader = DataLoader[Any]  # of batches: images (N, C, H, W) and labels (N,)


class Pictures(Dataset[tuple[Tensor, int]]):
    """Images (N, H, W, 3) or (N, H, W), given one at a time as torchvision's CIFAR10 does: a PIL image, transformed."""

    def __init__(
        self, images: NDArray[np.uint8], labels: NDArray[np.int64], transform: Callable[[Image.Image], Tensor]
    ) -> None:
        self.images = np.array(images)
        self.labels = labels.tolist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


def make_transform(recipe: Recipe, image_size: int) -> transforms.Compose:
    """Crop, flip and colour jitter as the recipe has them, then ToTensor and Normalize.

    Crops have a black border, as torchvision's do by default; ours have the mean colour.
    """
    steps: list[Callable[..., object]] = []
    _, padding, _ = recipe.sizes
    if padding:
        steps.append(transforms.RandomCrop(image_size, padding=padding))
    if recipe.flip:
        steps.append(transforms.RandomHorizontalFlip())
    if (jitter := recipe.color_jitter) is not None:
        steps.append(transforms.ColorJitter(jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue))
    return transforms.Compose([*steps, transforms.ToTensor(), transforms.Normalize(recipe.mean, recipe.std)])


def make_loader(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    recipe: Recipe,
    *,
    num_workers: int,
    pin_memory: bool = False,
) -> Loader:
    """Training batches in random order, without the incomplete last one."""
    batch_size, _, _ = recipe.sizes
    return DataLoader(
        Pictures(images, labels, make_transform(recipe, images.shape[1])),
        batch_size=batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=num_workers,
        pin_memory=pin_memory,
        persistent_workers=num_workers > 0,
    )


def make_optimizer(
    model: nn.Module, recipe: Recipe, num_steps: int, fused: bool = False
) -> tuple[torch.optim.Optimizer, LRScheduler]:
    """SGD as the recipe has it, and a cosine over `num_steps` steps."""
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=recipe.lr,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.nesterov,
        fused=fused or None,
    )
    return optimizer, CosineAnnealingLR(optimizer, T_max=num_steps)


def train_epoch(
    model: nn.Module, loader: Loader, optimizer: torch.optim.Optimizer, scheduler: LRScheduler, device: torch.device
) -> tuple[float, float]:
    """Mean loss and accuracy of one epoch of training."""
    model.train()
    criterion = nn.CrossEntropyLoss()
    total_loss, num_correct, num_images = 0.0, 0, 0
    for images, labels in loader:
        images, labels = images.to(device), labels.to(device)
        optimizer.zero_grad()
        outputs = model(images)
        loss = criterion(outputs, labels)
        loss.backward()
        optimizer.step()
        scheduler.step()
        total_loss += loss.item() * len(labels)
        num_correct += outputs.argmax(dim=1).eq(labels).sum().item()
        num_images += len(labels)
    return total_loss / num_images, num_correct / num_images


def train_epoch_tuned(
    model: nn.Module, loader: Loader, optimizer: torch.optim.Optimizer, scheduler: LRScheduler, device: torch.device
) -> tuple[float, float]:
    """As `train_epoch`, in bf16 and without waiting for the device; the model must be in channels_last."""
    model.train()
    criterion = nn.CrossEntropyLoss()
    total_loss, num_correct = torch.zeros((), device=device), torch.zeros((), device=device)
    num_images = 0
    for images, labels in loader:
        images = images.to(device, memory_format=torch.channels_last, non_blocking=True)
        labels = labels.to(device, non_blocking=True)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16):
            outputs = model(images)
            loss = criterion(outputs, labels)
        loss.backward()
        optimizer.step()
        scheduler.step()
        total_loss += loss.detach() * len(labels)
        num_correct += outputs.argmax(dim=1).eq(labels).sum()
        num_images += len(labels)
    return total_loss.item() / num_images, num_correct.item() / num_images


def train(
    network: Architecture, images: NDArray[np.uint8], labels: NDArray[np.int64], epochs: int, num_workers: int = 0
) -> Iterator[tuple[int, nn.Module]]:
    """The textbook loop on images (N, H, W, C): after each epoch its number and the model."""
    recipe = recipe_for(images)
    model, device = build(network), torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)
    loader = make_loader(images, labels, recipe, num_workers=num_workers)
    optimizer, scheduler = make_optimizer(model, recipe, epochs * len(loader))
    for epoch in range(1, epochs + 1):
        train_epoch(model, loader, optimizer, scheduler, device)
        yield epoch, model


def recipe_for(images: NDArray[np.uint8]) -> Recipe:
    """The script's, its crop in proportion to the image, normalised by these images."""
    scaled = images.reshape(-1, images.shape[-1]) / 255
    mean, std = tuple(scaled.mean(axis=0).tolist()), tuple(scaled.std(axis=0).tolist())
    return RECIPE.model_copy(update={"mean": mean, "std": std, "crop_padding": images.shape[1] // 8, "lr": 0.1})


@torch.no_grad()
def accuracy_of(
    model: nn.Module, images: NDArray[np.uint8], labels: NDArray[np.int64], training: NDArray[np.uint8]
) -> float:
    """Top-1 accuracy on images (N, H, W, C), of a model that was trained on `training`."""
    recipe, device = recipe_for(training), next(model.parameters()).device
    model.eval()
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (recipe.mean, recipe.std))
    correct = 0
    for start in range(0, len(labels), 1_000):
        batch = torch.from_numpy(images[start : start + 1_000]).permute(0, 3, 1, 2) / 255
        predicted = model(((batch - mean) / std).float().to(device)).argmax(dim=1).cpu().numpy()
        correct += int((predicted == labels[start : start + 1_000]).sum())
    return correct / len(labels)
