"""The section `weights` of space.yaml: what it says, and what it may not."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from search.errors import SpaceError
from search.space.choices import StageChoices, StemChoices
from search.space.space import Space, load_space
from search.space.weights import Weights

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
    found = weighed({"num_stages": {1: 3, 2: 1, 3: 0}, "dropout": {0: 1, 0.1: 3}}).choice_shares
    assert found["num_stages"] == (0.75, 0.25, 0.0)
    assert found["dropout"] == (0.25, 0.75)
    assert found["stem_width"] == found["stage2_width"] == found["shortcut"] == (0.5, 0.5)
    assert all(math.fsum(of_field) == pytest.approx(1) for of_field in found.values())


def test_every_field_of_the_file_can_be_weighed() -> None:
    weights = {
        "num_stages": "falling",
        "stem": {name: {1: 2} for name in StemChoices.model_fields},
        "stage": {name: {1: 2} for name in StageChoices.model_fields if name not in ("block", "even_kernel")}
        | {"block": {"inverted": 2}, "even_kernel": {"average-pool": 2}},
        "dropout": {0.5: 1},
        "head_width": {"none": 0.5},
        "activation": {"silu": 2},
        "preactivation": {True: 2},
        "shortcut": "equal",
    }
    single = {"stem": {"width": 4}, "num_stages": 1, "stage": {"block": "basic", "depth": 1, "width": 4}}
    assert set(Space.model_validate(single | {"weights": weights}).choice_shares.values()) == {(1.0,)}
    assert set(weights) == set(Weights.model_fields) - {"least_macs"}


def test_numbers_belong_to_choices_by_name_and_what_has_none_weighs_one() -> None:
    """So a copy of a file whose choices are narrowed or changed by stages keeps its weights."""
    weights = {"stage": {"block": {"basic": 3}, "depth": {2: 3, 4: 6, 18: 5}}, "shortcut": {"B": 3}}
    found = weighed(weights, shortcut=["B", "A", "b"], overrides={2: {"depth": [4, 3, 2]}, 3: {"block": "basic"}})
    shares = found.choice_shares
    assert dict(zip(found.shortcut, shares["shortcut"], strict=True)) == pytest.approx({"B": 0.6, "A": 0.2, "b": 0.2})
    assert shares["stage1_depth"] == pytest.approx((0.1, 0.3, 0.6))
    assert shares["stage2_depth"] == pytest.approx((0.3, 0.1, 0.6)), "of 2, 3 and 4"
    assert (shares["stage1_block"], shares["stage3_block"]) == ((0.75, 0.25), (1.0,))
    assert weighed(weights, shortcut=["A", "b"]).choice_shares["shortcut"] == (0.5, 0.5)


@pytest.mark.parametrize("name", ["dropout", "stem", "stage"])
def test_a_list_belongs_to_the_choices_in_the_order_of_the_file(name: str) -> None:
    """Files have lists from before there were names. The space sorts numbers, and the weights must follow."""
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
    assert Space.model_validate(space.model_dump()) == space


def test_a_list_in_a_stored_space_whose_stages_replace_other_choices_is_read() -> None:
    """Where it is stored, an override names what it does not replace too, as nothing."""
    weights = {"stage": {"width": [1, 3]}}
    assert Space.model_validate(weighed(None).model_dump(mode="json") | {"weights": weights}) == weighed(weights)


def test_a_list_for_a_field_that_is_left_out_and_so_has_one_choice_says_nothing() -> None:
    assert weighed({"activation": [2], "stage": {"kernel": [1]}}).weights is None


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


@pytest.mark.parametrize("weights", [None, {}, {"stage": {}}, {"stage": {"depth": "equal"}, "shortcut": {"A": 1}}])
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
    assert stored["weights"] == {"num_stages": "equal", "stage": {"depth": {"1": 3.0, "2": 2.0}}}
    assert Space.model_validate(stored) == space == Space.model_validate(space.model_dump())


@pytest.mark.parametrize(
    ("field", "choices", "weights"),
    [
        ("dropout", [0, 0.25], {0: 1, 0.25: 3}),
        ("preactivation", [False, True], {False: 1, True: 3}),
        ("head_width", [64, "none"], {64: 1, "none": 3}),
        ("dropout", [-0.0, 0.25], {0: 1, 0.25: 3}),
    ],
)
def test_numbers_by_any_kind_of_choice_survive_being_stored(field: str, choices: Any, weights: Any) -> None:
    space = weighed({field: weights}, **{field: choices})
    assert space.choice_shares[field] == (0.25, 0.75)
    text = json.dumps(space.model_dump(mode="json"))
    assert (
        Space.model_validate(json.loads(text)) == space == weighed({field: list(weights.values())}, **{field: choices})
    )


def test_weights_in_words_leave_out_what_is_equal() -> None:
    default = load_space().weights
    assert default is not None and default.text == (
        "num_stages first, equal; stage.depth steep; all else equal; of a limit on MACs 50% or more used"
    )
    space = weighed({"stem": {"width": "falling"}, "dropout": {0.1: 0.5}, "stage": {"block": {"basic": 2}}})
    assert space.weights is not None
    assert space.weights.text == "dropout {0.1: 0.5}; stem.width falling; stage.block {basic: 2}; all else equal"


# What is refused.


NUMBERS = "weights must be numbers of 0 or more"
LIST = "a list must have a number for each choice, and then overrides have no others"
KINDS = "must be equal, falling, steep, or numbers by choice, such as {basic: 2, bottleneck: 1}"


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({"dropout": {0.1: -1}}, f"weights.dropout = {{0.1: -1}}: {NUMBERS}"),
        ({"dropout": {0.1: math.nan}}, f"weights.dropout = {{0.1: nan}}: {NUMBERS}"),
        ({"dropout": {0.1: math.inf}}, f"weights.dropout = {{0.1: inf}}: {NUMBERS}"),
        ({"dropout": {0.1: True}}, f"weights.dropout = {{0.1: True}}: {NUMBERS}"),
        ({"dropout": {0.1: None}}, f"weights.dropout = {{0.1: None}}: {NUMBERS}"),
        ({"dropout": {0.1: "many"}}, f"weights.dropout = {{0.1: 'many'}}: {NUMBERS}"),
        ({"dropout": {0.1: [1]}}, f"weights.dropout = {{0.1: [1]}}: {NUMBERS}"),
        (
            {"num_stages": [0, 0, 0]},
            "weights.num_stages = {1: 0, 2: 0, 3: 0}: gives no weight above 0 to any choice",
        ),
        ({"stage": {"depth": []}}, f"weights.stage.depth = []: {KINDS}"),
        ({"stage": {"depth": [1, -2, 3]}}, f"weights.stage.depth = [1, -2, 3]: {NUMBERS}"),
        ({"stage": {"depth": [3, 2, 1]}}, f"weights.stage.depth = [3, 2, 1]: {LIST}"),  # an override has 3 blocks
        ({"stem": [1, 2]}, "weights.stem = [1, 2]: input should be a valid dictionary or instance of StemWeights"),
        ({"overrides": [1]}, "weights.overrides: unknown key"),
        ({"stage": {"depth": {2: 3, "2": 5}}}, "weights.stage.depth = {2: 3, '2': 5}: the choice 2 is given twice"),
        ({"dropout": {0.1: 3, "0.10": 5}}, "weights.dropout = {0.1: 3, '0.10': 5}: the choice 0.1 is given twice"),
        ({"stage": {"depth": {}}}, f"weights.stage.depth = {{}}: {KINDS}"),
        ({"shortcut": {"C": 2}}, "weights.shortcut = {'C': 2}: this field has no choice C"),
        ({"shortcut": {"none": 2}}, "weights.shortcut = {'none': 2}: this field has no choice none"),
        ({"stage": {"block": {"basc": 2}}}, "weights.stage.block = {'basc': 2}: this field has no choice basc"),
        ({"stage": {"depth": {0: 2}}}, "weights.stage.depth = {0: 2}: this field has no choice 0"),
        ({"stage": {"depth": {1.5: 2}}}, "weights.stage.depth = {1.5: 2}: this field has no choice 1.5"),
        ({"stage": {"depth": [1, 2]}}, f"weights.stage.depth = [1, 2]: {LIST}"),
        ({"stage": {"depth": [1, 2], "dept": "falling"}}, "weights.stage.dept: unknown key (and 1 more)"),
        (
            {"stage": {"width": "rising"}},
            f"weights.stage.width = 'rising': {KINDS}",
        ),
        ({"dropout": 1}, f"weights.dropout = 1: {KINDS}"),
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
            {"stage": {"block": {"basic": 0}}},
            "weights.stage.block = {basic: 0}: gives no weight above 0 to any choice (overrides.3.block)",
        ),
    ],
    ids=str,
)
def test_weights_that_weigh_nothing_are_refused_in_one_line(tmp_path: Path, weights: Any, expected: str) -> None:
    assert refusal(tmp_path, weights) == expected


def test_a_missing_key_is_named_before_the_list_that_weighs_it(tmp_path: Path) -> None:
    stage = {"block": "basic", "dept": [1, 2, 4], "width": 4}
    message = refusal(tmp_path, {"stage": {"depth": [1, 2, 3]}}, stage=stage)
    assert message == "stage.dept: unknown key (and 2 more)"


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
