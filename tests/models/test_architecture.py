"""Architectures as values."""

import pytest

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


def test_canonical_form_keeps_what_matters() -> None:
    bottleneck = Stage("bottleneck", 1, 16, 2, reduction=2, even_kernel="average-pool")
    assert bottleneck.canonical() == bottleneck
    assert RESNET20.canonical() == RESNET20


def test_depth_counts_weighted_layers_as_papers_do() -> None:
    assert RESNET20.depth == 20
    assert Architecture(Stem(64), (Stage("bottleneck", 3, 256),)).depth == 11


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Stage("basic", 0, 16), "depth = 0: must be an integer from 1 to 1024"),
        (lambda: Stage("basic", True, 16), "depth = True"),
        (lambda: Stage("basic", 1, 16, dropout=1.0), "dropout = 1.0"),
        (lambda: Stage("plain", 1, 16), "block = 'plain': must be one of basic, bottleneck"),  # type: ignore[arg-type]
        (lambda: Stage("bottleneck", 1, 2), "reduction = 4: leaves no channel of width 2"),
        (lambda: Stage("bottleneck", 1, 16, 2), "kernel = 2: a bottleneck has one such convolution"),
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
