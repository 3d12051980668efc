"""The options for devices, workers and a Ray cluster."""

import pytest

from search.cli.machine import parse_machine
from search.errors import InputError
from search.workers.machine import Machine


@pytest.mark.parametrize(("text", "num_workers"), [("auto", None), ("1", 1), ("64", 64)])
def test_workers_are_a_number_or_auto(text: str, num_workers: int | None) -> None:
    assert parse_machine("cpu", text) == Machine("cpu", num_workers)


@pytest.mark.parametrize("text", ["0", "65", "-1", "2.5", "many", "", "Auto"])
def test_other_workers_are_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_machine("cpu", text)
    assert str(caught.value) == f"workers = {text!r}: must be auto, or a number from 1 to 64"


@pytest.mark.parametrize(
    ("text", "ray", "most"),
    [("65", None, 64), ("1000", None, 64), ("1001", "auto", 1000), ("0", "auto", 1000)],
)
def test_a_cluster_may_have_more_workers(text: str, ray: str | None, most: int) -> None:
    with pytest.raises(InputError) as caught:
        parse_machine("cpu", text, ray=ray)
    assert str(caught.value) == f"workers = {text!r}: must be auto, or a number from 1 to {most}"
    assert parse_machine("cpu", str(most), ray=ray).num_workers == most


def test_a_cluster_is_as_the_options_say(capsys: pytest.CaptureFixture[str]) -> None:
    machine = parse_machine("cuda", "auto", "head:6379", 0.25, 0.5)
    assert (machine.device, machine.num_workers) == ("cuda", None)
    cluster = machine.cluster
    assert cluster is not None and cluster.address == "head:6379"
    assert (cluster.gpus_per_worker, cluster.cpus_per_worker) == (0.25, 0.5)
    cluster.say("ray: 4 places")
    assert capsys.readouterr() == ("", "ray: 4 places\n")


def test_a_worker_on_a_cluster_has_one_cpu_and_the_gpus_that_pay_by_default() -> None:
    cluster = parse_machine("auto", "auto", ray="auto").cluster
    assert cluster is not None and (cluster.gpus_per_worker, cluster.cpus_per_worker) == (None, 1.0)
    assert parse_machine("auto", "auto").cluster is None


@pytest.mark.parametrize(
    ("gpus", "cpus", "value"),
    [(0.5, None, "gpus-per-worker = 0.5"), (0.0, 2.0, "gpus-per-worker = 0"), (None, 0.5, "cpus-per-worker = 0.5")],
)
def test_shares_are_only_for_workers_on_a_cluster(gpus: float | None, cpus: float | None, value: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_machine("auto", "auto", None, gpus, cpus)
    assert str(caught.value) == f"{value}: is for workers on a cluster; give --ray too"


def test_a_share_of_no_cpu_is_refused_rather_than_replaced() -> None:
    with pytest.raises(InputError, match=r"^cpus-per-worker = 0: must be at least"):
        parse_machine("auto", "auto", ray="auto", cpus_per_worker=0.0)


def test_another_device_is_refused() -> None:
    with pytest.raises(InputError, match=r"^device = 'tpu': must be one of auto, cpu, cuda, or a GPU as cuda:1$"):
        parse_machine("tpu", "auto")
