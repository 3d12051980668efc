from collections.abc import Callable, Iterator

import pytest
from optuna.pruners import MedianPruner, NopPruner, SuccessiveHalvingPruner

from models.architecture import Architecture
from models.count import count_parameters
from search.errors import SpaceError
from search.space.space import Space
from search.space.tally import Tally
from search.study.plan import Plan
from search.study.proposals import make_pruner, require_feasible


def test_a_budget_below_the_smallest_network_is_refused_with_its_size(make_plan: Callable[..., Plan]) -> None:
    plan = make_plan(budget=100)
    smallest = min(count_parameters(design) for design in all_designs(plan))
    with pytest.raises(SpaceError) as caught:
        require_feasible(plan.question)
    expected = f"budget = 100: the smallest network of this space on toy has {smallest:,} parameters"
    assert str(caught.value) == expected
    assert require_feasible(make_plan(budget=smallest).question) is None
    with pytest.raises(SpaceError, match=f"budget = {smallest - 1}: "):
        require_feasible(make_plan(budget=smallest - 1).question)


def all_designs(plan: Plan) -> Iterator[Architecture]:
    return Tally(plan.question.space, plan.task, 10**9).designs()


def test_a_space_without_networks_is_refused(make_plan: Callable[..., Plan]) -> None:
    space = Space.model_validate(
        {
            "stem": {"width": 16},
            "num_stages": 1,
            "stage": {"block": "basic", "depth": 1, "width": [4, 8]},
            "rules": {"non_decreasing_width": True},
        }
    )
    with pytest.raises(SpaceError, match=r"^space: no choice of its values is a network$"):
        require_feasible(make_plan(space=space).question)


def test_pruners_are_what_their_names_say() -> None:
    assert isinstance(make_pruner("none", 8), NopPruner)
    assert isinstance(make_pruner("median", 8), MedianPruner)
    assert isinstance(make_pruner("asha", 8), SuccessiveHalvingPruner)
    for name in ("none", "median", "asha"):
        make_pruner(name, 1)  # the shortest schedule
