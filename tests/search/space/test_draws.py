"""Draws within limits against listing every vector."""

from collections import Counter
from collections.abc import Callable, Mapping
from hashlib import sha256
from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare

from models.architecture import Architecture, ArchitectureError
from models.count import count_macs, count_parameters
from search.space.draws import Draws, _extended
from search.space.limits import Limits
from search.space.parts import Measure
from search.space.space import Space, Task, load_space

MEASURES: tuple[Measure, ...] = ("designs", "vectors")
DEFAULT, CIFAR = load_space(), Task(32, 3, 10)


def many_limits(listing: Any) -> list[Limits]:
    """Limits that leave none, some and all of a listing's designs, of each kind and together."""
    params, macs, peak, size = ({share: listing.at(share, cost) for share in (0, 0.3, 0.7, 1)} for cost in COSTS)
    return [
        Limits(max(1, params[0] - 1)),
        Limits(params[0]),
        Limits(params[0.3]),
        Limits(params[0.7] - 1),
        Limits(10**12),
        Limits(params[0.7], fill=0.8),
        Limits(params[1], fill=1.0),
        Limits(params[0.7], macs=macs[0.3]),
        Limits(params[0.7], macs=macs[0.7], fill=0.5),
        Limits(10**12, activations=4 * peak[0.3]),
        Limits(params[0.7], macs=macs[0.7], activations=4 * peak[0.7], fill=0.3),
        Limits(10**12, bytes=size[0.3], bytes_precision="int8"),
        Limits(params[0.7], macs=macs[0.7], bytes=size[0.7], bytes_precision="int8"),
        Limits(params[0.7], macs=macs[0.7], bytes=size[1], bytes_precision="int8", fill=0.5),
        Limits(10**12, bytes=size[0.7], bytes_precision="int8", fill=0.8),
        Limits(10**12, macs=macs[0.7], bytes=size[1], bytes_precision="int8", fill=0.6),
    ]


COSTS = ("params", "macs", "peak", "int8_bytes")


def test_designs_are_those_of_the_list_each_once(listing: Any) -> None:
    for limits in many_limits(listing):
        listed = list(Draws(listing.space, listing.task, limits, "designs").designs())
        assert len(listed) == len(set(listed))
        assert set(listed) == listing.within(limits).keys(), limits


@pytest.mark.parametrize("measure", MEASURES)
def test_draws_are_within_limits_and_in_the_space(listing: Any, measure: Measure) -> None:
    for limits in many_limits(listing):
        fitting = listing.within(limits)
        draws, rng = Draws(listing.space, listing.task, limits, measure), np.random.default_rng(1)
        weight = sum(cost.vectors if measure == "vectors" else 1 for cost in fitting.values())
        assert draws.upper_bound >= weight
        if fitting:
            assert {draws.draw(rng) for _ in range(5)} <= fitting.keys()
        elif draws.upper_bound == 0:
            with pytest.raises(LookupError, match="no design is within the limits"):
                draws.draw(rng)


def assert_drawn_by(weights: Mapping[Architecture, float], drawn: Counter[Architecture]) -> None:
    assert drawn.keys() <= weights.keys()
    scale = drawn.total() / sum(weights.values())
    frequent = [design for design, weight in weights.items() if weight * scale >= 5]
    rare = weights.keys() - frequent
    observed, expected = [drawn[design] for design in frequent], [weights[design] * scale for design in frequent]
    if rare:
        observed.append(sum(drawn[design] for design in rare))
        expected.append(sum(weights[design] for design in rare) * scale)
    assert chisquare(observed, expected).pvalue > 0.001


LIMITED = {
    "params": lambda listing: Limits(listing.at(0.7)),
    "fill": lambda listing: Limits(listing.at(0.9), fill=0.5),
    "macs": lambda listing: Limits(10**9, macs=listing.at(0.4, "macs")),
    "bytes": lambda listing: Limits(10**9, bytes=listing.at(0.4, "int8_bytes"), bytes_precision="int8"),
    "fill of bytes": lambda listing: Limits(
        10**9, macs=listing.at(0.9, "macs"), bytes=listing.at(0.9, "int8_bytes"), bytes_precision="int8", fill=0.5
    ),
    "all": lambda listing: Limits(
        listing.at(0.9), macs=listing.at(0.8, "macs"), activations=4 * listing.at(0.9, "peak"), fill=0.2
    ),
}


@pytest.mark.parametrize("kind", LIMITED)
@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("name", ["shortcut A among others", "even kernels and reductions", "overrides"])
def test_draws_are_uniform_in_their_measure(list_space: Any, name: str, measure: Measure, kind: str) -> None:
    listing = list_space(name)
    limits = LIMITED[kind](listing)
    fitting = listing.within(limits)
    weights = {design: cost.vectors if measure == "vectors" else 1 for design, cost in fitting.items()}
    assert 4 < len(weights) < 500
    draws, rng = Draws(listing.space, listing.task, limits, measure), np.random.default_rng(7)
    assert_drawn_by(weights, Counter(draws.draw(rng) for _ in range(3_000)))


def test_the_test_of_uniformity_distinguishes_the_measures(list_space: Any) -> None:
    listing = list_space("even kernels and reductions")
    draws, rng = Draws(listing.space, listing.task, Limits(10**9), "vectors"), np.random.default_rng(7)
    with pytest.raises(AssertionError):
        assert_drawn_by(dict.fromkeys(listing.designs, 1), Counter(draws.draw(rng) for _ in range(3_000)))


def test_coarse_cells_refuse_more_and_draw_the_same(list_space: Any, cells: Callable[[int], None]) -> None:
    listing = list_space("shortcut A among others")
    limits = Limits(listing.at(0.6), macs=listing.at(0.6, "macs"), fill=0.1)
    fine = Draws(listing.space, listing.task, limits, "designs")
    cells(8)
    coarse, rng = Draws(listing.space, listing.task, limits, "designs"), np.random.default_rng(3)
    assert coarse.upper_bound > fine.upper_bound >= len(listing.within(limits))
    assert None in [coarse.try_draw(rng) for _ in range(500)]
    assert_drawn_by(dict.fromkeys(listing.within(limits), 1), Counter(coarse.draw(rng) for _ in range(5_000)))
    assert set(coarse.designs()) == set(fine.designs())


def test_the_same_seed_draws_the_same_designs() -> None:
    draws = Draws(DEFAULT, CIFAR, Limits(300_000))
    first, again, other = (
        [draws.draw(rng) for rng in [np.random.default_rng(seed)] for _ in range(20)] for seed in (1, 1, 2)
    )
    assert first == again != other


@pytest.mark.parametrize(
    "limits",
    [
        Limits(5_000_000),
        Limits(300_000, fill=0.9),
        Limits(5_000_000, macs=50_000_000, fill=0.5),
        Limits(1_000_000, macs=10_000_000, activations=200_000),
        Limits(5_000_000, bytes=150_000, bytes_precision="int4"),
    ],
    ids=str,
)
def test_rounding_lets_few_designs_of_the_default_space_in(limits: Limits) -> None:
    draws, rng = Draws(DEFAULT, CIFAR, limits), np.random.default_rng(0)
    drawn = [draws.try_draw(rng) for _ in range(100)]
    kept = [design for design in drawn if design is not None]
    assert all(limits.admits(design, 32) for design in kept)
    assert len(kept) >= (50 if limits.macs is not None else 90)
    assert len(set(kept)) == len(kept)


def test_draws_beyond_64_bits_are_uniform() -> None:
    space = Space.model_validate(
        {
            "stem": {"width": 4},
            "num_stages": [3, 9],
            "stage": {"block": "basic", "depth": 1, "width": 4, "reduction": list(range(1, 301))},
            "overrides": {3: {"width": [4, 8, 12]}, 2: {"width": [4, 8, 16]}},
        }
    )
    draws, rng = Draws(space, CIFAR, Limits(10**12), "vectors"), np.random.default_rng(3)
    designs = list(Draws(space, CIFAR, Limits(10**12), "designs").designs())
    assert len(designs) == 18 and draws.upper_bound == 18 * 300**9 > 2**64
    drawn = Counter(draws.draw(rng) for _ in range(1_800))
    assert chisquare([drawn[design] for design in designs]).pvalue > 0.001


def test_draws_from_twelve_stages_keep_the_limits() -> None:
    values = DEFAULT.model_dump() | {"num_stages": (12,)}
    values["stage"] |= {"depth": (1, 2, 3), "width": (8, 16, 32, 64)}
    space, limits = Space.model_validate(values), Limits(300_000, macs=20_000_000, fill=0.8)
    draws, rng = Draws(space, CIFAR, limits), np.random.default_rng(0)
    for design in [draws.draw(rng) for _ in range(20)]:
        assert 240_000 <= count_parameters(design) <= 300_000
        assert count_macs(design, 32) <= 20_000_000


def test_draws_of_a_space_without_weights_are_those_of_before_there_were_weights(list_space: Any) -> None:
    listing = list_space("dropout and rules")
    limits, digests = Limits(4_000, macs=600_000, fill=0.2), []
    for measure in ("designs", "vectors"):
        draws, rng = Draws(listing.space, listing.task, limits, measure), np.random.default_rng(5)
        digests.append(sha256("".join(draws.draw(rng).to_json() for _ in range(100)).encode()).hexdigest()[:16])
    assert digests == ["e1c6ad60083dd5c7", "bee0153eb196c79d"]


# Draws by the weights of a space.

WEIGHTS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "stages": {"num_stages": "equal"},
    "stages, one of them never": {"num_stages": [3, 0, 1]},
    "depth": {"stage": {"depth": "falling"}},
    "much": {
        "num_stages": "falling",
        "stem": {"width": "falling"},
        "stage": {"depth": "falling", "width": [5, 2], "reduction": "falling"},
    },
    "blocks": {"num_stages": [1, 4], "stage": {"block": [1, 3], "kernel": [2, 1], "even_kernel": [1, 5]}},
    "never": {"stage": {"block": [0, 1], "reduction": [2, 0, 1]}},
    "network": {
        "num_stages": [1, 2],
        "dropout": [4, 0, 1],
        "shortcut": [1, 3],
        "stage": {"width": [1, 2], "block": [3, 1], "depth": "falling"},
    },
    "stems": {"stem": {"kernel": [1, 2], "stride": "falling", "padding": [0, 3, 1], "width": [7, 1]}},
    "new blocks": {"shortcut": [1, 2], "stage": {"stride": [1, 3], "expansion": "falling", "block": [2, 1]}},
    "heads": {"preactivation": [1, 3], "activation": [2, 1], "head_width": [1, 4]},
    "shortcuts": {"num_stages": [2, 1, 1], "shortcut": [1, 0, 2], "stem": {"width": "falling"}},
}
WEIGHED = [
    ("shortcut A among others", "nothing"),
    ("shortcut A among others", "stages"),
    ("shortcut A among others", "shortcuts"),
    ("overrides", "stages, one of them never"),
    ("overrides", "depth"),
    ("overrides", "much"),
    ("even kernels and reductions", "blocks"),
    ("even kernels and reductions", "never"),
    pytest.param("dropout and rules", "network", marks=pytest.mark.slow),
    ("stems, some impossible", "stems"),
    ("inverted blocks, strides and shortcuts", "new blocks"),
    ("heads, preactivation and a narrow end", "heads"),
]


def with_weights(listing: Any, of: str) -> Space:
    return Space.model_validate(listing.space.model_dump() | {"weights": WEIGHTS[of]})


def weight_of(space: Space, weights: dict[str, Any], indices: tuple[int, ...]) -> float:
    """The product of the weights of a vector's choices but for num_stages, straight from what the file says."""
    weight = 1.0
    for slot, index in zip(space.slots, indices, strict=True):
        part, _, field = slot.name.partition("_")
        section = "stem" if part == "stem" else "stage" if part.startswith("stage") else None
        said = weights.get(slot.name, "equal") if section is None else weights.get(section, {}).get(field, "equal")
        if slot.name != "num_stages":
            numbers = said if isinstance(said, list) else [1.0] * len(slot.choices)
            if said == "falling":
                numbers = [1 / float(choice) for choice in slot.choices]
            weight *= numbers[index] / sum(numbers)
    return weight


def expected_shares(listing: Any, weights: dict[str, Any], limits: Limits) -> dict[Architecture, float]:
    """The probability of each design within the limits, by trying all vectors."""
    space, fitting = listing.space, listing.within(limits)
    of_number: dict[int, dict[Architecture, float]] = {}
    for indices in product(*(range(len(slot.choices)) for slot in space.slots)):
        vector = {slot.name: slot.value(index) for slot, index in zip(space.slots, indices, strict=True)}
        try:
            design = space.decode(vector, listing.task)
        except ArchitectureError:
            continue
        if design in fitting:
            number = len(design.stages) if "num_stages" in weights else 0
            of_design = of_number.setdefault(number, {})
            of_design[design] = of_design.get(design, 0.0) + weight_of(space, weights, indices)
    of_number = {number: of_design for number, of_design in of_number.items() if sum(of_design.values())}
    first = weights.get("num_stages")
    shares: dict[int, float] = {}
    for number in of_number:
        listed = first[space.num_stages.index(number)] if isinstance(first, list) else None
        shares[number] = 1.0 if first in (None, "equal") else 1 / number if first == "falling" else listed
    return {
        design: shares[number] / sum(shares.values()) * weight / sum(of_design.values())
        for number, of_design in of_number.items()
        for design, weight in of_design.items()
        if shares[number] and weight
    }


def shares_by_tables(draws: Draws) -> dict[Architecture, float]:
    """The probability of each design by what every step of a draw is drawn with, without a draw."""
    of_group: list[tuple[float, dict[Architecture, float]]] = []
    space = draws._space
    free = [
        (dropout, activation, of_dropout * of_activation)
        for dropout, of_dropout in zip(space.dropout, space.choice_shares["dropout"], strict=True)
        for activation, of_activation in zip(space.activation, space.choice_shares["activation"], strict=True)
    ]
    for group in draws._groups:
        found: Counter[Architecture] = Counter()
        for root in group._roots:
            firsts = [
                (weight / group.total, draws._first(root, index))
                for index, weight in enumerate(root.weights.tolist())
                if weight
            ]
            for positions in draws._positions_after(root.start):
                shorter, firsts = firsts, []
                for share, beginning in shorter:
                    candidates, low, high = draws._next(root, positions, beginning)
                    weights = draws._tables.weigh(candidates, low, high)
                    firsts += [
                        (share * weight / weights.sum(), _extended(beginning, candidates, index))
                        for index, weight in enumerate(weights.tolist())
                        if weight
                    ]
            for share, beginning in firsts:
                for dropout, activation, of_both in free if draws._fits(beginning.spent) else ():
                    design = draws._parts.architecture(root.start, beginning.stages, dropout, activation)
                    if of_both and draws._fits_in_bytes(design):
                        found[design] += share * of_both  # type: ignore[assignment]
        if found:
            of_group.append((group.share, found))
    total = sum(share for share, _ in of_group)
    return {
        design: share / total * weight / sum(found.values())
        for share, found in of_group
        for design, weight in found.items()
    }


@pytest.mark.parametrize("kind", LIMITED)
@pytest.mark.parametrize(("name", "of"), WEIGHED)
def test_weighed_draws_have_exactly_the_weights_of_all_vectors_within_the_limits(
    list_space: Any, name: str, of: str, kind: str
) -> None:
    listing = list_space(name)
    limits, space = LIMITED[kind](listing), with_weights(listing, of)
    found = shares_by_tables(Draws(space, listing.task, limits, "weighed"))
    expected = expected_shares(listing, WEIGHTS[of], limits)
    assert len(expected) > 3 and found.keys() == expected.keys()
    assert [found[design] for design in expected] == pytest.approx(list(expected.values()), rel=1e-9)


def test_weighed_draws_are_drawn_with_their_weights(list_space: Any) -> None:
    listing = list_space("overrides")
    limits, space = LIMITED["all"](listing), with_weights(listing, "much")
    expected = expected_shares(listing, WEIGHTS["much"], limits)
    draws, rng = Draws.weighed(space, listing.task, limits), np.random.default_rng(7)
    drawn = Counter(draws.draw(rng) for _ in range(1_500))
    assert_drawn_by({design: 10**6 * share for design, share in expected.items()}, drawn)


def test_draws_that_compute_too_little_are_passed_over_and_the_rest_keep_their_weights(list_space: Any) -> None:
    listing = list_space("overrides")
    weights = {"stage": {"depth": "steep"}}
    limits = Limits(10**12, macs=listing.at(0.7, "macs"))
    plain = Space.model_validate(listing.space.model_dump() | {"weights": weights})
    expected = shares_by_tables(Draws(plain, listing.task, limits, "weighed"))
    assert limits.macs is not None
    enough = {design: share for design, share in expected.items() if listing.designs[design].macs >= 0.6 * limits.macs}
    assert 3 < len(enough) < len(expected)
    asked = Space.model_validate(listing.space.model_dump() | {"weights": weights | {"least_macs": 0.6}})
    draws, rng = Draws.weighed(asked, listing.task, limits), np.random.default_rng(2)
    drawn = Counter(draws.draw(rng) for _ in range(1_500))
    assert drawn.keys() <= enough.keys()
    assert_drawn_by({design: 10**6 * share for design, share in enough.items()}, drawn)


@pytest.mark.parametrize("macs", [None, 10**12])
def test_where_no_draw_computes_enough_one_of_the_others_will_do(list_space: Any, macs: int | None) -> None:
    listing = list_space("overrides")
    space = Space.model_validate(listing.space.model_dump() | {"weights": {"least_macs": 1.0}})
    draws, rng = Draws.weighed(space, listing.task, Limits(10**12, macs=macs)), np.random.default_rng(2)
    assert {draws.draw(rng) for _ in range(3)} <= listing.designs.keys()


def test_draws_that_compute_enough_are_not_sought_again_where_there_were_none(
    list_space: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = list_space("overrides")
    space = Space.model_validate(listing.space.model_dump() | {"weights": {"least_macs": 1.0}})
    draws, rng = Draws.weighed(space, listing.task, Limits(10**12, macs=10**12)), np.random.default_rng(2)
    draws.draw(rng)
    monkeypatch.setattr("search.space.draws.MAX_REJECTED", 1)  # a second draw needs no more
    assert draws.draw(rng) in listing.designs


def test_the_same_seed_draws_the_same_weighed_designs(list_space: Any) -> None:
    draws = Draws.weighed(with_weights(list_space("overrides"), "much"), CIFAR, Limits(10**6))
    first, again = ([draws.draw(rng) for rng in [np.random.default_rng(1)] for _ in range(20)] for _ in range(2))
    assert first == again


def test_coarse_cells_do_not_change_the_weights(list_space: Any, cells: Callable[[int], None]) -> None:
    listing = list_space("shortcut A among others")
    limits, space = LIMITED["all"](listing), with_weights(listing, "shortcuts")
    cells(8)
    coarse, rng = Draws.weighed(space, listing.task, limits), np.random.default_rng(3)
    assert None in [coarse.try_draw(rng) for _ in range(500)]
    found, expected = shares_by_tables(coarse), expected_shares(listing, WEIGHTS["shortcuts"], limits)
    assert [found[design] for design in expected] == pytest.approx(list(expected.values()), rel=1e-9)


def test_a_number_of_stages_of_which_only_rounding_lets_designs_in_is_dropped(
    list_space: Any, monkeypatch: pytest.MonkeyPatch, cells: Callable[[int], None]
) -> None:
    listing = list_space("shortcut A among others")
    limits = Limits(min(cost.params for design, cost in listing.designs.items() if len(design.stages) == 3) - 1)
    monkeypatch.setattr("search.space.draws.MAX_REJECTED", 200)
    cells(8)
    draws, rng = Draws.weighed(with_weights(listing, "shortcuts"), listing.task, limits), np.random.default_rng(0)
    assert any(root.start.num_stages == 3 for root in draws._roots)
    numbers = Counter(len(draws.draw(rng).stages) for _ in range(600))
    assert chisquare([numbers[1], numbers[2]], [400, 200]).pvalue > 0.001 and numbers.total() == 600


def test_the_default_space_draws_each_number_of_stages_as_often() -> None:
    draws, rng = Draws.weighed(DEFAULT, CIFAR, Limits(300_000, fill=0.5)), np.random.default_rng(0)
    drawn = [draws.draw(rng) for _ in range(600)]
    assert chisquare(list(Counter(len(design.stages) for design in drawn).values())).pvalue > 0.001
    assert len(set(drawn)) > 590


def test_weights_that_leave_nothing_to_draw_are_no_design(list_space: Any) -> None:
    listing = list_space("shortcut A among others")
    values = listing.space.model_dump() | {"weights": {"num_stages": [0, 0, 1]}}
    limits = Limits(min(cost.params for cost in listing.designs.values()))
    draws = Draws.weighed(Space.model_validate(values), listing.task, limits)
    assert draws.try_draw(np.random.default_rng(0)) is None
    with pytest.raises(LookupError, match=r"^no design is within the limits$"):
        draws.draw(np.random.default_rng(0))
