"""Which runs are averaged as one network, and which network is quoted."""

from dataclasses import replace

import pytest

from search.identity import Identity
from search.study.networks import alike, quoted
from studies import make_architecture as architecture
from studies import make_run as run


def test_runs_that_differ_in_their_seeds_alone_are_one_network():
    same = [run("0001", seed, 0.9, recipe_digest="a", epochs=40 + seed) for seed in range(3)]
    (network,) = alike(same)
    assert (network.seeds, network.epochs, network.training) == (3, 42, "cosine, 42 epochs")
    for change in (
        {"identity": Identity(trial=2)},
        {"architecture": architecture(64)},
        {"recipe_digest": "b"},
        {"holdout": True},
        {"precision": "fp32"},
        {"device": "CPU, 4 threads"},
    ):
        assert [each.seeds for each in alike([*same, replace(same[0], seed=3, **change)])] == [3, 1]


def test_without_a_digest_recipe_and_length_are_the_way():
    assert len(alike([run("0001", 0, 0.9), run("0001", 1, 0.9)])) == 1
    assert len(alike([run("0001", 0, 0.9), run("0001", 1, 0.9, epochs=19)])) == 2
    assert len(alike([run("0001", 0, 0.9), run("0001", 1, 0.9, recipe="other")])) == 2


def test_one_kind_of_gpu_is_as_good_as_another_but_a_cpu_is_not():
    devices = ("NVIDIA H100", "NVIDIA H200", "CPU, 4 threads", "CPU, 8 threads")
    networks = alike(run("0001", seed, 0.9, device=device) for seed, device in enumerate(devices))
    assert [(network.seeds, network.hardware) for network in networks] == [
        (2, "bfloat16 on a GPU"),
        (2, "bfloat16 on a CPU"),
    ]


@pytest.mark.parametrize("is_turned", [False, True])
def test_quoted_is_the_network_of_most_epochs_then_of_most_seeds_then_the_one_without_a_holdout(is_turned):
    held = [run("0001", seed, 0.93, holdout=True) for seed in (0, 1)]
    whole = [run("0001", 0, 0.9)]
    short = [run("0001", 0, 0.99, epochs=5)]

    def found(*groups):
        runs = [each for group in groups for each in group]
        return list(quoted(alike(runs[::-1] if is_turned else runs))["0001"].runs)

    assert sorted(each.seed for each in found(held, whole)) == [0, 1]
    assert found(held[:1], whole) == whole
    assert found(held[:1], short) == held[:1]
    half = [run("0001", seed, 0.9, epochs=10) for seed in (0, 1)]
    assert sorted(each.seed for each in found(half, whole)) == [0, 1]
    assert found([run("0001", 0, 0.9, epochs=300)], half, held) == [run("0001", 0, 0.9, epochs=300)]
    assert found(short, whole) == whole


@pytest.mark.parametrize("is_turned", [False, True])
def test_of_networks_that_are_else_alike_the_latest_is_quoted(is_turned):
    first = run("0001", 0, 0.9, recipe="z", time="2026-01-01")
    last = run("0001", 0, 0.8, recipe="a", time="2026-01-02")
    assert quoted(alike([last, first] if is_turned else [first, last]))["0001"].runs == (last,)
