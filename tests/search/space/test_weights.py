"""The section `weights` of space.yaml: what it says, and what it may not."""

import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from search.errors import SpaceError
from search.space.space import Space, load_space

VALUES: dict[str, Any] = {
    "stem": {"width": [4, 8], "padding": [0, 1]},
    "num_stages": [1, 2, 3],
    "stage": {"block": ["basic", "bottleneck"], "depth": [1, 2, 4], "width": [4, 8]},
    "overrides": {2: {"depth": [4, 2]}, 3: {"depth": 3, "block": "basic"}},
    "dropout": [0.0, 0.1],
    "shortcut": ["A", "b"],
}


def weighed(weights: Any, **changes: Any) -> Space:
    return Space.model_validate(VALUES | {"weights": weights} | changes)


def refusal(folder: Path, weights: Any, **changes: Any) -> str:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(VALUES | {"weights": weights} | changes), encoding="utf-8")
    with pytest.raises(SpaceError) as caught:
        load_space(path)
    message = str(caught.value)
    assert "\n" not in message and message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


# What weights say.


def test_falling_is_one_over_the_choice_also_of_stages_with_other_choices() -> None:
    found = weighed({"stage": {"depth": "falling"}}).choice_shares
    assert found["stage1_depth"] == pytest.approx((4 / 7, 2 / 7, 1 / 7))
    assert found["stage2_depth"] == pytest.approx((2 / 3, 1 / 3))
    assert found["stage3_depth"] == (1.0,)


def test_what_is_left_out_is_equal_and_every_field_adds_up_to_one() -> None:
    found = weighed({"num_stages": [3, 1, 0], "dropout": [1, 3]}).choice_shares
    assert found["num_stages"] == (0.75, 0.25, 0.0)
    assert found["dropout"] == (0.25, 0.75)
    assert found["stem_width"] == found["stage2_width"] == found["shortcut"] == (0.5, 0.5)
    assert all(math.fsum(of_field) == pytest.approx(1) for of_field in found.values())


def test_every_field_of_the_file_can_be_weighed() -> None:
    weights = {
        "num_stages": "falling",
        "stem": {name: [1] for name in ("width", "kernel", "stride", "padding")},
        "stage": {name: [2] for name in ("block", "depth", "width", "kernel", "reduction", "even_kernel")},
        "dropout": [1],
        "shortcut": "equal",
    }
    single = {"stem": {"width": 4}, "num_stages": 1, "stage": {"block": "basic", "depth": 1, "width": 4}}
    assert set(Space.model_validate(single | {"weights": weights}).choice_shares.values()) == {(1.0,)}


@pytest.mark.parametrize("name", ["dropout", "stem", "stage"])
def test_a_list_belongs_to_the_choices_in_the_order_of_the_file(name: str) -> None:
    """The space sorts numbers, and the weights must follow."""
    orders = {
        "dropout": ({"dropout": [0.1, 0.0]}, {"dropout": [1, 3]}, "dropout", (0.75, 0.25)),
        "stem": ({"stem": {"width": [8, 4]}}, {"stem": {"width": [1, 3]}}, "stem_width", (0.75, 0.25)),
        "stage": (
            {"stage": VALUES["stage"] | {"depth": [4, 1, 2]}, "overrides": {}},
            {"stage": {"depth": [1, 2, 5]}},
            "stage1_depth",
            (0.25, 0.625, 0.125),
        ),
    }
    changes, weights, slot, expected = orders[name]
    space = weighed(weights, **changes)
    assert space.choice_shares[slot] == expected
    assert Space.model_validate(space.model_dump()) == space  # and are not sorted twice


def test_words_keep_their_order() -> None:
    space = weighed({"shortcut": [3, 1], "stage": {"block": [1, 4]}}, shortcut=["b", "A"])
    assert dict(zip(space.shortcut, space.choice_shares["shortcut"], strict=True)) == {"b": 0.75, "A": 0.25}
    assert space.choice_shares["stage1_block"] == (0.2, 0.8)


def test_an_override_takes_the_weights_of_its_choices_from_a_list() -> None:
    found = weighed({"stage": {"depth": [1, 2, 6], "block": [1, 3]}}, overrides={2: {"depth": [4, 2]}}).choice_shares
    assert found["stage1_depth"] == pytest.approx((1 / 9, 2 / 9, 6 / 9))
    assert found["stage2_depth"] == (0.25, 0.75)
    assert found["stage2_block"] == (0.25, 0.75)


@pytest.mark.parametrize("largest", [1e308, 1e-320, 10**300])
def test_only_the_ratios_of_weights_count(largest: float) -> None:
    assert weighed({"dropout": [largest, largest]}).choice_shares["dropout"] == (0.5, 0.5)


@pytest.mark.parametrize("weights", [None, {}, {"stage": {}}, {"stage": {"depth": "equal"}, "shortcut": "equal"}])
def test_weights_that_say_nothing_are_none(weights: Any) -> None:
    space = weighed(weights)
    assert space.weights is None
    assert space == Space.model_validate(VALUES)
    assert Space.model_validate(VALUES) != weighed({"num_stages": "equal"})


def test_weights_change_neither_the_vector_nor_what_is_held() -> None:
    plain, other = Space.model_validate(VALUES), weighed({"num_stages": [0, 0, 1], "stage": {"depth": "falling"}})
    assert other.distributions == plain.distributions
    assert other.model_copy(update={"weights": None}) == plain


def test_a_copy_with_other_choices_has_weights_of_its_own() -> None:
    copied = weighed({"dropout": [1, 3]}).model_copy(update={"dropout": (0.0,), "weights": None, "num_stages": (2,)})
    assert copied.choice_shares["dropout"] == (1.0,)
    assert not any(slot.name == "dropout" for slot in copied.slots) and len(copied.choice_shares["num_stages"]) == 1


def test_weights_survive_being_stored() -> None:
    space = weighed({"num_stages": "equal", "stage": {"depth": [3, 2, 1], "block": "equal"}}, overrides={})
    stored = yaml.safe_load(yaml.safe_dump(space.model_dump(mode="json")))
    assert stored["weights"] == {"num_stages": "equal", "stage": {"depth": [3.0, 2.0, 1.0]}}
    assert Space.model_validate(stored) == space == Space.model_validate(space.model_dump())


def test_weights_in_words_leave_out_what_is_equal() -> None:
    default = load_space().weights
    assert default is not None and default.text == (
        "num_stages first, equal; stage.depth steep; all else equal; of a limit on MACs 50% or more used"
    )
    space = weighed({"stem": {"width": "falling"}, "dropout": [0.5, 2]})
    assert space.weights is not None
    assert space.weights.text == "dropout [0.5, 2]; stem.width falling; all else equal"


# What is refused.


NUMBERS = "weights must be numbers of 0 or more"


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({"dropout": [1, -1]}, f"weights.dropout = [1, -1]: {NUMBERS}"),
        ({"dropout": [1, math.nan]}, f"weights.dropout = [1, nan]: {NUMBERS}"),
        ({"dropout": [1, math.inf]}, f"weights.dropout = [1, inf]: {NUMBERS}"),
        ({"dropout": [1, True]}, f"weights.dropout = [1, True]: {NUMBERS}"),
        ({"dropout": [1, None]}, f"weights.dropout = [1, None]: {NUMBERS}"),
        ({"dropout": [1, "many"]}, f"weights.dropout = [1, 'many']: {NUMBERS}"),
        ({"dropout": [1, [1]]}, f"weights.dropout = [1, [1]]: {NUMBERS}"),
        ({"num_stages": [0, 0, 0]}, "weights.num_stages = [0, 0, 0]: one weight at least must be above 0"),
        ({"stage": {"depth": []}}, "weights.stage.depth = []: one weight at least must be above 0"),
        (
            {"stage": {"depth": [1, 2]}},
            "weights.stage.depth = [1, 2]: must have 3 numbers, one for each choice",
        ),
        (
            {"stage": {"width": "rising"}},
            "weights.stage.width = 'rising': must be equal, falling, steep, or a list with a number for each choice",
        ),
        ({"dropout": 1}, "weights.dropout = 1: must be equal, falling, steep, or a list with a number for each choice"),
        (
            {"dropout": "falling"},
            "weights.dropout = falling: falling is 1 / choice, so every choice must be a number above 0",
        ),
        (
            {"stem": {"padding": "falling"}},
            "weights.stem.padding = falling: falling is 1 / choice, so every choice must be a number above 0",
        ),
        (
            {"stage": {"block": "falling"}},
            "weights.stage.block = falling: falling is 1 / choice, so every choice must be a number above 0",
        ),
        ({"depth": "falling"}, "weights.depth: unknown key"),
        ({"stage": {"dept": "falling"}}, "weights.stage.dept: unknown key"),
        (
            {"stage": {"depth": [1, 1, 1]}},
            "weights.stage.depth = [1, 1, 1]: gives no weight to 3 of overrides.3.depth",
        ),
        (
            {"stage": {"block": [0, 1]}},
            "weights.stage.block = [0, 1]: gives no weight above 0 to any choice of overrides.3.block",
        ),
    ],
    ids=str,
)
def test_weights_that_weigh_nothing_are_refused_in_one_line(tmp_path: Path, weights: Any, expected: str) -> None:
    assert refusal(tmp_path, weights) == expected


def test_a_list_of_the_wrong_length_is_that_also_where_the_first_stage_has_choices_of_its_own(tmp_path: Path) -> None:
    expected = "weights.stage.depth = [1, 2]: must have 3 numbers, one for each choice"
    assert refusal(tmp_path, {"stage": {"depth": [1, 2]}}, overrides={1: {"depth": 2}}) == expected


def test_a_number_too_large_for_a_float_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, {"dropout": [1, 10**400]}).endswith(NUMBERS)


@pytest.mark.parametrize("weights", [3, "falling", [1]])
def test_weights_that_are_no_section_are_refused(tmp_path: Path, weights: Any) -> None:
    assert refusal(tmp_path, weights).startswith(f"weights = {weights!r}: input should be a valid dictionary")


def test_steep_is_one_over_the_square_and_draws_may_be_kept_from_computing_little() -> None:
    found = weighed({"stage": {"depth": "steep"}, "least_macs": 0.25})
    assert found.choice_shares["stage1_depth"] == pytest.approx((16 / 21, 4 / 21, 1 / 21))
    assert found.weights is not None
    assert found.weights.text == "stage.depth steep; all else equal; of a limit on MACs 25% or more used"
    stored = yaml.safe_load(yaml.safe_dump(found.model_dump(mode="json")))
    assert stored["weights"] == {"least_macs": 0.25, "stage": {"depth": "steep"}}
    with pytest.raises(ValueError, match=r"steep is 1 / choice\*\*2, so every choice must be a number above 0"):
        weighed({"stage": {"block": "steep"}})
    with pytest.raises(ValueError, match="less than or equal to 1"):
        weighed({"least_macs": 1.5})
