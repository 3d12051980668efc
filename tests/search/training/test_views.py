"""Test-time augmentation averages logits over views, with the weights of cifar10-airbench."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.architecture import Architecture, Stage, Stem
from models.build import build
from search.trained_network import Augmentation, num_passes
from search.training.images import Images, Normalisation
from search.training.loop import evaluate_fully
from search.training.views import Views, evaluate_augmented

IMAGES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (60, 3, 8, 8), dtype=np.uint8))


class Pixels(nn.Module):
    """Two logits an image: a pixel in a corner of it, and one in its middle. It counts its passes."""

    passes = 0

    def forward(self, images: Tensor) -> Tensor:
        self.passes += 1
        return torch.stack((images[:, 0, 0, 0], images[:, 0, 3, 4]), 1)


@pytest.mark.parametrize(
    ("augmentation", "mirrored", "weights"),
    [
        # (row, column) of the image that a view puts where the middle pixel is read, and its weight.
        ("mirror", True, {(3, 4): 1 / 2, (3, 3): 1 / 2}),
        ("shifts", True, {(3, 4): 1 / 4, (3, 3): 1 / 4,
                          (4, 5): 1 / 8, (4, 4): 1 / 8, (2, 3): 1 / 8, (2, 2): 1 / 8}),
        ("shifts", False, {(3, 4): 1 / 2, (4, 5): 1 / 4, (2, 3): 1 / 4}),
    ],
)  # fmt: skip
def test_logits_are_averaged_over_views_with_their_weights(
    augmentation: Augmentation, mirrored: bool, weights: dict[tuple[int, int], float]
) -> None:
    network, images = Pixels(), IMAGES.float()
    logits = Views(network, augmentation, mirrored)(images)
    expected = sum(weight * images[:, 0, row, column] for (row, column), weight in weights.items())
    torch.testing.assert_close(logits[:, 1], expected)
    assert network.passes == num_passes(augmentation, mirrored) == len(weights)


def test_a_shift_down_and_right_reflects_what_it_has_not() -> None:
    images = IMAGES.float()
    logits = Views(Pixels(), "shifts", mirrored=False)(images)
    expected = images[:, 0, 0, 0] / 2 + images[:, 0, 1, 1] / 4 + images[:, 0, 1, 1] / 4
    torch.testing.assert_close(logits[:, 0], expected)


def test_passes_without_augmentation_are_one() -> None:
    assert num_passes(None, True) == num_passes(None, False) == 1


def test_accuracies_are_those_of_averaged_logits_and_the_plain_one_stays() -> None:
    torch.manual_seed(0)
    network = build(Architecture(Stem(4), (Stage("basic", 1, 8),), num_classes=4))
    network(torch.randn(64, 3, 8, 8))
    data = Images(IMAGES, torch.arange(60) % 4)
    normalise = Normalisation.from_constants((0.5,) * 3, (0.25,) * 3, torch.device("cpu"))
    plain = evaluate_fully(network, data, normalise, "fp32")
    mirror = evaluate_augmented(network, data, normalise, "fp32", True, "mirror")
    assert evaluate_fully(network, data, normalise, "fp32") == plain
    with torch.inference_mode():
        pixels = (IMAGES.double().float() / 255 - 0.5) / 0.25
        both = (network(pixels) + network(pixels.flip(-1))) / 2
    assert (mirror.augmentation, mirror.passes) == ("mirror", 2)
    assert mirror.accuracy == pytest.approx((both.argmax(1) == data.labels).double().mean().item())
