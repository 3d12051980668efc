"""The first lines of the page: the question, the answer and the cost."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from search.report.findings import Answer, Findings
from search.report.notation import count, duration, interval, percent, plural, points, sentence_list, short
from search.report.retraining.comparisons import Comparison
from search.report.statistics.significance import CONFIDENCE, half_width
from search.report.trials.leaderboard import measured_epochs
from search.space.limits import short_count
from search.study.networks import Network
from search.study.view import StudyView, TrialView

STATES = ("complete", "pruned", "failed", "running")


@dataclass(frozen=True, slots=True)
class Fact:
    """One number of the summary, with what it means."""

    term: str
    value: str
    note: str


def question(view: StudyView) -> str:
    macs = f" and {short_count(view.max_macs)} MACs" if view.max_macs is not None else ""
    return f"Which network of at most {count(view.budget)} parameters{macs} classifies {view.data} best?"


def states(trials: Iterable[TrialView]) -> Counter[str]:
    """How many trials ended how. Those that missed the limit of latency have a state of their own here."""
    return Counter("too slow" if trial.too_slow else trial.state for trial in trials)


def conclusion(findings: Findings) -> list[str]:
    """The answer in a few sentences: how good, how large, and against what."""
    view, answer = findings.view, findings.answer
    if answer is None and not view.trials and view.runs:
        return [f"No search was made here: {plural(len({run.label for run in view.runs}), 'network')} made by hand."]
    if answer is None:
        return ["There is no answer yet: no trial was trained to the end."]
    trial, final = answer.trial, answer.final
    size = f"{count(trial.params)} parameters, {percent(trial.params / view.budget, 1)} of the budget"
    if final is None:
        lead = f"The best network so far is right on {percent(trial.value)} of the validation images, with {size}."
        sentences = [lead, "It has not been retrained, so there is no test accuracy to quote."]
    else:
        right = f"right on {percent(final.mean)} of the test images ({spread(final)})"
        sentences = [f"The best network found is {right}, with {size}.", *_against(findings.comparisons, final)]
    return [*sentences, f"It is trial {trial.number}, chosen for {answer.how}."]


def spread(final: Network) -> str:
    """How sure a test accuracy is, and whether training left out images that it could have had."""
    held_out = "; validation images held out" if final.holdout else ""
    if final.seeds == 1:
        return f"one seed, so no interval{held_out}"
    ends = interval(final.mean, half_width(final.deviation, final.seeds))
    return f"{CONFIDENCE:.0%} interval {ends}, {final.seeds} seeds{held_out}"


def _against(comparisons: Iterable[Comparison], final: Network) -> list[str]:
    """The comparisons of the answer's network with baselines in one sentence."""
    verdicts = []
    for comparison in comparisons:
        if comparison.trial.key != final.key or not comparison.is_tested:
            continue
        ends = f"{points(comparison.low)} to {points(comparison.high)}"
        if comparison.verdict == "not distinguishable":
            verdicts.append(
                f"not distinguishable from {comparison.baseline.label} ({points(comparison.difference)} points, {ends})"
            )
        else:
            by = points(abs(comparison.difference))
            verdicts.append(f"{comparison.verdict} than {comparison.baseline.label} by {by} points ({ends})")
    if not verdicts:
        return []
    intervals = f"brackets hold {CONFIDENCE:.0%} intervals of the difference"
    return [f"Beside baselines that were trained alike it is {sentence_list(verdicts)}; {intervals}."]


def facts(findings: Findings) -> list[Fact]:
    """The numbers of the summary: those of the answer, then those of the cost."""
    view, answer = findings.view, findings.answer
    return [*(_answer_facts(view, answer) if answer else []), *_cost_facts(view)]


def _answer_facts(view: StudyView, answer: Answer) -> list[Fact]:
    trial, final = answer.trial, answer.final
    if final is None:
        test = Fact("Test accuracy", "not measured", f"retrain trial {trial.number} to measure it")
    else:
        deviation = f"; standard deviation {points(final.deviation)} points" if final.seeds > 1 else ""
        test = Fact("Test accuracy", percent(final.mean), spread(final) + deviation)
    epochs = plural(measured_epochs(trial), "epoch")
    return [
        test,
        Fact("Validation accuracy", percent(trial.value), f"in the search, after {epochs}; optimistic"),
        Fact("Parameters", count(trial.params), f"{percent(trial.params / view.budget, 1)} of {count(view.budget)}"),
        Fact("MACs", short(trial.macs), f"multiply-accumulates for one {view.image_size} by {view.image_size} image"),
    ]


def _cost_facts(view: StudyView) -> list[Fact]:
    by_state = states(view.trials)
    ended = [f"{by_state[state]:,} {state}" for state in (*STATES, "too slow") if by_state[state]]
    over = sum(trial.params > view.budget for trial in view.trials)
    retraining = sum(run.seconds for run in view.runs)
    proposed = plural(len(view.trials), "trial")
    trials = f"{by_state['complete'] + by_state['pruned']:,}"
    if not view.by_time:
        trials += f" of {view.num_trials:,}"
    return [
        Fact("Trained trials", trials, ", ".join(ended) or "none begun"),
        Fact("Draws", f"{view.draws:,}", f"to propose {proposed}; {over:,} of them over budget"),
        Fact("Search time", duration(view.seconds), "wall clock of the coordinator"),
        Fact(
            "Retraining time", duration(retraining) if view.runs else "none", plural(len(view.runs), "full-length run")
        ),
    ]
