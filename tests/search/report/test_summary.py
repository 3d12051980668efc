"""The first lines of the page: whether searching paid, and where a study has no answer or an odd one."""

from dataclasses import replace

import pytest

from models.count import count_parameters
from models.int8 import count_int8_bytes
from search.report.caveats import caveats
from search.report.findings import find
from search.report.summary import conclusion, facts, question, whether_searching_paid
from search.study.view import StudyView, at_dropout
from search.teaching import Teacher, Teaching
from studies import make_architecture, make_run, make_trial, make_view


@pytest.mark.parametrize("state", ["failed", "pruned"])
def test_a_search_whose_trials_all_ended_early_is_not_said_to_be_under_way(study, trial, state):
    view = study(trials=tuple(trial(number, 0.4 if state == "pruned" else None, state) for number in range(3)))
    assert conclusion(find(view)) == ["There is no answer yet: no trial was trained to the end."]


def test_a_study_of_baselines_alone_says_that_nothing_was_searched(study, run):
    view = study(runs=(run("resnet20-b", 0, 0.9), run("resnet20-b", 1, 0.9), run("resnet40", 0, 0.9)))
    assert conclusion(find(view)) == ["No search was made here: 2 networks made by hand."]


def test_trials_are_of_a_number_where_a_number_was_asked_for(study, trial):
    for changes, shown in (({}, "1 of 3"), ({"by_time": True}, "1"), ({"by_time": True, "num_trials": None}, "1")):
        (fact,) = [fact for fact in facts(find(study(trials=(trial(0),), **changes))) if fact.term == "Trained trials"]
        assert fact.value == shown


def test_a_limit_of_macs_is_part_of_the_question(study):
    assert question(study(max_macs=600_000_000)) == (
        "Which network of at most 5,000,000 parameters and 600M MACs classifies cifar10 best?"
    )


def test_a_limit_of_int8_bytes_is_not_called_a_budget_of_parameters(study, trial):
    (only,) = view_trials = (trial(0, 0.9),)
    size = 2 * count_int8_bytes(only.architecture)
    within = study(trials=view_trials, budget=size, max_int8_bytes=size)
    assert question(within) == f"Which network of at most {size:,} bytes in int8 classifies cifar10 best?"
    assert f"50.0% of {size:,} bytes in int8." in conclusion(find(within))[0]
    params = count_parameters(only.architecture)
    tighter = replace(within, budget=params, max_macs=600_000_000)
    assert f"100.0% of the budget of {params:,}." in conclusion(find(tighter))[0]
    assert question(tighter) == (
        f"Which network of at most {params:,} parameters, 600M MACs and {size:,} bytes in int8 classifies cifar10 best?"
    )


def test_there_is_no_answer_without_a_complete_trial(study, trial):
    view = study(trials=(trial(0, None, "failed", reason="out of memory"), trial(1, 0.5, "pruned")))
    assert find(view).answer is None
    assert conclusion(find(view)) == ["There is no answer yet: no trial was trained to the end."]


# Whether searching paid.

FAMILY = (("guess-1", make_architecture(8, 1)), ("guess-2", make_architecture(8, 2)))
GUESSES = dict(FAMILY)
OWN = make_architecture(16, 3)


def searched(own: tuple[float, ...], **guesses: tuple[float, ...]) -> StudyView:
    """A study of a trial and two guesses, `own` and `guesses` of which were trained with a seed for each accuracy."""
    trials = (
        make_trial(0, 0.80, architecture=GUESSES["guess-1"], baseline="guess-1"),
        make_trial(1, 0.85, architecture=GUESSES["guess-2"], baseline="guess-2"),
        make_trial(2, 0.90, architecture=OWN),
    )
    runs = [make_run("0002", seed, value, architecture=OWN) for seed, value in enumerate(own)]
    for name, values in guesses.items():
        label = name.replace("_", "-")
        runs += [make_run(label, seed, value, architecture=GUESSES[label]) for seed, value in enumerate(values)]
    return make_view(trials=trials, runs=tuple(runs), guesses=FAMILY)


HIGH, LOW, WIDE = (0.899, 0.900, 0.901), (0.879, 0.880, 0.881), (0.87, 0.90, 0.92)
UNTOLD = "Whether searching paid cannot be told yet, because"
BEST = "guess-2, the search's best of 2 networks that anybody would try"


@pytest.mark.parametrize(
    ("own", "guess", "verdict", "result"),
    [
        (HIGH, LOW, "Searching paid", "90.00% of the test images (95% interval 89.75% to 90.25%, 3 seeds), "
         f"2.00 points more (95% interval 1.77 to 2.23) than {BEST}, at 6.0 times its MACs. It has 272,474 parameters"),
        (LOW, HIGH, "Searching did not pay", "88.00% of the test images (95% interval 87.75% to 88.25%, 3 seeds), "
         f"2.00 points fewer (95% interval -2.23 to -1.77) than {BEST}, "),
        (HIGH, WIDE, "Whether searching paid cannot be told from noise", "90.00% of "),
        (HIGH, LOW[:1], f"{UNTOLD} one run shows no noise between seeds", "90.00% of "),
        (HIGH[:1], LOW[:1], f"{UNTOLD} one run shows no noise between seeds",
         f"89.90% of the test images (one seed, so no interval), 2.00 points more than {BEST}, at 6.0 times its MACs."),
        ((0.9, 0.9), (0.8, 0.8), f"{UNTOLD} no run differs from another of its network", "90.00% of "),
    ],
)  # fmt: skip
def test_the_page_begins_with_whether_searching_paid(
    own: tuple[float, ...], guess: tuple[float, ...], verdict: str, result: str
):
    findings = find(searched(own, guess_2=guess))
    first, *rest = conclusion(findings)
    assert first.startswith(f"{verdict}: the best network found is right on {result}")
    assert not any("guess-2" in sentence for sentence in rest), "it is said once"
    paid = whether_searching_paid(findings)
    assert paid is not None and first.startswith(paid)


def test_teachers_of_the_winner_and_of_the_guess_are_said():
    teaching = Teaching((Teacher("trial 2", 9_000, 80_000, "abc"), Teacher("trial 1", 9_000, 80_000, "def")), "top2")
    alone = searched(HIGH, guess_2=LOW)
    runs = tuple(replace(run, teaching=teaching) for run in alone.runs)
    first, *_ = conclusion(find(replace(alone, runs=runs)))
    assert "(95% interval 89.75% to 90.25%, 3 seeds; taught by trial 2 and trial 1), 2.00 points more" in first
    assert f"than {BEST}, taught by what the search found, at 6.0 times its MACs" in first
    assert "teachers" not in " ".join(conclusion(find(alone)))


def test_of_several_guesses_the_one_that_the_search_must_fear_most_counts():
    paid, *_ = conclusion(find(searched(HIGH, guess_1=LOW, guess_2=LOW)))
    assert paid.startswith("Searching paid: ") and BEST in paid, "of equal verdicts that of the better guess"
    did_not, *rest = conclusion(find(searched(LOW, guess_1=HIGH, guess_2=(0.7, 0.701, 0.702))))
    assert did_not.startswith("Searching did not pay: ")
    assert "2.00 points fewer (95% interval -2.23 to -1.77) than guess-1, a network that anybody would try" in did_not
    assert "better than guess-2 by 17.90 points" in rest[0]


def test_a_network_of_a_report_that_is_a_guess_is_one():
    view = searched(HIGH)
    runs = [make_run("resnet20-b", seed, value, architecture=GUESSES["guess-2"]) for seed, value in enumerate(LOW)]
    first, *_ = conclusion(find(replace(view, runs=(*view.runs, *runs))))
    assert first.startswith("Searching paid: ") and "than resnet20-b, the search's best of 2 networks" in first


@pytest.mark.parametrize(("dropout", "what"), [(0.0, "guess-2 itself"), (0.1, "guess-2 itself with dropout 0.1")])
def test_a_winner_that_is_a_guess_is_said_to_be_one(dropout: float, what: str):
    network = at_dropout(GUESSES["guess-2"], dropout)
    view = make_view(
        trials=(make_trial(0, 0.9, architecture=network), make_trial(1, 0.8, architecture=OWN)),
        runs=(make_run("0000", 0, 0.88, architecture=network),),
        guesses=FAMILY,
    )
    assert conclusion(find(view))[0].startswith(
        f"Searching found no better design than a guess: the winner is {what}, right on 88.00% of the test images (one "
    )
    untested = conclusion(find(replace(view, runs=())))
    said = "It is guess-2, a network that anybody would try: searching has found nothing better."
    assert (said in untested) is (dropout == 0.0)


def test_without_a_guess_that_was_trained_alike_it_is_not_known_whether_searching_paid():
    view = searched(HIGH)
    none = "It is not known whether searching paid: no guess was trained beside it as a baseline."
    assert conclusion(find(view))[1] == none
    assert whether_searching_paid(find(view)) is None
    assert not any("whether searching paid" in sentence for sentence in caveats(find(view))), "it is said once"
    other = make_run("guess-1", 0, 0.8, architecture=GUESSES["guess-1"], epochs=90)
    otherwise = conclusion(find(replace(view, runs=(*view.runs, other))))[1]
    assert otherwise == "It is not known whether searching paid: guess-1 was trained in another way."
    no_guesses = replace(view, guesses=())
    assert not any("searching paid" in sentence for sentence in conclusion(find(no_guesses)))
    assert any("whether searching paid" in sentence for sentence in caveats(find(no_guesses)))
