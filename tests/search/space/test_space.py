"""The language of space.yaml, and networks as vectors of choices."""

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from optuna.distributions import CategoricalDistribution, IntDistribution

from models.architecture import Architecture, ArchitectureError, Stage, Stem
from models.baselines import find_baseline
from models.count import count_parameters
from search.errors import SpaceError
from search.space.space import NAMES, Space, Task, default_space_text, load_space, space_text

CIFAR = Task(32, 3, 10)

SMALLEST: dict[str, Any] = {"stem": {"width": 8}, "num_stages": 1, "stage": {"block": "basic", "depth": 1, "width": 8}}

# All that the language can say, in small sizes.
EVERYTHING = Space.model_validate(
    {
        "stem": {"width": [4, 8, 12], "kernel": [3, 5], "stride": [1, 2], "padding": [1, 2]},
        "num_stages": [1, 2, 3, 4],
        "stage": {
            "block": ["basic", "bottleneck"],
            "depth": [1, 2, 3],
            "width": [4, 8, 12, 16],
            "kernel": [1, 2, 3, 4, 5],
            "reduction": [1, 2, 4],
            "even_kernel": ["pad-then-valid", "average-pool"],
        },
        "overrides": {2: {"kernel": [3, 4], "depth": [5, 7]}, 4: {"block": "basic", "width": [16, 24]}},
        "dropout": [0.0, 0.1],
        "shortcut": ["A", "B", "b"],
    }
)


def space(**changes: Any) -> Space:
    """The smallest space with other values: `stage_width=[8, 16]` sets `width` of `stage`."""
    values: dict[str, Any] = {name: dict(part) if isinstance(part, dict) else part for name, part in SMALLEST.items()}
    for name, value in changes.items():
        part, _, field = name.partition("_")
        if part in ("stem", "stage"):
            values[part][field] = value
        else:
            values[name] = value
    return Space.model_validate(values)


def refusal(folder: Path, text: str) -> str:
    """What `load_space` says about that file, without the file's name."""
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SpaceError) as caught:
        load_space(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


def refusal_of(folder: Path, *keys: str | int, value: Any) -> str:
    """What `load_space` says about the smallest space with another value at that place."""
    values = yaml.safe_load(yaml.safe_dump(SMALLEST))
    place = values
    for key in keys[:-1]:
        place = place.setdefault(key, {})
    place[keys[-1]] = value
    return refusal(folder, yaml.safe_dump(values))


def random_vector(of: Space, rng: random.Random) -> dict[str, int | str]:
    return {slot.name: slot.value(rng.randrange(len(slot.choices))) for slot in of.slots}


# The default space.


def test_the_default_space_is_what_its_file_says() -> None:
    default = load_space()
    assert default.stem.width == (8, 12, 16, 24, 32, 48, 64, 96, 128)
    assert (default.stem.kernel, default.stem.stride, default.stem.padding) == ((3,), (1,), (1,))
    assert default.num_stages == (2, 3, 4)
    assert default.stage.block == ("basic", "bottleneck")
    assert default.stage.depth == tuple(range(1, 19))
    assert default.stage.width == (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
    assert (default.stage.kernel, default.stage.reduction) == ((3, 5), (4,))
    assert default.stage.even_kernel == ("pad-then-valid",)
    assert default.overrides == {}
    assert default.dropout == (0.0, 0.1, 0.2)
    assert default.shortcut == ("A", "B", "b")
    assert default.rules.non_decreasing_width
    assert (
        default.weights is not None
        and default.weights.text
        == "num_stages first, equal; stage.depth steep; all else equal; of a limit on MACs 50% or more used"
    )


def test_the_default_space_is_a_vector_of_twenty_slots() -> None:
    stages = [f"stage{index}_{name}" for index in range(1, 5) for name in ("block", "depth", "width", "kernel")]
    assert [slot.name for slot in load_space().slots] == ["num_stages", "stem_width", "shortcut", "dropout", *stages]


def test_the_default_text_read_from_a_file_is_the_default_space(tmp_path: Path) -> None:
    path = tmp_path / "copy.yaml"
    path.write_text(default_space_text(), encoding="utf-8")
    assert load_space(path) == load_space()


def _network(
    stem: int, stages: list[tuple[str, int, int]], shortcut: str = "B", dropout: float = 0.0, **of_stem: int
) -> Architecture:
    built = tuple(Stage(block, depth, width, dropout=dropout) for block, depth, width in stages)  # type: ignore[arg-type]
    return Architecture(Stem(stem, **of_stem), built, shortcut)  # type: ignore[arg-type]


def _basic(*depths_and_widths: tuple[int, int]) -> list[tuple[str, int, int]]:
    return [("basic", depth, width) for depth, width in depths_and_widths]


def _bottleneck(*depths_and_widths: tuple[int, int]) -> list[tuple[str, int, int]]:
    return [("bottleneck", depth, width) for depth, width in depths_and_widths]


HAND_MADE = {
    "resnet20-A": _network(16, _basic((3, 16), (3, 32), (3, 64)), "A"),
    "resnet20-B": _network(16, _basic((3, 16), (3, 32), (3, 64))),
    "resnet56": _network(16, _basic((9, 16), (9, 32), (9, 64))),
    "modified-resnet": _network(64, _basic((2, 64), (2, 128), (2, 256))),
    "resnet10": _network(64, _basic((1, 64), (1, 128), (1, 256), (1, 512))),
    "resnet40": _network(32, _basic((5, 32), (7, 64), (4, 128), (3, 256))),
    "resnet102": _network(16, _basic((8, 16), (13, 32), (17, 64), (12, 128))),
    "flexible-2": _network(64, _basic((2, 128), (2, 256)) + _bottleneck((5, 256), (6, 512)), "b", 0.1),
    "flexible-5": _network(64, _basic((3, 64), (5, 128)) + _bottleneck((9, 256), (9, 512)), "b", 0.1),
    "flexible-7": _network(64, _bottleneck((2, 128), (6, 256), (6, 512), (2, 1024)), "b", 0.1),
}


@pytest.mark.parametrize("name", HAND_MADE)
def test_hand_made_networks_of_at_most_5m_are_in_the_default_space(name: str) -> None:
    default, network = load_space(), HAND_MADE[name]
    assert count_parameters(network) <= 5_000_000
    assert default.decode(default.encode(network), CIFAR) == network.canonical()


def test_flexible_3_is_outside_the_default_space_by_its_stem_and_by_its_depth() -> None:
    stages = _basic((3, 64), (5, 128)) + _bottleneck((26, 256), (5, 512))
    with pytest.raises(SpaceError, match=r"^stem_kernel = 5: the space has 3$"):
        load_space().encode(_network(64, stages, "b", kernel=5, stride=2, padding=1))
    with pytest.raises(SpaceError, match=r"^stage3_depth = 26: the space has 1, 2, "):
        load_space().encode(_network(64, stages, "b"))


def test_flexible_4_is_outside_the_default_space_by_its_six_stages() -> None:
    stages = _basic((1, 64), (1, 64), (1, 128), (1, 128), (1, 256), (1, 256))
    with pytest.raises(SpaceError, match=r"^num_stages = 6: the space has 2, 3, 4$"):
        load_space().encode(_network(64, stages, "b"))


# Every field of the language.


def test_a_single_value_is_a_list_of_one_and_is_not_searched() -> None:
    assert Space.model_validate(SMALLEST).slots == ()
    assert Space.model_validate(SMALLEST).stem.width == (8,)
    assert Space.model_validate(SMALLEST).decode({}, CIFAR) == Architecture(Stem(8), (Stage("basic", 1, 8),))


def test_what_is_left_out_is_a_usual_resnet() -> None:
    left_out = Space.model_validate(SMALLEST)
    assert (left_out.stem.kernel, left_out.stem.stride, left_out.stem.padding) == ((3,), (1,), (1,))
    assert (left_out.stage.kernel, left_out.stage.reduction) == ((3,), (4,))
    assert left_out.stage.even_kernel == ("pad-then-valid",)
    assert (left_out.dropout, left_out.shortcut) == ((0.0,), ("B",))
    assert not left_out.rules.non_decreasing_width


@pytest.mark.parametrize(
    ("changes", "slot", "expected"),
    [
        ({"stem_width": [8, 24]}, "stem_width", {8, 24}),
        ({"stem_kernel": [3, 7]}, "stem_kernel", {3, 7}),
        ({"stem_stride": [1, 2]}, "stem_stride", {1, 2}),
        ({"stem_padding": [0, 1]}, "stem_padding", {0, 1}),
        ({"stage_block": ["basic", "bottleneck"]}, "stage1_block", {"basic", "bottleneck"}),
        ({"stage_depth": [2, 5]}, "stage1_depth", {2, 5}),
        ({"stage_width": [8, 9]}, "stage1_width", {8, 9}),
        ({"stage_kernel": [1, 3]}, "stage1_kernel", {1, 3}),
        ({"stage_block": "bottleneck", "stage_reduction": [2, 8]}, "stage1_reduction", {2, 8}),
        (
            {"stage_kernel": 2, "stage_even_kernel": ["pad-then-valid", "average-pool"]},
            "stage1_even_kernel",
            {"pad-then-valid", "average-pool"},
        ),
        ({"stage_stride": ["none", 2]}, "stage1_stride", {None, 2}),
        (
            {"stage_block": "bottleneck", "stage_width": 64, "stage_group_width": [1, 4, "none"]},
            "stage1_group_width",
            {1, 4, None},
        ),
        ({"stage_block": "inverted", "stage_expansion": [1, 4]}, "stage1_expansion", {1, 4}),
        ({"stage_squeeze_excitation": [None, 4]}, "stage1_squeeze_excitation", {None, 4}),
        ({"preactivation": [False, True]}, "preactivation", {False, True}),
        ({"activation": ["relu", "silu", "gelu"]}, "activation", {"relu", "silu", "gelu"}),
        ({"head_width": ["none", 64]}, "head_width", {None, 64}),
        ({"dropout": [0, 0.3]}, "dropout", {0.0, 0.3}),
        ({"shortcut": ["A", "b"], "stage_width": 16}, "shortcut", {"A", "b"}),
        ({"num_stages": [1, 3]}, "num_stages", {1, 3}),
    ],
)
def test_every_field_takes_a_list_and_decides_its_part_of_the_network(
    changes: dict[str, Any], slot: str, expected: set[Any]
) -> None:
    searched = space(**changes)
    assert slot in {searched_slot.name for searched_slot in searched.slots}
    values = set()
    rng = random.Random(0)
    for _ in range(40):
        network = searched.decode(random_vector(searched, rng), CIFAR)
        stage = network.stages[0]
        field = slot.removeprefix("stage1_").removeprefix("stem_")
        owner: Any = stage if slot.startswith("stage1") or slot == "dropout" else network
        owner = network.stem if slot.startswith("stem_") else owner
        values.add(len(network.stages) if slot == "num_stages" else getattr(owner, field))
    assert values == expected


def test_numbers_are_sorted_so_that_order_in_the_file_means_nothing() -> None:
    assert space(stage_width=[64, 8, 16]) == space(stage_width=[8, 16, 64])
    assert space(dropout=[0.2, 0]) == space(dropout=[0, 0.2])


def test_numbers_are_ordered_and_kinds_are_not() -> None:
    distributions = EVERYTHING.distributions
    assert distributions["stage1_width"] == IntDistribution(0, 3)
    assert distributions["dropout"] == IntDistribution(0, 1)
    assert distributions["num_stages"] == IntDistribution(0, 3)
    assert distributions["shortcut"] == CategoricalDistribution(("A", "B", "b"))
    assert distributions["stage1_block"] == CategoricalDistribution(("basic", "bottleneck"))
    assert list(distributions) == [slot.name for slot in EVERYTHING.slots]


def test_overrides_replace_the_choices_of_one_stage_and_only_those_named() -> None:
    assert EVERYTHING.stage_choices(0) == EVERYTHING.stage
    second, fourth = EVERYTHING.stage_choices(1), EVERYTHING.stage_choices(3)
    assert (second.kernel, second.depth, second.width) == ((3, 4), (5, 7), EVERYTHING.stage.width)
    assert (fourth.block, fourth.width, fourth.depth) == (("basic",), (16, 24), EVERYTHING.stage.depth)
    assert "stage4_block" not in EVERYTHING.distributions
    assert EVERYTHING.distributions["stage2_kernel"] == IntDistribution(0, 1)
    rng, depths = random.Random(1), Counter[int]()
    for _ in range(300):
        try:
            network = EVERYTHING.decode(random_vector(EVERYTHING, rng), CIFAR)
        except ArchitectureError:
            continue
        depths.update(stage.depth for stage in network.stages[1:2])
    assert set(depths) == {5, 7}


def test_an_override_may_leave_the_common_choices_behind() -> None:
    narrow = space(num_stages=2, overrides={2: {"width": [16, 32], "reduction": 2, "even_kernel": "average-pool"}})
    assert [slot.name for slot in narrow.slots] == ["stage2_width"]
    assert narrow.decode({"stage2_width": 1}, CIFAR).stages[1].width == 32


def test_widths_that_decrease_break_the_rule_if_there_is_one() -> None:
    choices = {"stem_width": [8, 16], "stage_width": [8, 16], "num_stages": 2}
    free, ruled = space(**choices), space(**choices, rules={"non_decreasing_width": True})
    narrows = {"stem_width": 0, "stage1_width": 1, "stage2_width": 0}
    below_stem = {"stem_width": 1, "stage1_width": 0, "stage2_width": 1}
    for vector, widths in ((narrows, [8, 16, 8]), (below_stem, [16, 8, 16])):
        network = free.decode(vector, CIFAR)
        assert [network.stem.width, *(stage.width for stage in network.stages)] == widths
        with pytest.raises(ArchitectureError) as caught:
            ruled.decode(vector, CIFAR)
        assert str(caught.value) == f"widths = {widths}: must not decrease"
        with pytest.raises(SpaceError, match=r"^widths = .*: must not decrease$"):
            ruled.encode(network)
    equal = {"stem_width": 1, "stage1_width": 1, "stage2_width": 1}
    assert ruled.decode(equal, CIFAR) == free.decode(equal, CIFAR)


def test_the_last_stage_may_narrow_where_a_rule_says_so() -> None:
    rules = {"non_decreasing_width": True, "last_may_narrow": True}
    ruled = space(stage_width=[8, 16], num_stages=[2, 3], rules=rules)
    narrow_end = {"num_stages": 0, "stage1_width": 1, "stage2_width": 0, "stage3_width": 0}
    assert [stage.width for stage in ruled.decode(narrow_end, CIFAR).stages] == [16, 8]
    with pytest.raises(ArchitectureError, match=r"^widths = \[8, 16, 8, 8\]: must not decrease before the last stage$"):
        ruled.decode(narrow_end | {"num_stages": 1}, CIFAR)


def test_none_is_the_last_of_its_choices_and_their_weights_follow() -> None:
    weighed = space(
        stage_squeeze_excitation=["none", 16, 4],
        preactivation=[True, False],
        weights={"stage": {"squeeze_excitation": [3, 1, 2]}, "preactivation": [3, 1]},
    )
    assert weighed.stage.squeeze_excitation == (4, 16, None)
    assert weighed.choice_shares["stage1_squeeze_excitation"] == pytest.approx((2 / 6, 1 / 6, 3 / 6))
    assert weighed.choice_shares["preactivation"] == pytest.approx((1 / 4, 3 / 4))


def test_what_is_written_of_a_space_names_later_keys_only_where_they_say_something() -> None:
    assert set(Space.model_validate(SMALLEST).model_dump()["stage"]) == {
        "block", "depth", "width", "kernel", "reduction", "even_kernel",
    }  # fmt: skip
    later = space(
        stage_squeeze_excitation=["none", 4], head_width=64, num_stages=2, overrides={2: {"group_width": "none"}}
    )
    written = yaml.safe_load(yaml.safe_dump(later.model_dump(mode="json")))
    assert written["stage"]["squeeze_excitation"] == [4, None] and "activation" not in written
    assert Space.model_validate(written) == later


def test_choices_that_make_the_same_network_are_the_same_design() -> None:
    groups = space(stage_block="bottleneck", stage_width=[64, 128], stage_group_width=[8, 16, 32])
    network = Architecture(Stem(8), (Stage("bottleneck", 1, 64),))
    assert groups.num_vectors(network) == 2, "16 inner channels are one group of 16, or of 32"
    assert groups.decode(groups.encode(network), CIFAR) == network
    assert groups.encode(network, lambda slot, same: same[-1]) == {"stage1_width": 0, "stage1_group_width": 2}
    with pytest.raises(SpaceError, match=r"^stage1_group_width = none: the space has 8, 16$"):
        space(stage_block="bottleneck", stage_width=128, stage_group_width=[8, 16]).encode(
            Architecture(Stem(8), (Stage("bottleneck", 1, 128),))
        )


# Encode and decode.


@pytest.mark.parametrize("searched", [load_space(), EVERYTHING], ids=["default", "everything"])
def test_decode_of_encode_is_the_same_network_for_random_vectors(searched: Space) -> None:
    rng, valid = random.Random(2), 0
    for _ in range(2_000):
        vector = random_vector(searched, rng)
        try:
            network = searched.decode(vector, CIFAR)
        except ArchitectureError:
            continue
        valid += 1
        assert network == network.canonical()
        assert (network.in_channels, network.num_classes) == (3, 10)
        assert searched.decode(searched.encode(network), CIFAR) == network
        # Where every choice is that of the vector it came from, a network is that very vector.
        assert searched.encode(network, lambda slot, same, own=vector: slot.choice(own[slot.name])) == vector
        assert searched.decode(searched.encode(network, lambda slot, same: rng.choice(same)), CIFAR) == network
    assert valid > 150


def test_encode_gives_every_slot_a_value_of_its_distribution() -> None:
    network = Architecture(Stem(4), (Stage("basic", 1, 4),))
    vector = EVERYTHING.encode(network)
    assert vector.keys() == EVERYTHING.distributions.keys()
    for name, distribution in EVERYTHING.distributions.items():
        assert distribution._contains(distribution.to_internal_repr(vector[name])), name


def test_fields_that_change_nothing_need_not_be_choices() -> None:
    searched = space(stage_reduction=2, stage_even_kernel="average-pool", shortcut="A")
    network = searched.decode({}, CIFAR)
    assert network == Architecture(Stem(8), (Stage("basic", 1, 8),), "B")
    assert searched.encode(network) == {}


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (Architecture(Stem(6), (Stage("basic", 1, 8),)), "stem_width = 6: the space has 4, 8, 12"),
        (Architecture(Stem(8, 7), (Stage("basic", 1, 8),)), "stem_kernel = 7: the space has 3, 5"),
        (Architecture(Stem(8, 3, 3), (Stage("basic", 1, 8),)), "stem_stride = 3: the space has 1, 2"),
        (Architecture(Stem(8, 3, 1, 0), (Stage("basic", 1, 8),)), "stem_padding = 0: the space has 1, 2"),
        (Architecture(Stem(8), (Stage("basic", 1, 8),) * 5), "num_stages = 5: the space has 1, 2, 3, 4"),
        (Architecture(Stem(8), (Stage("basic", 4, 8),)), "stage1_depth = 4: the space has 1, 2, 3"),
        (
            Architecture(Stem(8), (Stage("basic", 1, 8), Stage("basic", 1, 8))),
            "stage2_depth = 1: the space has 5, 7",
        ),
        (Architecture(Stem(8), (Stage("basic", 1, 10),)), "stage1_width = 10: the space has 4, 8, 12, 16"),
        (Architecture(Stem(8), (Stage("basic", 1, 8, 7),)), "stage1_kernel = 7: the space has 1, 2, 3, 4, 5"),
        (Architecture(Stem(8), (Stage("basic", 1, 8, 3, 0.5),)), "dropout = 0.5: the space has 0.0, 0.1"),
        (
            Architecture(Stem(8), (Stage("bottleneck", 1, 8, reduction=8),)),
            "stage1_reduction = 8: the space has 1, 2, 4",
        ),
        (
            Architecture(Stem(8), (Stage("basic", 1, 8), Stage("basic", 5, 8, 3, 0.1))),
            "dropout = [0.0, 0.1]: the space has one choice for the whole network",
        ),
    ],
)
def test_encode_says_which_field_does_not_fit(network: Architecture, expected: str) -> None:
    with pytest.raises(SpaceError) as caught:
        EVERYTHING.encode(network)
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (Architecture(Stem(8), (Stage("bottleneck", 1, 8),)), "stage1_block = bottleneck: the space has basic"),
        (Architecture(Stem(8), (Stage("basic", 1, 16),), "b"), "shortcut = b: the space has B"),
        (
            Architecture(Stem(8), (Stage("basic", 1, 8, 2, even_kernel="average-pool"),)),
            "stage1_even_kernel = average-pool: the space has pad-then-valid",
        ),
    ],
)
def test_encode_says_which_kind_does_not_fit(network: Architecture, expected: str) -> None:
    with pytest.raises(SpaceError) as caught:
        space(stage_kernel=[2, 3], stage_width=[8, 16]).encode(network)
    assert str(caught.value) == expected


def test_decode_refuses_choices_that_contradict_each_other() -> None:
    contradictory = space(stem_kernel=[1, 3], stage_block="bottleneck", stage_kernel=[2, 3], stage_reduction=[2, 16])
    fits = {"stem_kernel": 1, "stage1_kernel": 1, "stage1_reduction": 0}
    assert contradictory.decode(fits, CIFAR).stages[0].inner_width == 4
    for name, index, message in (
        ("stem_kernel", 0, "stem.padding = 1"),
        ("stage1_kernel", 0, "kernel = 2"),
        ("stage1_reduction", 1, "reduction = 16"),
    ):
        with pytest.raises(ArchitectureError, match=message):
            contradictory.decode(fits | {name: index}, CIFAR)


# Refusals: one line that names file, key and rule.


def test_an_unknown_key_is_named(tmp_path: Path) -> None:
    assert refusal_of(tmp_path, "stages", value=3) == "stages: unknown key"
    assert refusal_of(tmp_path, "stage", "widht", value=3) == "stage.widht: unknown key"
    assert refusal_of(tmp_path, "stem", "dropout", value=3) == "stem.dropout: unknown key"
    assert refusal_of(tmp_path, "rules", "widths", value=True) == "rules.widths: unknown key"
    assert refusal_of(tmp_path, "overrides", 2, "widht", value=3) == "overrides.2.widht: unknown key"


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path, "stem: {width: 8}\nnum_stages: 1") == "stage: missing"
    assert refusal(tmp_path, "stem: {width: 8}") == "num_stages: missing (and 1 more)"
    assert refusal_of(tmp_path, "stem", value={}) == "stem.width: missing"


@pytest.mark.parametrize(
    ("keys", "value", "expected"),
    [
        (("stem", "width"), "wide", "stem.width = 'wide': "),
        (("stem", "width"), "8", "stem.width = '8': "),
        (("stem", "width"), True, "stem.width = True: "),
        (("stem", "width"), 8.5, "stem.width = 8.5: "),
        (("stem", "width"), [8, 0], "stem.width.1 = 0: "),
        (("stem", "padding"), -1, "stem.padding = -1: "),
        (("num_stages",), [2, 17], "num_stages.1 = 17: "),
        (("num_stages",), None, "num_stages = None: "),
        (("stage", "depth"), {"from": 1, "to": 18}, "stage.depth = {'from': 1, 'to': 18}: "),
        (("stage", "width"), [[8, 16]], "stage.width.0 = [8, 16]: "),
        (("stage", "width"), 65_537, "stage.width = 65537: "),
        (("stage", "block"), "dense", "stage.block = 'dense': input should be 'basic', 'bottleneck' or 'inverted'"),
        (("stage", "even_kernel"), "crop", "stage.even_kernel = 'crop': "),
        (("stage",), "basic", "stage = 'basic': "),
        (("stage", "stride"), 3, "stage.stride = 3: "),
        (("stage", "group_width"), "some", "stage.group_width = 'some': "),
        (("stage", "expansion"), "none", "stage.expansion = 'none': "),
        (("preactivation",), "perhaps", "preactivation = 'perhaps': "),
        (("preactivation",), ["true", "false"], "preactivation.0 = 'true': "),
        (("activation",), "mish", "activation = 'mish': input should be 'relu', 'silu' or 'gelu'"),
        (("head_width",), 0, "head_width = 0: "),
        (("rules", "last_may_narrow"), "perhaps", "rules.last_may_narrow = 'perhaps': "),
        (("shortcut",), ["A", "C"], "shortcut.1 = 'C': input should be 'A', 'B' or 'b'"),
        (("dropout",), [0.0, 1.0], "dropout.1 = 1.0: "),
        (("dropout",), -0.1, "dropout = -0.1: "),
        (("dropout",), float("nan"), "dropout = nan: "),
        (("dropout",), "some", "dropout = 'some': "),
        (("rules", "non_decreasing_width"), "perhaps", "rules.non_decreasing_width = 'perhaps': "),
        (("overrides",), [{"kernel": 3}], "overrides = [{'kernel': 3}]: "),
        (("overrides", 2, "kernel"), "three", "overrides.2.kernel = 'three': "),
        (("overrides", 2), 3, "overrides.2 = 3: "),
        (("overrides", 0, "kernel"), 3, "overrides.0"),
        (("overrides", "last", "kernel"), 3, "overrides.last"),
    ],
)
def test_a_wrong_value_is_named_with_its_rule(
    tmp_path: Path, keys: tuple[str | int, ...], value: Any, expected: str
) -> None:
    message = refusal_of(tmp_path, *keys, value=value)
    assert message.startswith(expected)
    assert "should" in message


@pytest.mark.parametrize(
    "keys",
    [
        ("stem", "width"),
        ("stem", "padding"),
        ("num_stages",),
        ("stage", "depth"),
        ("stage", "block"),
        ("dropout",),
        ("shortcut",),
        ("overrides", 2, "kernel"),
    ],
)
def test_a_list_without_a_choice_is_refused(tmp_path: Path, keys: tuple[str | int, ...]) -> None:
    expected = f"{'.'.join(map(str, keys))} = []: must have at least one choice"
    assert refusal_of(tmp_path, *keys, value=[]) == expected


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("stem", "width"), [8, 16, 8]),
        (("num_stages",), [2, 2]),
        (("stage", "block"), ["basic", "basic"]),
        (("dropout",), [0, 0.1, 0.0]),
        (("shortcut",), ["A", "B", "A"]),
        (("overrides", 2, "kernel"), [3, 3]),
    ],
)
def test_a_choice_given_twice_is_refused(tmp_path: Path, keys: tuple[str | int, ...], value: list[Any]) -> None:
    expected = f"{'.'.join(map(str, keys))} = {value}: has the same choice twice"
    assert refusal_of(tmp_path, *keys, value=value) == expected


@pytest.mark.parametrize(
    "text", ["stem: [8\nnum_stages: 2", "stem: {width: 8}\n\tnum_stages: 1", "a: b: c", "stem: *unknown", "\x00"]
)
def test_what_is_not_yaml_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    assert refusal(tmp_path, text).startswith("not YAML: ")


@pytest.mark.parametrize(("text", "kind"), [("", "nothing"), ("- 1\n- 2", "list"), ("basic", "str"), ("3", "int")])
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str, kind: str) -> None:
    assert refusal(tmp_path, text) == f"must be a mapping of keys to values, not {kind}"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing, binary = tmp_path / "none.yaml", tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00stem")
    for path, reason in (
        (missing, "No such file or directory"),
        (tmp_path, "Is a directory"),
        (binary, "not a text file"),
    ):
        with pytest.raises(SpaceError) as caught:
            load_space(path)
        assert str(caught.value) == f"{path}: {reason}"


# What the space holds.


@pytest.mark.parametrize("stage", [5, 7, 16])
def test_an_override_for_a_stage_that_no_network_has_is_refused(tmp_path: Path, stage: int) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(
        default_space_text().replace("overrides: {}", f"overrides: {{{stage}: {{kernel: 3}}, 2: {{kernel: 5}}}}")
    )
    with pytest.raises(SpaceError) as caught:
        load_space(path)
    assert str(caught.value) == f"{path}: overrides.{stage}: there is no such stage; num_stages has at most 4"


def test_a_space_holds_what_it_can_encode_for_the_same_kind_of_data() -> None:
    space, task = load_space(), Task(32, 3, 10)
    held, in_form = find_baseline("resnet20-a"), find_baseline("resnet20-a").canonical()
    assert space.holds(held, task) and space.holds(in_form, task)
    assert not space.holds(held, Task(32, 1, 10)) and not space.holds(held, Task(32, 3, 100))
    assert space.holds(held, Task(8, 3, 10))  # the size of images is a matter of limits
    assert not space.holds(find_baseline("flexible-4"), task)
    assert space.holds(replace(held, stages=tuple(replace(stage, reduction=2) for stage in held.stages)), task)
    assert not space.holds(replace(held, stages=held.stages[::-1], shortcut="B"), task)  # its widths decrease


@pytest.mark.parametrize("searched", [EVERYTHING, load_space()], ids=["everything", "default"])
def test_a_network_has_as_many_vectors_as_decode_to_it(searched: Space) -> None:
    rng, num_decoded = random.Random(3), 0
    while num_decoded < 40:
        vector = {slot.name: slot.value(rng.randrange(len(slot.choices))) for slot in searched.slots}
        try:
            architecture = searched.decode(vector, CIFAR)
        except ArchitectureError:
            continue
        num_decoded += 1
        # Change one slot at a time: those that change nothing are free, and the vectors are all their combinations.
        number = 1
        for slot in searched.slots:
            same = 0
            for index in range(len(slot.choices)):
                try:
                    same += searched.decode(vector | {slot.name: slot.value(index)}, CIFAR) == architecture
                except ArchitectureError:
                    continue
            number *= same
        assert searched.num_vectors(architecture) == number


# Spaces by name.


def test_the_default_space_is_called_resnet() -> None:
    assert load_space(Path("resnet")) == load_space()


@pytest.mark.parametrize("name", NAMES)
def test_a_named_space_says_what_it_holds_and_its_text_is_a_file_of_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / "copy.yaml"
    path.write_text(space_text(name), encoding="utf-8")
    assert load_space(path) == load_space(Path(name))
    assert space_text(name).startswith("# ")


def test_named_spaces_hold_the_blocks_of_the_best_small_networks() -> None:
    modern, tiny = load_space(Path("modern")), load_space(Path("tiny"))
    for each in (modern, tiny):
        assert each.stage.block == ("basic", "bottleneck", "inverted") and each.rules.last_may_narrow
        assert 7 in each.stage.kernel and 1 in each.stage.group_width and None in each.stage.squeeze_excitation
    assert modern.stage.stride == (None,) and tiny.stage.stride == (1, None)


def test_an_unknown_name_is_answered_with_those_there_are() -> None:
    with pytest.raises(SpaceError, match=r"^space = 'modem': no such space or file; there is modern, or a .yaml file$"):
        load_space(Path("modem"))
    with pytest.raises(SpaceError, match=r"there is resnet, modern, tiny, or a .yaml file$"):
        load_space(Path("x"))
