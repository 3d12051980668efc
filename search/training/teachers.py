"""Teachers: trained networks whose probabilities another learns beside the labels (https://arxiv.org/abs/1503.02531)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from search.errors import TrainingError
from search.teaching import Lesson
from search.training.images import Normalisation
from search.training.mixed_precision import MEMORY_FORMAT
from search.training.predictor import load


class Teachers:
    """The networks of a lesson, frozen on a device. They draw no random numbers, and nothing of them changes.

    Args:
        lesson: the networks, the temperature, and the share of the loss.
        normalise: the normalisation of the images that the student sees.

    Raises:
        TrainingError: weights do not belong to their architecture, cannot be read, or are not finite.
    """

    def __init__(self, lesson: Lesson, normalise: Normalisation, device: torch.device) -> None:
        self._temperature = lesson.temperature
        self._share = lesson.share
        self._networks: list[tuple[nn.Module, Tensor, Tensor]] = []
        for network in lesson.networks:
            model = load(network, device).requires_grad_(False)
            if not all(bool(tensor.isfinite().all()) for tensor in model.state_dict().values()):
                raise TrainingError(f"{network.weights}: holds weights that are not finite, and can teach nobody")
            constants = network.mean or normalise.mean, network.std or normalise.std
            ours, theirs = (
                torch.tensor(values, dtype=torch.float64).view(2, -1, 1, 1)
                for values in ((normalise.mean, normalise.std), constants)
            )
            factor, offset = ours[1] / theirs[1], (ours[0] - theirs[0]) / theirs[1]
            self._networks.append((model, factor.float().to(device), offset.float().to(device)))

    @torch.no_grad()
    def probabilities(self, images: Tensor) -> Tensor:
        """The mean over the teachers of their probabilities (N, classes) at the temperature, in float32.

        Args:
            images: (N, C, H, W), normalised for the student. Each teacher sees the same in its own normalisation.
        """
        soft = []
        for model, factor, offset in self._networks:
            seen = torch.addcmul(offset, images.float(), factor).to(images.dtype)
            logits: Tensor = model(seen.contiguous(memory_format=MEMORY_FORMAT))
            soft.append(functional.softmax(logits.float() / self._temperature, dim=1))
        return torch.stack(soft).mean(dim=0)

    def loss(self, cross_entropy: Tensor, logits: Tensor, images: Tensor) -> Tensor:
        """The loss (1 - share) * cross-entropy + share * T^2 * KL(teachers || student), in nats, averaged over images.

        The square of the temperature T keeps gradients as large as they are at 1 (Hinton et al., section 2.1).

        Args:
            cross_entropy: of the student with the labels.
            logits: the student's (N, classes).
            images: those that it has seen.
        """
        student = functional.log_softmax(logits.float() / self._temperature, dim=1)
        divergence = functional.kl_div(student, self.probabilities(images), reduction="batchmean")
        return (1 - self._share) * cross_entropy + self._share * self._temperature**2 * divergence
