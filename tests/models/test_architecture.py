"""Architectures as values."""

from random import Random

import pytest
from architectures import random_architecture

from models.architecture import Architecture, ArchitectureError, Stage, Stem

RESNET20 = Architecture(Stem(16), tuple(Stage("basic", 3, width) for width in (16, 32, 64)), "A")


def test_json_round_trip_gives_an_equal_architecture() -> None:
    mixed = Architecture(
        Stem(12, 5, 2, 1),
        (Stage("bottleneck", 2, 32, 5, 0.1, 2), Stage("basic", 1, 48, 2, 0.0, 4, "average-pool")),
        "b",
        1,
        7,
    )
    assert Architecture.from_json(mixed.to_json()) == mixed
    assert Architecture.from_dict(mixed.to_dict()) == mixed


def test_fields_with_a_default_may_be_left_out() -> None:
    text = '{"stem": {"width": 16}, "stages": [{"block": "basic", "depth": 3, "width": 16}]}'
    assert Architecture.from_json(text) == Architecture(Stem(16), (Stage("basic", 3, 16),))


def test_canonical_form_forgets_what_changes_nothing() -> None:
    odd = Stage("basic", 1, 16, 3, reduction=2, even_kernel="average-pool")
    assert odd.canonical() == Stage("basic", 1, 16)
    assert Architecture(Stem(16), (odd,), "A").canonical() == Architecture(Stem(16), (Stage("basic", 1, 16),), "B")


def bottleneck(width: int, reduction: int = 4, **fields: int | None) -> Stage:
    return Stage("bottleneck", 1, width, reduction=reduction, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("stage", "same"),
    [
        (bottleneck(64, group_width=16), bottleneck(64)),
        (bottleneck(64, group_width=1_000), bottleneck(64)),
        (bottleneck(64, expansion=3), bottleneck(64)),
        (bottleneck(8, 3), bottleneck(8)),
        (bottleneck(8, 7), bottleneck(8, 8)),
        (bottleneck(12, 6), bottleneck(12, 5)),
        (bottleneck(16, squeeze_excitation=9), bottleneck(16, squeeze_excitation=16)),
        (Stage("basic", 1, 16, group_width=4, expansion=2), Stage("basic", 1, 16)),
        (Stage("inverted", 1, 16, reduction=2, group_width=4), Stage("inverted", 1, 16)),
        (Stage("inverted", 1, 16, even_kernel="average-pool"), Stage("inverted", 1, 16)),
        (Stage("basic", 1, 16, stride=1), Stage("basic", 1, 16)),
    ],
)
def test_equal_stages_have_one_canonical_form(stage: Stage, same: Stage) -> None:
    first, second = (Architecture(Stem(16), (each,)).canonical() for each in (stage, same))
    assert first == second and first.canonical() == first


@pytest.mark.parametrize(
    "stage",
    [
        bottleneck(64, group_width=8),
        bottleneck(64, 2),
        bottleneck(64, squeeze_excitation=4),
        Stage("inverted", 1, 16, expansion=1),
        Stage("basic", 1, 16, stride=2),
    ],
)
def test_canonical_form_keeps_the_fields_that_came_later(stage: Stage) -> None:
    network = Architecture(Stem(16), (stage, stage), preactivation=True, activation="silu", head_width=32)
    own = network.canonical()
    assert (own.preactivation, own.activation, own.head_width, own.stages[0]) == (True, "silu", 32, stage)


def test_a_second_stage_of_stride_two_is_the_usual_one() -> None:
    stages = (Stage("basic", 1, 16), Stage("basic", 1, 32, stride=2))
    assert Architecture(Stem(16), stages).canonical().stages[1].stride is None


def test_a_shortcut_that_no_block_has_is_forgotten() -> None:
    inverted = (Stage("inverted", 1, 8), Stage("inverted", 2, 24))
    assert Architecture(Stem(16), inverted, "A").canonical().shortcut == "B", "inverted blocks may narrow, too"
    kept = (Stage("basic", 1, 16), Stage("basic", 2, 16, stride=1), Stage("inverted", 2, 24))
    assert Architecture(Stem(16), kept, "b").canonical().shortcut == "B"
    assert Architecture(Stem(16), (*kept, Stage("basic", 1, 24)), "b").canonical().shortcut == "b"


def test_what_is_written_of_an_architecture_without_later_fields_is_as_before() -> None:
    assert RESNET20.to_json() == (
        '{"stem": {"width": 16, "kernel": 3, "stride": 1, "padding": 1}, "stages": ['
        + ", ".join(
            f'{{"block": "basic", "depth": 3, "width": {width}, "kernel": 3, "dropout": 0.0, "reduction": 4, '
            '"even_kernel": "pad-then-valid"}'
            for width in (16, 32, 64)
        )
        + '], "shortcut": "A", "in_channels": 3, "num_classes": 10}'
    )


def test_later_fields_are_written_where_they_are_not_the_default() -> None:
    chance = Random(0)
    for _ in range(50):
        network = random_architecture(chance, 16)
        assert Architecture.from_json(network.to_json()) == network
    written = Architecture(Stem(8), (Stage("inverted", 1, 8, expansion=3),), head_width=16).to_dict()
    assert written["head_width"] == 16 and "activation" not in written
    assert written["stages"][0]["expansion"] == 3 and "group_width" not in written["stages"][0]


def test_canonical_form_keeps_what_matters() -> None:
    bottleneck = Stage("bottleneck", 1, 16, 2, reduction=2, even_kernel="average-pool")
    assert bottleneck.canonical() == bottleneck
    assert RESNET20.canonical() == RESNET20


def test_depth_counts_weighted_layers_as_papers_do() -> None:
    assert RESNET20.depth == 20
    assert Architecture(Stem(64), (Stage("bottleneck", 3, 256),)).depth == 11
    inverted = (Stage("inverted", 1, 16, expansion=1), Stage("inverted", 2, 24))
    assert Architecture(Stem(32), inverted, head_width=1_280).depth == 2 + 1 + 2 + 6


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Stage("basic", 0, 16), "depth = 0: must be an integer from 1 to 1024"),
        (lambda: Stage("basic", True, 16), "depth = True"),
        (lambda: Stage("basic", 1, 16, dropout=1.0), "dropout = 1.0"),
        (lambda: Stage("plain", 1, 16), "block = 'plain': must be one of basic, bottleneck, inverted"),  # type: ignore[arg-type]
        (lambda: Stage("bottleneck", 1, 2), "reduction = 4: leaves no channel of width 2"),
        (lambda: Stage("bottleneck", 1, 16, 2), "kernel = 2: a bottleneck has one such convolution"),
        (lambda: bottleneck(96, group_width=16), "group_width = 16: does not divide a bottleneck's 24 inner channels"),
        (lambda: bottleneck(64, group_width=0), "group_width = 0: must be an integer from 1 to 65536, or none"),
        (lambda: bottleneck(8, 12), "reduction = 12: leaves no channel of width 8"),
        (lambda: bottleneck(8, squeeze_excitation=16), "squeeze_excitation = 16: leaves no channel of width 8"),
        (lambda: bottleneck(8, stride=3), "stride = 3: must be an integer from 1 to 2, or none"),
        (lambda: Stage("inverted", 1, 16, 4), "kernel = 4: an inverted block has one such convolution"),
        (lambda: Stage("inverted", 1, 16, expansion=0), "expansion = 0: must be an integer from 1 to 64"),
        (lambda: Architecture(Stem(8), (Stage("basic", 1, 8),), preactivation=1), "preactivation = 1: must be true or"),  # type: ignore[arg-type]
        (lambda: Architecture(Stem(8), (Stage("basic", 1, 8),), activation="mish"), "must be one of relu, silu, gelu"),  # type: ignore[arg-type]
        (lambda: Architecture(Stem(8), (Stage("basic", 1, 8),), head_width=0), "head_width = 0: must be an integer"),
        (lambda: Stem(16, padding=3), "stem.padding = 3"),
        (lambda: Architecture(Stem(16), ()), "stages = 0"),
        (lambda: Architecture(Stem(16), (Stage("basic", 1, 8),), "A"), "cannot narrow 16 channels to 8"),
        (lambda: Architecture(Stem(16), (Stage("basic", 1, 8),), num_classes=1), "num_classes = 1"),
        (lambda: Architecture.from_json("{"), "architecture: not JSON"),
        (lambda: Architecture.from_json("[]"), "architecture = []: must be a mapping"),
        (lambda: Architecture.from_json('{"stages": []}'), "architecture.stem: missing"),
        (lambda: Architecture.from_json('{"stem": {"width": 8, "colour": 1}, "stages": []}'), "stem.colour: unknown"),
        (lambda: Architecture.from_json('{"stem": {"width": 8}, "stages": 3}'), "stages = 3: must be a list"),
    ],
)
def test_a_value_that_no_network_can_have_is_one_line(make: object, message: str) -> None:
    with pytest.raises(ArchitectureError) as caught:
        make()  # type: ignore[operator]
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
