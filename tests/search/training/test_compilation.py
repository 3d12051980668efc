"""Compiled training is the same training; `eager`, a backend of torch's own, runs what was traced as it stands."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from models.architecture import Architecture, Stage, Stem
from models.build import build
from search.errors import TrainingError
from search.protocol import Measurement
from search.recipe import Recipe
from search.training.compilation import INDUCTOR, Compiler, compiled
from search.training.images import Images, Normalisation
from search.training.loop import Training

NETWORK = Architecture(Stem(4), (Stage("basic", 1, 4, dropout=0.2), Stage("bottleneck", 1, 8)))
# The last batch is a half, and is left out; there are averages, and images are mixed in half of the batches.
RECIPE = Recipe(name="test", epochs=2, batch_size=32, lr=0.1, ema_window=0.2, cutmix=1.0, mix_probability=0.5)


def images(num: int) -> Images:
    generator = torch.Generator().manual_seed(num)
    pixels = torch.randint(0, 256, (num, 3, 16, 16), generator=generator, dtype=torch.uint8)
    return Images(pixels, torch.arange(num) % 10)


DATA, VALIDATION = images(112), images(40)


def begin(
    compiler: Compiler | None, network: Architecture = NETWORK, precision: str = "fp32", **options: Any
) -> Training:
    torch.manual_seed(0)
    recipe = RECIPE.fit_to("noise", len(DATA), 16, 3)
    normalise = Normalisation.of(recipe, DATA)
    return Training(
        build(network), recipe, DATA, VALIDATION, normalise, seed=0, precision=precision, compiler=compiler, **options
    )


def without_seconds(measurements: list[Measurement]) -> list[tuple[object, ...]]:
    return [(m.train_loss, m.train_accuracy, m.validation_loss, m.validation_accuracy, m.lr) for m in measurements]


def same(one: nn.Module, two: nn.Module) -> bool:
    states = one.state_dict(), two.state_dict()
    return list(states[0]) == list(states[1]) and all(map(torch.equal, states[0].values(), states[1].values()))


class Counting:
    """A backend that runs what was traced as it stands, and counts the graphs it was given and their calls."""

    def __init__(self) -> None:
        self.num_graphs = self.num_calls = 0

    def __call__(self, graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Any:
        self.num_graphs += 1

        def call(*arguments: torch.Tensor) -> Any:
            self.num_calls += 1
            return graph.forward(*arguments)

        return call


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_compiled_training_is_the_plain_one_to_the_bit(precision: str) -> None:
    # One after the other: both seed the generator that dropout draws from.
    plain = begin(None, precision=precision)
    expected = list(plain.epochs())
    other = begin("eager", precision=precision)
    assert without_seconds(list(other.epochs())) == without_seconds(expected)
    assert same(plain.model, other.model) and same(plain.network, other.network)
    assert not same(other.model, other.network), "the average is apart"


def test_a_training_is_compiled_once_and_measured_without() -> None:
    compiler = Counting()
    training = begin(compiler)
    list(training.epochs())
    assert (compiler.num_graphs, compiler.num_calls) == (1, RECIPE.epochs * training.num_steps)


def test_every_network_of_a_process_is_compiled() -> None:
    # torch gives a function up that it has compiled for eight others.
    compiler = Counting()
    for width in range(1, 11):
        compiled(nn.Sequential(nn.Linear(3, width)), compiler)(torch.ones(2, 3))
    assert compiler.num_graphs == compiler.num_calls == 10


@pytest.mark.parametrize(("first", "second"), [("eager", None), (None, "eager")])
def test_a_training_that_goes_on_may_be_compiled_or_not(first: str | None, second: str | None) -> None:
    whole = begin(None)
    expected = list(whole.epochs())
    one = begin(first)
    next(one.epochs())
    state = copy.deepcopy(one.state())
    assert list(state["model"]) == list(whole.model.state_dict())
    two = begin(second)
    two.restore(state)
    assert without_seconds(list(two.epochs())) == without_seconds(expected[1:])
    assert same(two.model, whole.model) and same(two.network, whole.network)


def test_a_compiled_training_ends_before_its_next_step_where_it_is_unwanted() -> None:
    compiler, answers = Counting(), iter([False] * 2)
    assert list(begin(compiler, is_unwanted=lambda: next(answers, True)).epochs()) == []
    assert compiler.num_calls == 2


def failing(error: Exception) -> Compiler:
    def fail(*_: object) -> None:
        raise error

    return fail


def test_what_torch_cannot_compile_is_one_line_that_says_the_way_out() -> None:
    with pytest.raises(TrainingError) as caught:
        next(begin(failing(OSError("no compiler\nand more"))).epochs())
    assert str(caught.value) == "compile: torch cannot do it here (OSError: no compiler); leave out --compile"


def test_memory_that_is_short_while_compiling_is_no_reason_to_leave_it_out() -> None:
    with pytest.raises(RuntimeError, match="out of memory"):
        next(begin(failing(torch.OutOfMemoryError("CUDA out of memory."))).epochs())


def test_another_error_of_a_compiled_step_is_told_as_it_is() -> None:
    def broken(*_: object) -> Any:
        return failing(RuntimeError("CUDA error: misaligned address"))

    with pytest.raises(RuntimeError, match=r"^CUDA error: misaligned address$"):
        next(begin(broken).epochs())


# By torch's own compiler.


@pytest.fixture
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))


@pytest.mark.slow
@pytest.mark.usefixtures("own_cache")
def test_without_a_cpp_compiler_there_is_one_line() -> None:
    from torch._inductor import config

    with config.patch("cpp.cxx", (None, "no-such-compiler")), pytest.raises(TrainingError) as caught:
        next(begin(INDUCTOR).epochs())
    said = str(caught.value)
    assert said.startswith("compile: torch cannot do it here (InvalidCxxCompiler: No working C++ compiler found")
    assert said.endswith("no-such-compiler')); leave out --compile") and "\n" not in said


@pytest.mark.slow
@pytest.mark.usefixtures("own_cache")
@pytest.mark.filterwarnings("default")
def test_torchs_own_compiler_trains_nearly_alike() -> None:
    network = Architecture(Stem(4), (Stage("basic", 1, 4),))
    plain = list(begin(None, network).epochs())
    own = list(begin(INDUCTOR, network).epochs())
    assert own[-1].train_loss == pytest.approx(plain[-1].train_loss, rel=1e-3)
    assert own[0].validation_loss == pytest.approx(plain[0].validation_loss, rel=1e-3)
