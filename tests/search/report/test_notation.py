"""How numbers and networks are written."""

import pytest

from models.architecture import Architecture, Stage, Stem
from models.baselines import BASELINES, find_baseline
from search.report import notation


def test_a_design_is_written_on_one_line():
    network = Architecture(
        Stem(16, kernel=5, stride=2),
        (Stage("basic", 3, 16), Stage("basic", 3, 32, kernel=5), Stage("bottleneck", 4, 256, dropout=0.1)),
        shortcut="A",
    )
    expected = "stem 16 k5 s2; basic 3x16, 3x32 k5, bottleneck 4x256 p0.1; shortcut A"
    assert notation.design(network) == expected.replace("x", "\N{MULTIPLICATION SIGN}")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(8.24, "8.2 s"), (245, "4 min 5 s"), (3600, "1 h"), (11_530, "3 h 12 min"), (200_000, "2 d 7 h"), (None, "–")],  # noqa: RUF001
)
def test_durations_are_written_in_their_two_largest_units(seconds, text):
    assert notation.duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (999, "999"),
        (4_912_330, "4.91M"),
        (999_999, "1M"),
        (1.63e9, "1.63G"),
        (3.52e12, "3.52T"),
        (8e16, "80,000T"),
        (0, "0"),
    ],
)
def test_counts_are_shortened_to_three_digits(number, text):
    assert notation.short(number) == text


def test_what_came_later_is_written_where_it_is_not_the_default():
    stages = (
        Stage("inverted", 2, 16, expansion=3, stride=2),
        Stage("bottleneck", 1, 64, 7, reduction=2, group_width=8),
        Stage("bottleneck", 1, 64, squeeze_excitation=16, group_width=64),
    )
    network = Architecture(Stem(8), stages, preactivation=True, activation="silu", head_width=256)
    expected = "stem 8; inverted 2*16 x3 s2, bottleneck 1*64 k7 /2 g8, 1*64 se16; head 256; preactivated; silu"
    assert notation.design(network) == expected.replace("*", "\N{MULTIPLICATION SIGN}")


def test_hand_made_networks_that_differ_are_written_differently():
    networks = {name: find_baseline(name, 3, 10).canonical() for name in BASELINES}
    assert len(set(map(notation.design, networks.values()))) == len(set(networks.values())) > 15
    assert " average-pool" in notation.design(networks["flexible-6"])
    stem = Architecture(Stem(16, padding=0), (Stage("basic", 1, 16),))
    assert notation.design(stem).startswith("stem 16 pad0;")
