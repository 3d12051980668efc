"""Test-time augmentation: a network's logits averaged over several views of an image.

The views and their weights are those of cifar10-airbench (https://github.com/KellerJordan/cifar10-airbench, its TTA
levels 1 and 2). Averaged are logits, before the softmax. 'mirror' gives the image and its mirror half of the weight
each. 'shifts' gives half of it to what 'mirror' gives, and a quarter each to the same of the image shifted by a pixel
up and left, and down and right, padded by reflection. Images that must not be mirrored have no mirrored views.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from search.trained_network import Augmentation, AugmentedResult, num_passes
from search.training.images import Images, Normalisation
from search.training.loop import evaluate
from search.training.mixed_precision import MEMORY_FORMAT


class Views(nn.Module):
    """A network whose logits (N, classes), float32, are averages over views of the images (N, C, H, W).

    Args:
        mirrored: whether mirrored images are among the views.
    """

    def __init__(self, network: nn.Module, augmentation: Augmentation, mirrored: bool) -> None:
        super().__init__()
        self.network = network
        self.shifted = augmentation == "shifts"
        self.mirrored = mirrored

    def forward(self, images: Tensor) -> Tensor:
        logits = self._of_sides(images)
        if self.shifted:
            height, width = images.shape[2:]
            padded = F.pad(images, (1, 1, 1, 1), mode="reflect")
            up_left, down_right = padded[:, :, 2:, 2:], padded[:, :, :height, :width]
            logits = 0.5 * logits + 0.25 * self._of_sides(up_left) + 0.25 * self._of_sides(down_right)
        return logits

    def _of_sides(self, images: Tensor) -> Tensor:
        logits = self._logits(images)
        return 0.5 * logits + 0.5 * self._logits(images.flip(3)) if self.mirrored else logits

    def _logits(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images.contiguous(memory_format=MEMORY_FORMAT))
        return logits.float()


def evaluate_augmented(
    network: nn.Module,
    data: Images,
    normalise: Normalisation,
    precision: str,
    mirrored: bool,
    augmentation: Augmentation,
) -> AugmentedResult:
    """The accuracy of a network on `data` with test-time augmentation.

    Raises:
        TrainingError: a loss is not finite.
    """
    result = evaluate(Views(network, augmentation, mirrored), data, normalise, precision)
    return AugmentedResult(augmentation, num_passes(augmentation, mirrored), result.accuracy)
