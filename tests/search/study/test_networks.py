"""The one rule by which runs are averaged, and which network is quoted and meant."""

from dataclasses import replace

import pytest

from search.identity import Identity
from search.study.networks import alike, last_round, meant, quoted, tried_dropouts
from search.study.view import at_dropout
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
    ):
        assert [each.seeds for each in alike([*same, replace(same[0], seed=3, **change)])] == [3, 1]


def test_without_a_digest_recipe_and_length_are_the_way():
    assert len(alike([run("0001", 0, 0.9), run("0001", 1, 0.9)])) == 1
    assert len(alike([run("0001", 0, 0.9), run("0001", 1, 0.9, epochs=19)])) == 2
    assert len(alike([run("0001", 0, 0.9), run("0001", 1, 0.9, recipe="other")])) == 2


@pytest.mark.parametrize("is_turned", [False, True])
def test_quoted_is_the_network_of_most_seeds_then_the_one_without_a_holdout_then_the_longest(is_turned):
    held = [run("0001", seed, 0.93, holdout=True) for seed in (0, 1)]
    whole = [run("0001", 0, 0.9)]
    short = [run("0001", 0, 0.99, epochs=5)]

    def found(*groups):
        runs = [each for group in groups for each in group]
        return list(quoted(alike(runs[::-1] if is_turned else runs))["0001"].runs)

    assert sorted(each.seed for each in found(held, whole)) == [0, 1]
    assert found(held[:1], whole) == whole
    assert found(held[:1], short) == short
    assert found(short, whole) == whole


def final(dropout=None, seed=0, **changes):
    network = architecture() if dropout is None else at_dropout(architecture(), dropout)
    return run(Identity(trial=1, dropout=dropout).label, seed, 0.9, architecture=network, **changes)


def finalists(accuracies, **changes):
    """Runs of a round by dropout, a seed for each accuracy."""
    return [
        run(
            Identity(trial=1, dropout=dropout).label,
            seed,
            value,
            "finalist",
            architecture=architecture() if dropout is None else at_dropout(architecture(), dropout),
            **changes,
        )
        for dropout, values in accuracies.items()
        for seed, value in enumerate(values)
    ]


ROUND = finalists({None: (0.70, 0.80), 0.1: (0.60, 0.95), 0.2: (0.90, 0.50)})


@pytest.mark.parametrize("is_turned", [False, True])
def test_of_a_trials_dropouts_the_chosen_one_is_meant_then_its_own_then_the_one_of_most_seeds(is_turned):
    def label(runs, finalists=()):
        return meant(runs[::-1] if is_turned else runs, finalists).label

    own, chosen, other = final(), final(0.1), [final(0.2, seed) for seed in (0, 1)]
    assert label([own, chosen, *other], ROUND) == "0001 with dropout 0.1"
    assert label([own, *other], ROUND) == "0001", "the chosen one was not trained finally"
    assert label([own, chosen, *other]) == "0001", "none was chosen"
    assert label([chosen, *other]) == "0001 with dropout 0.2"


def test_a_network_that_is_meant_has_its_runs_by_seed_and_is_the_quoted_one():
    runs = [final(seed=seed) for seed in (10, 0, 2)] + [final(seed=0, holdout=True), final(seed=5, recipe="other")]
    assert [each.seed for each in meant(runs).runs] == [0, 2, 10]
    assert set(meant(runs).runs) == set(quoted(alike(runs))["0001"].runs)


@pytest.mark.parametrize("is_turned", [False, True])
def test_a_number_stands_for_the_architecture_that_was_trained_last(is_turned):
    """A study that began anew left two seeds of an earlier network under this number."""
    before = [run("0001", seed, 0.9, architecture=architecture(64), time="2026-01-01") for seed in (1, 2)]
    now = final(time="2026-01-02")
    assert meant([now, *before] if is_turned else [*before, now]).runs == (now,)


def test_no_dropout_is_chosen_by_an_unfinished_round_or_among_runs_that_were_trained_otherwise():
    assert [network.label for network in tried_dropouts(ROUND, 1)] == [
        "0001", "0001 with dropout 0.1", "0001 with dropout 0.2",
    ]  # fmt: skip
    assert tried_dropouts(ROUND, 2) == tried_dropouts(ROUND[:2], 1) == tried_dropouts(ROUND[2:], 1) == []
    one_seed = [each for each in ROUND if each.identity.dropout is None or each.seed == 0]
    assert tried_dropouts(one_seed, 1) == []
    longer = finalists({0.1: (0.6, 0.95)}, epochs=40)
    assert tried_dropouts([*ROUND[:2], *longer], 1) == []
    assert tried_dropouts([*ROUND, *finalists({None: (0.7, 0.8)}, epochs=40)], 1) == []


def test_the_round_that_counts_is_the_last_then_the_one_of_most_finalists_then_the_longest():
    early = finalists({None: (0.7, 0.8), 0.1: (0.9, 0.9)}, recipe_digest="a", time="2026-01-01")
    late = finalists({None: (0.7, 0.8)}, recipe_digest="b", time="2026-01-02")
    assert last_round([*early, *late]) == last_round([*late, *early]) == late
    untimed = [[replace(each, time="") for each in runs] for runs in (early, late)]
    assert last_round([*untimed[0], *untimed[1]]) == untimed[0]
    longer = finalists({None: (0.7, 0.8)}, recipe_digest="c", epochs=40)
    assert last_round([*untimed[1], *longer]) == longer
    assert last_round([run("0001", 0, 0.9)]) == []
