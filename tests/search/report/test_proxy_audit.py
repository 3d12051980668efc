"""The audit of the proxy: what short values say of full ones, and what the pruner and the choice cost."""

import json
from dataclasses import replace

import pytest
from scipy.stats import kendalltau, spearmanr

from search.report import proxy_audit as proxy


def proxy_sentences(view):
    verdict = proxy.proxy_verdict(proxy.proxy_frame(view), view.epochs)
    return verdict.sentences if verdict else []


def proxy_figure(view):
    frame = proxy.proxy_frame(view)
    return proxy.proxy_figure(frame, view.epochs, proxy.proxy_verdict(frame, view.epochs))


@pytest.fixture
def audited(study, trial, run, architecture):
    """A study of trials (short value, full values, state), each as wide as its place; all of them audited."""

    def make(*rows, **changes):
        networks = [architecture(8 + 2 * number) for number in range(len(rows))]
        trials = [
            trial(number, row[0], row[2] if len(row) > 2 else "complete", architecture=networks[number])
            for number, row in enumerate(rows)
        ]
        runs = [
            run(f"{number:04d}", seed, value, "proxy", architecture=networks[number])
            for number, row in enumerate(rows)
            for seed, value in enumerate(row[1])
        ]
        return study(trials=tuple(trials), proxy=tuple(runs), **changes)

    return make


@pytest.fixture
def sixteen(audited):
    """Sixteen trials, the worst four pruned, whose order at full length differs a little."""
    full = [0.70, 0.74, 0.71, 0.90, 0.78, 0.80, 0.79, 0.83, 0.82, 0.86, 0.84, 0.88, 0.91, 0.89, 0.93, 0.92]
    return audited(*((0.3 + i / 50, (value,), "pruned" if i < 4 else "complete") for i, value in enumerate(full)))


def test_a_row_holds_a_trial_beside_the_mean_of_its_runs(audited):
    frame = proxy.proxy_frame(audited((0.6, (0.8, 0.9)), (0.7, (0.75,), "pruned")))
    assert frame["number"].tolist() == [0, 1]
    assert frame["state"].tolist() == ["complete", "pruned"]
    assert frame["value"].tolist() == [0.6, 0.7]
    assert frame["full_value"].tolist() == pytest.approx([0.85, 0.75])
    assert [pytest.approx(values) for values in frame["full_values"]] == [[0.8, 0.9], [0.75]]
    assert frame[["epochs", "full_epochs"]].to_numpy().tolist() == [[5, 20], [5, 20]]


def test_trials_without_both_values_have_no_row(audited, trial, run, architecture):
    view = audited((0.6, (0.8,)), (0.7, ()), (0.5, (float("nan"),)), (0.4, (0.6,), "running"))
    other = run("0005", 0, 0.9, "proxy", architecture=architecture(40))  # of a study that has begun anew since
    stray = run("0009", 0, 0.9, "proxy")
    view = replace(view, trials=(*view.trials, trial(5, 0.6)), proxy=(*view.proxy, other, stray))
    assert proxy.proxy_frame(view)["number"].tolist() == [0]


def test_the_correlation_is_that_of_short_and_full_values(sixteen):
    frame = proxy.proxy_frame(sixteen)
    ranking, complete = proxy.overall(frame), proxy.among_complete(frame)
    assert ranking.spearman.value == pytest.approx(spearmanr(frame["value"], frame["full_value"]).statistic)
    assert ranking.kendall.value == pytest.approx(kendalltau(frame["value"], frame["full_value"]).statistic)
    assert (ranking.num_things, complete.num_things) == (16, 12)
    assert complete.spearman.value == pytest.approx(spearmanr(frame["value"][4:], frame["full_value"][4:]).statistic)


def test_the_best_quarter_is_that_of_the_search(sixteen):
    ranking = proxy.among_best(proxy.proxy_frame(sixteen))
    assert ranking.num_things == 4
    assert ranking.spearman.value == pytest.approx(spearmanr([1, 2, 3, 4], [0.91, 0.89, 0.93, 0.92]).statistic)


def test_similar_trials_are_at_most_a_tenth_apart(audited):
    view = audited(*((0.5 + i / 50, (0.9 - i / 50,)) for i in range(5)))
    sizes = [1_000, 1_100, 1_211, 2_000, 2_100]
    view = replace(
        view, trials=tuple(replace(each, params=size) for each, size in zip(view.trials, sizes, strict=True))
    )
    ranking = proxy.among_similar(proxy.proxy_frame(view))
    assert (ranking.num_things, ranking.num_pairs, ranking.num_alike) == (4, 2, 0)
    assert ranking.kendall is None


def test_the_best_at_full_length_that_the_pruner_ended_are_named(audited):
    view = audited(
        (0.6, (0.80,)), (0.2, (0.95,), "pruned"), (0.7, (0.85,)), (0.3, (0.90,), "pruned"), (0.5, (0.90,)),
        (0.1, (0.60,), "pruned"),
    )  # fmt: skip
    frame = proxy.proxy_frame(view)
    assert proxy.best_at_full_length(frame) == ([1, 3, 4], [1, 3])  # the second best ties with the third
    sentence = "Of the best 3 at full length (a quarter, with ties) the pruner ended 2: trial 1 and trial 3."
    assert sentence in proxy_sentences(view)


def test_a_search_chooses_the_best_complete_trial_and_regrets_what_it_misses(audited):
    view = audited((0.6, (0.80,)), (0.99, (0.95,), "pruned"), (0.7, (0.85,)), (0.7, (0.90,)))
    frame = proxy.proxy_frame(view)
    assert proxy.choice(frame)["number"] == 2
    assert proxy.regret(frame) == pytest.approx(0.10)
    expected = (
        "A search would choose trial 2 of these, with 85.00% at full length; trial 1 has 95.00%: "
        "the choice costs 10.00 points."
    )
    assert expected in proxy_sentences(view)


def test_of_equal_trials_a_search_chooses_the_smaller(audited):
    view = audited((0.7, (0.80,)), (0.7, (0.90,)))
    smaller = tuple(replace(trial, params=1_000 - trial.number) for trial in view.trials)
    assert proxy.choice(proxy.proxy_frame(view))["number"] == 0
    assert proxy.choice(proxy.proxy_frame(replace(view, trials=smaller)))["number"] == 1


def test_the_right_choice_costs_nothing(audited):
    view = audited((0.6, (0.80,)), (0.7, (0.85,)), (0.5, (0.70,)))
    assert proxy.regret(proxy.proxy_frame(view)) == 0
    sentence = "A search would choose trial 1 of these, with 85.00% at full length, which is the best."
    assert sentence in proxy_sentences(view)


def test_pruned_trials_alone_leave_no_choice(audited):
    view = audited(*((0.5 + i / 10, (0.8 + i / 10,), "pruned") for i in range(3)))
    frame = proxy.proxy_frame(view)
    assert (proxy.choice(frame), proxy.regret(frame)) == (None, None)
    assert "None of these trials is complete, so a search would choose none of them." in proxy_sentences(view)
    assert [trace.name for trace in proxy_figure(view).figure.data] == ["pruned trial"]


def test_the_first_sentence_is_the_answer(sixteen):
    ranking = proxy.overall(proxy.proxy_frame(sixteen))
    rho, tau = ranking.spearman, ranking.kendall
    assert proxy_sentences(sixteen)[0] == (
        f"A trial's value after 5 epochs ranks designs as 20 epochs do with rho = {rho.value:.2f} ({rho.low:.2f} to "
        f"{rho.high:.2f}), tau = {tau.value:.2f} ({tau.low:.2f} to {tau.high:.2f}), 16 trials, 4 of them pruned early."
    )


def test_what_is_unknown_is_said(audited):
    few = proxy_sentences(audited((0.6, (0.80,)), (0.7, (0.85,)), (0.5, (0.81,))))
    assert few[0].endswith("rho = 0.50, tau = 0.33, 3 trials, too few for an interval.")
    assert few[1] == "The best quarter by the value of the search: too few to tell (1 trial, 0 pairs without a tie)."
    equal = proxy_sentences(audited(*((0.5 + i / 50, (0.8,)) for i in range(9))))
    assert equal[0] == (
        "Whether a trial's value after 5 epochs ranks designs as 20 epochs do is unknown: too few to tell "
        "(9 trials, 0 pairs without a tie)."
    )
    perfect = proxy_sentences(audited(*((0.5 + i / 50, (0.6 + i / 50,)) for i in range(9))))
    assert perfect[0].endswith("rho = 1.00, tau = 1.00, 9 trials, no interval because resampling cannot vary it.")


def test_the_method_is_explained(audited, sixteen):
    assert "percentiles over 2,000 resamples" in proxy_sentences(sixteen)[-1]
    assert "of 1 run a trial" in proxy_sentences(sixteen)[-1]
    uneven = audited((0.6, (0.80, 0.9)), (0.7, (0.85,)), (0.5, (0.81,)))
    assert "of 1 to 2 runs a trial" in proxy_sentences(uneven)[-1]


def test_a_study_without_an_audit_says_nothing(study, trial):
    assert proxy_sentences(study(trials=(trial(0),))) == []
    assert proxy.proxy_frame(study()).empty


def test_pruned_trials_and_the_choice_are_marked(sixteen):
    drawn = proxy_figure(sixteen)
    traces = {trace.name: trace for trace in drawn.figure.data}
    assert {name: len(trace.x) for name, trace in traces.items()} == {
        "complete trial": 12, "pruned trial": 4, "a search's choice": 1,
    }  # fmt: skip
    assert (traces["a search's choice"].x[0], traces["a search's choice"].y[0]) == (0.6, 0.92)
    assert drawn.figure.layout.xaxis.title.text == "Validation accuracy in the search, 5 epochs"
    assert "16 trials trained again at full length." in drawn.caption
    assert "the pruner ended 1: trial 3." in drawn.caption
    json.loads(drawn.figure.to_json())


def test_audits_by_other_recipes_precisions_or_devices_are_not_mixed_in_and_are_named(study, trial, run):
    trials = tuple(trial(number, 0.5 + number / 10) for number in range(3))
    shown = [run(f"{number:04d}", 0, 0.9, "proxy") for number in range(3)]
    others = [
        run("0000", 0, 0.1, "proxy", epochs=5),
        run("0001", 1, 0.1, "proxy", precision="fp32"),
        run("0002", 1, 0.1, "proxy", device="CPU, 2 threads"),
    ]
    view = study(trials=trials, proxy=(*others, *shown))
    assert [len(values) for values in proxy.proxy_frame(view)["full_values"]] == [1, 1, 1]
    assert proxy.proxy_frame(view)["full_value"].tolist() == pytest.approx([0.9] * 3)
    assert proxy.other_audits(view) == (
        "Trials were audited by cosine, 5 epochs (bfloat16 on a GPU), cosine, 20 epochs (fp32 on a GPU) and cosine, 20 "
        "epochs (bfloat16 on a CPU) too. That is not shown: values of different trainings cannot be compared."
    )
    assert proxy.other_audits(study(trials=trials, proxy=tuple(shown))) is None


def test_a_design_that_keeps_its_best_weights_is_judged_by_them(study, trial, run):
    made = run("0000", 0, 0.6, "proxy")
    best = max(made.history[:-1], key=lambda epoch: epoch.validation_accuracy)
    view = study(trials=(trial(0),), proxy=(replace(made, kept_epoch=best.epoch),))
    assert proxy.proxy_frame(view)["full_value"].tolist() == [best.validation_accuracy]
