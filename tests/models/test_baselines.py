"""Every hand-made network of the reports builds to exactly the parameters it is known by."""

from itertools import groupby

import pytest
from torchvision.models import mobilenet_v2

from models.architecture import ArchitectureError
from models.baselines import BASELINES, BUDGET, find_baseline
from models.build import build_on_meta
from models.count import count_macs, count_parameters
from search.space.space import Task, load_space

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
# As public implementations count them: pytorchcv (https://github.com/osmr/pytorchcv) and wide ResNets of the authors.
PUBLIC = {
    "preresnet20": 272_282,
    "preresnet56": 855_578,
    "wrn16-4": 2_748_890,
    "wrn20-4": 4_298_970,
    "resnext29-32x4d": 4_775_754,
    "se-resnet20": 274_847,
    "se-resnet56": 862_889,
}
MOBILE = {"mobilenetv2-0.5": 0.5, "mobilenetv2": 1.0}
DERIVED = ("flexible-2", "flexible-4", "flexible-5", "flexible-7", "flexible-8")


@pytest.mark.parametrize(("name", "stated"), (STATED | PUBLIC).items())
def test_a_stated_total_is_met_to_the_unit(name: str, stated: int) -> None:
    assert count_parameters(BASELINES[name].architecture) == stated


@pytest.mark.parametrize("name", BASELINES)
def test_the_built_module_has_the_counted_parameters(name: str) -> None:
    architecture = BASELINES[name].architecture
    built = sum(parameter.numel() for parameter in build_on_meta(architecture).parameters())
    assert built == count_parameters(architecture)


@pytest.mark.parametrize(("name", "factor"), MOBILE.items())
def test_mobilenets_have_the_parameters_of_torchvisions(name: str, factor: float) -> None:
    theirs = mobilenet_v2(num_classes=10, width_mult=factor)
    assert count_parameters(BASELINES[name].architecture) == sum(each.numel() for each in theirs.parameters())


def test_public_networks_compute_as_much_as_was_said_of_them() -> None:
    # MobileNetV2 as https://github.com/chenyaofo/pytorch-cifar-models states it, in millions.
    stated = {"mobilenetv2-0.5": 27.97, "mobilenetv2": 87.98, "wrn16-4": 392.61}
    assert {name: round(count_macs(BASELINES[name].architecture, 32) / 1e6, 2) for name in stated} == stated


def test_all_systems_of_the_reports_are_there() -> None:
    assert {name for name, made in BASELINES.items() if made.origin.startswith("report ")} == {*STATED, *DERIVED}
    assert set(BASELINES) == {*STATED, *DERIVED, *PUBLIC, *MOBILE}


def test_those_of_one_origin_stand_together() -> None:
    origins = [made.origin for made in BASELINES.values()]
    assert len(list(groupby(origins))) == len(set(origins))


def test_public_networks_are_in_no_search_of_the_default_space() -> None:
    space = load_space()
    for name in (*PUBLIC, *MOBILE):
        assert not space.holds(BASELINES[name].architecture, Task(32, 3, 10)), name


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
