"""The one rule by which a network is meant where a trial was trained as several."""

from dataclasses import replace

import pytest

from search.identity import Identity
from search.study.meant import is_of, meant, others
from search.study.networks import alike, quoted
from search.study.view import at_dropout
from search.teaching import Teacher, Teaching
from studies import make_architecture as architecture
from studies import make_finalists as finalists
from studies import make_run as run

ROUND = finalists({None: (0.70, 0.80), 0.1: (0.60, 0.95), 0.2: (0.90, 0.50)})


def final(dropout=None, seed=0, **changes):
    network = architecture() if dropout is None else at_dropout(architecture(), dropout)
    return run(Identity(trial=1, dropout=dropout).label, seed, 0.9, architecture=network, **changes)


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


def test_a_run_is_of_the_design_that_its_trial_has_now():
    own, changed, before = final(), final(0.1), run("0001", 0, 0.9, architecture=architecture(64))
    assert [is_of(each, architecture()) for each in (own, changed, before)] == [True, True, False]
    assert is_of(before, None) and is_of(run("resnet40", 0, 0.9), architecture(64))


def test_what_is_not_meant_is_named_with_the_weightiest_first():
    long = [final(seed=seed) for seed in (0, 1)]
    short, held = final(epochs=5), final(holdout=True)
    network = meant([short, held, *long])
    assert network.runs == tuple(long)
    assert [other.runs for other in others([short, held, *long], network)] == [(held,), (short,)]
    assert others(long, network) == []


def test_a_short_retraining_is_not_meant_though_it_was_the_last():
    long = [final(seed=seed, epochs=6, time="2026-01-01") for seed in range(3)]
    short = final(epochs=1, time="2026-01-02")
    assert meant([*long, short]).runs == tuple(long)


def test_a_taught_run_counts_with_its_teachers_epochs_unless_the_same_is_there_without():
    teaching = Teaching((Teacher("trial 2", 9_000, 80_000, "abc"), Teacher("trial 3", 9_000, 80_000, "def")), "top2")
    taught, same = final(epochs=6, teaching=teaching), final(epochs=6)
    shorter, longer = final(epochs=17, recipe_digest="b"), final(epochs=19, recipe_digest="c")
    crowded = final(epochs=6, teaching=Teaching(5 * teaching.teachers, "top10"))
    more = [final(epochs=6, seed=seed, teaching=teaching) for seed in range(4)]
    for runs, expected in (
        ([taught], [taught]),
        ([shorter, taught], [taught]),  # 6 epochs of its own and of each teacher
        ([longer, taught], [longer]),
        ([same, taught], [same]),
        ([same, *more], [same]),  # whatever has more seeds, what others are compared with counts
        ([shorter, same, taught], [shorter]),
        ([longer, crowded], [longer]),  # two teachers count at most
    ):
        assert meant(runs).runs == meant(runs[::-1]).runs == tuple(expected)


def test_seeds_of_another_precision_or_device_are_not_mixed():
    fast = [final(seed=seed, precision="bf16") for seed in (0, 1)]
    rest = [replace(final(seed=2), precision="fp32"), replace(final(seed=3), precision="bf16", device="CPU, 2 threads")]
    assert meant([*rest, *fast]).runs == tuple(fast)
