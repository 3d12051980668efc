"""Options that several commands take."""

import pytest

from search.cli.options import machine_of, recipe_of
from search.errors import InputError, RecipeError
from search.recipes import FAST
from search.workers.machine import Machine


@pytest.mark.parametrize(("text", "num_workers"), [("auto", None), ("1", 1), ("64", 64)])
def test_workers_are_a_number_or_auto(text: str, num_workers: int | None) -> None:
    assert machine_of("cpu", text) == Machine("cpu", num_workers)


@pytest.mark.parametrize("text", ["0", "65", "-1", "2.5", "many", "", "Auto"])
def test_other_workers_are_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        machine_of("cpu", text)
    assert str(caught.value) == f"workers = {text!r}: must be auto, or a number from 1 to 64"


@pytest.mark.parametrize(
    ("text", "ray", "most"),
    [("65", None, 64), ("1000", None, 64), ("1001", "auto", 1000), ("0", "auto", 1000)],
)
def test_a_cluster_may_have_more_workers(text: str, ray: str | None, most: int) -> None:
    with pytest.raises(InputError) as caught:
        machine_of("cpu", text, ray=ray)
    assert str(caught.value) == f"workers = {text!r}: must be auto, or a number from 1 to {most}"
    assert machine_of("cpu", str(most), ray=ray).num_workers == most


def test_a_cluster_is_as_the_options_say(capsys: pytest.CaptureFixture[str]) -> None:
    machine = machine_of("cuda", "auto", "head:6379", 0.25, 0.5)
    assert (machine.device, machine.num_workers) == ("cuda", None)
    cluster = machine.cluster
    assert cluster is not None and cluster.address == "head:6379"
    assert (cluster.gpus_per_worker, cluster.cpus_per_worker) == (0.25, 0.5)
    cluster.say("ray: 4 places")
    assert capsys.readouterr() == ("", "ray: 4 places\n")


def test_a_worker_on_a_cluster_has_one_cpu_and_the_gpus_that_pay_unless_told_otherwise() -> None:
    cluster = machine_of("auto", "auto", ray="auto").cluster
    assert cluster is not None and (cluster.gpus_per_worker, cluster.cpus_per_worker) == (None, 1.0)
    assert machine_of("auto", "auto").cluster is None


@pytest.mark.parametrize(
    ("gpus", "cpus", "value"),
    [(0.5, None, "gpus-per-worker = 0.5"), (0.0, 2.0, "gpus-per-worker = 0"), (None, 0.5, "cpus-per-worker = 0.5")],
)
def test_shares_are_only_for_workers_on_a_cluster(gpus: float | None, cpus: float | None, value: str) -> None:
    with pytest.raises(InputError) as caught:
        machine_of("auto", "auto", None, gpus, cpus)
    assert str(caught.value) == f"{value}: is for workers on a cluster; give --ray too"


def test_a_share_of_no_cpu_is_refused_rather_than_replaced() -> None:
    with pytest.raises(InputError, match=r"^cpus-per-worker = 0: must be at least"):
        machine_of("auto", "auto", ray="auto", cpus_per_worker=0.0)


def test_another_device_is_refused() -> None:
    with pytest.raises(InputError, match=r"^device = 'tpu': must be one of auto, cpu, cuda$"):
        machine_of("tpu", "auto")


def test_a_batch_size_takes_the_place_of_the_recipes() -> None:
    assert recipe_of("fast", None, "96") == FAST.model_copy(update={"batch_size": 96})
    assert recipe_of("fast", 3, "1k") == FAST.model_copy(update={"batch_size": 1_000, "epochs": 3})


def test_an_automatic_batch_size_is_the_recipes_and_may_be_halved() -> None:
    assert recipe_of("fast", None, "auto") == FAST.model_copy(update={"halve_batch": True})


def test_without_a_batch_size_the_recipe_stays_as_it_is() -> None:
    assert recipe_of("fast", None) == recipe_of("fast", None, None) == FAST


@pytest.mark.parametrize("text", ["0", "-8", "many", "1.5"])
def test_a_batch_size_that_is_no_count_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^batch-size = '.*': must be a whole number"):
        recipe_of("fast", None, text)


def test_a_batch_size_that_no_recipe_may_have_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"^batch_size = 70000: "):
        recipe_of("fast", None, "70k")
