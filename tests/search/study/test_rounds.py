"""The finalists' rounds, and the dropout that they choose."""

from dataclasses import replace

import pytest

from search.study.networks import alike
from search.study.rounds import (
    audit_round,
    chosen_dropout,
    earlier_rounds,
    last_round,
    mean_validation,
    standings,
    tried_dropouts,
)
from studies import make_finalists as finalists
from studies import make_history
from studies import make_run as run

ROUND = finalists({None: (0.70, 0.80), 0.1: (0.60, 0.95), 0.2: (0.90, 0.50)})


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


def test_other_rounds_are_named_in_the_order_in_which_they_were_trained():
    rounds = [
        finalists({None: (0.7, 0.8), 0.1: (0.9, 0.9)}, epochs=epochs, time=f"2026-01-0{day}")
        for day, epochs in ((2, 9), (3, 1), (1, 5))
    ]
    found = earlier_rounds(each for runs in rounds for each in runs)
    assert [network.epochs for network in found] == [5, 9]
    assert earlier_rounds(rounds[0]) == earlier_rounds([]) == []


def test_rounds_of_another_precision_or_device_are_not_compared():
    early = finalists({None: (0.7, 0.8)}, time="2026-01-01")
    for change in ({"precision": "fp32"}, {"device": "CPU, 2 threads"}):
        late = finalists({0.1: (0.9, 0.9)}, time="2026-01-02", **change)
        assert last_round([*early, *late]) == late
        assert chosen_dropout([*early, *late], 1) is None


def keeping(label, seed, best, last):
    """A finalist's run that kept the weights of its second epoch."""
    made = run(label, seed, last, "finalist")
    first, _, *rest = made.history
    kept = replace(first, epoch=2, validation_accuracy=best)
    return replace(made, history=(first, kept, *rest), kept_epoch=2)


def test_a_finalist_that_keeps_its_best_weights_is_ranked_by_them_and_says_so():
    steady = [keeping("0001", seed, 0.90, 0.90) for seed in (0, 1)]
    peaked = [keeping("0002", seed, 0.95, 0.80) for seed in (0, 1)]
    ranked = standings(alike([*steady, *peaked]), {})
    assert [finalist.network.label for finalist in ranked] == ["0002", "0001"]
    assert [finalist.mean for finalist in ranked] == pytest.approx([0.95, 0.90])
    assert all(finalist.keeps_best for finalist in ranked)
    last = standings(alike(replace(each, kept_epoch=None) for each in (*steady, *peaked)), {})
    assert [finalist.network.label for finalist in last] == ["0001", "0002"]
    assert not any(finalist.keeps_best for finalist in last)


def test_a_validation_that_is_not_finite_is_none():
    broken = replace(run("0001", 0, 0.9, "finalist"), history=make_history(float("nan"), 3))
    assert broken.validation is None and last_round([broken]) == []
    assert mean_validation(alike(ROUND[:2])[0]) == pytest.approx(0.75)


@pytest.mark.parametrize(
    "values", [{None: (0.7, 0.8), 0.1: (0.8, 0.7), 0.0: (0.75, 0.75)}, {None: (0.1, 0.1), 0.1: (0.9,)}]
)
def test_of_equal_dropouts_and_unfinished_ones_the_trials_own_is_chosen(values):
    chosen = chosen_dropout(finalists(values), 1)
    assert chosen is None or chosen.network.label == "0001"
    assert standings(alike(finalists(values)), {})[0].network.label == "0001"


def test_the_audit_that_is_shown_is_of_most_trials_then_the_longest_then_the_latest():
    short = [run(label, 0, 0.9, "proxy", epochs=5) for label in ("0001", "0002")]
    long = [run("0001", 0, 0.9, "proxy", epochs=40)]
    assert audit_round([*long, *short]) == short
    assert audit_round([*long, *short[:1]]) == long
    slow = [replace(each, device="CPU, 2 threads", time="2026-01-02") for each in short]
    assert audit_round([*slow, *short]) == slow
    assert audit_round([]) == []
