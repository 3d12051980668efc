"""Teachers give soft labels at the student's own images, and nothing of them changes."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from models.architecture import Architecture, Stage, Stem
from models.build import build
from search.errors import TrainingError
from search.recipe import Recipe
from search.teaching import Lesson
from search.trained_network import TrainedNetwork
from search.training.images import Images, Normalisation
from search.training.loop import Training
from search.training.network import begin
from search.training.teachers import Teachers

CPU = torch.device("cpu")
STUDENT = Architecture(Stem(4), (Stage("basic", 1, 4, dropout=0.2),))
DESIGNS = [
    Architecture(Stem(8), (Stage("basic", 1, 8, dropout=0.3),)),
    Architecture(Stem(4), (Stage("bottleneck", 1, 8),)),
]
GENERATOR = torch.Generator().manual_seed(0)
DATA = Images(
    torch.randint(0, 256, (80, 3, 8, 8), dtype=torch.uint8, generator=GENERATOR),
    torch.randint(0, 10, (80,), generator=GENERATOR),
)
NORMALISE = Normalisation.from_constants((0.4, 0.5, 0.6), (0.2, 0.25, 0.3), CPU)
CONSTANTS = [((0.5, 0.5, 0.5), (0.3, 0.2, 0.1)), ((), ())]
RECIPE = Recipe(name="test", epochs=3, batch_size=16, label_smoothing=0.1, crop_padding=1, cutmix=1.0)


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> list[TrainedNetwork]:
    """Two networks with statistics of their own; of the second no normalisation is known."""
    saved = []
    for number, design in enumerate(DESIGNS):
        path = tmp_path_factory.mktemp("teacher") / "weights.safetensors"
        torch.manual_seed(number)
        model = build(design)
        with torch.no_grad():
            for _ in range(3):
                model(NORMALISE(DATA.images))
        save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, path)
        saved.append(TrainedNetwork(design, path, *CONSTANTS[number], "fp32"))
    return saved


@pytest.fixture
def teach(networks: list[TrainedNetwork]) -> Callable[..., Teachers]:
    def make(temperature: float = 4.0, share: float = 0.9) -> Teachers:
        return Teachers(Lesson(tuple(networks), temperature, share, "digest"), NORMALISE, CPU)

    return make


def plain_logits(network: TrainedNetwork, pixels: Tensor) -> Tensor:
    """The logits of uint8 images, as whoever uses the network computes them."""
    from safetensors.torch import load_file

    model = build(network.architecture)
    model.load_state_dict(load_file(network.weights))
    mean, std = (
        torch.tensor(values).view(-1, 1, 1) for values in (network.mean or NORMALISE.mean, network.std or NORMALISE.std)
    )
    with torch.no_grad():
        logits: Tensor = model.eval()((pixels.float() / 255 - mean) / std)
    return logits


@pytest.mark.parametrize(("temperature", "share"), [(4.0, 0.9), (1.0, 0.5), (2.0, 1.0)])
def test_the_loss_is_that_of_hinton_with_the_mean_of_the_teachers_probabilities(
    teach: Callable[..., Teachers], networks: list[TrainedNetwork], temperature: float, share: float
) -> None:
    pixels, labels = DATA.images[:16], DATA.labels[:16]
    logits = torch.randn(16, 10, generator=torch.Generator().manual_seed(1))
    cross_entropy = functional.cross_entropy(logits, labels)
    soft = sum(functional.softmax(plain_logits(network, pixels) / temperature, 1) for network in networks) / 2
    student = functional.log_softmax(logits / temperature, 1)
    divergence = (soft * (torch.log(soft) - student)).sum(1).mean()
    expected = (1 - share) * cross_entropy + share * temperature**2 * divergence
    given = teach(temperature, share).loss(cross_entropy, logits, NORMALISE(pixels))
    torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-6)


def run(teachers: Teachers | None, **options: Any) -> Training:
    torch.manual_seed(0)
    teach = teachers.loss if teachers is not None else None
    return Training(
        begin(STUDENT, RECIPE), RECIPE, DATA, DATA, NORMALISE, seed=0, precision="fp32", teach=teach, **options
    )


def state_of(teachers: Teachers) -> list[Tensor]:
    return [tensor.clone() for model, *_ in teachers._networks for tensor in model.state_dict().values()]


def test_the_student_learns_and_the_teachers_stay_as_they_are(teach: Callable[..., Teachers]) -> None:
    teachers = teach()
    before = state_of(teachers)
    training = run(teachers)
    first, *_, last = list(training.epochs())
    assert all(torch.equal(*pair) for pair in zip(before, state_of(teachers), strict=True))
    assert all(parameter.grad is None for model, *_ in teachers._networks for parameter in model.parameters())
    alone = next(run(None).epochs())
    assert first.first_loss == alone.first_loss, "a training's loss is its cross-entropy, at the same images"
    assert first.train_loss != alone.train_loss and last.train_loss < first.train_loss


def test_a_resumed_training_with_teachers_is_the_uninterrupted_one(teach: Callable[..., Teachers]) -> None:
    whole = run(teach())
    epochs = whole.epochs()
    next(epochs)
    state = copy.deepcopy(whole.state())
    list(epochs)
    resumed = run(teach())
    resumed.restore(state)
    list(resumed.epochs())
    pairs = zip(whole.model.state_dict().values(), resumed.model.state_dict().values(), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)


def test_a_teacher_whose_weights_are_not_finite_is_refused(networks: list[TrainedNetwork], tmp_path: Path) -> None:
    model = build(DESIGNS[0])
    tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    next(iter(tensors.values())).fill_(float("nan"))
    save_file(tensors, tmp_path / "weights.safetensors")
    broken = TrainedNetwork(DESIGNS[0], tmp_path / "weights.safetensors", (), (), "fp32")
    with pytest.raises(TrainingError, match="holds weights that are not finite, and can teach nobody"):
        Teachers(Lesson((networks[1], broken), 4.0, 0.9, "digest"), NORMALISE, CPU)
