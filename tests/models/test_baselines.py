"""Every hand-made network of the reports builds to exactly the parameters it is known by."""

import pytest

from models.architecture import ArchitectureError
from models.baselines import BASELINES, BUDGET, find_baseline
from models.build import build_on_meta
from models.count import count_parameters

# The totals the reports state, or an independent derivation gave.
STATED = {
    "resnet20-a": 269_722,
    "resnet20-b": 272_474,
    "resnet56-a": 853_018,
    "resnet56-b": 855_770,
    "modified-resnet": 2_777_674,
    "resnet18": 11_173_962,
    "flexible-1": 5_069_130,
    "flexible-3": 4_997_194,
    "flexible-6": 5_069_130,
    "resnet10": 4_903_242,
    "resnet40": 4_994_730,
    "resnet40-ft": 4_994_730,
    "resnet102": 4_997_658,
}
DERIVED = ("flexible-2", "flexible-4", "flexible-5", "flexible-7", "flexible-8")


@pytest.mark.parametrize(("name", "stated"), STATED.items())
def test_a_stated_total_is_met_to_the_unit(name: str, stated: int) -> None:
    assert count_parameters(BASELINES[name].architecture) == stated


@pytest.mark.parametrize("name", BASELINES)
def test_the_built_module_has_the_counted_parameters(name: str) -> None:
    architecture = BASELINES[name].architecture
    built = sum(parameter.numel() for parameter in build_on_meta(architecture).parameters())
    assert built == count_parameters(architecture)


def test_all_systems_of_the_reports_are_there() -> None:
    assert set(BASELINES) == {*STATED, *DERIVED}


def test_three_are_over_five_million() -> None:
    over = {name for name, each in BASELINES.items() if count_parameters(each.architecture) > BUDGET}
    assert over == {"resnet18", "flexible-1", "flexible-6"}


def test_depths_are_those_in_the_names() -> None:
    depths = {"resnet20-b": 20, "resnet56-a": 56, "resnet18": 18, "resnet10": 10, "resnet40": 40, "resnet102": 102}
    assert {name: BASELINES[name].architecture.depth for name in depths} == depths


def test_a_baseline_is_fitted_to_other_data() -> None:
    grey = find_baseline("resnet20-b", in_channels=1, num_classes=7)
    assert (grey.in_channels, grey.num_classes) == (1, 7)
    assert grey.stages == BASELINES["resnet20-b"].architecture.stages


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ArchitectureError, match=r"baseline = 'resnet4': no such baseline; there are resnet40"):
        find_baseline("resnet4")
