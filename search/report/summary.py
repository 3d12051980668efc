"""The first lines of the page: the question, the answer and the cost."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from search.report.findings import Answer, Findings
from search.report.notation import count, duration, interval, percent, plural, points, sentence_list, short
from search.report.retraining.comparisons import Comparison
from search.report.retraining.known_runs import is_baseline
from search.report.statistics.significance import CONFIDENCE, half_width
from search.report.trials.leaderboard import measured_epochs
from search.report.verdicts import is_costlier
from search.space.limits import short_words
from search.study.best_guess import ranked_guesses
from search.study.networks import Network
from search.study.view import StudyView, TrialView, design

STATES = ("complete", "pruned", "failed", "running")


@dataclass(frozen=True, slots=True)
class Fact:
    """One number of the summary, with what it means."""

    term: str
    value: str
    note: str


def question(view: StudyView) -> str:
    limits = [f"{count(view.budget)} parameters"] if view.budget != view.max_int8_bytes else []
    limits += [f"{short_words(view.max_macs)} MACs"] if view.max_macs is not None else []
    limits += [f"{count(view.max_int8_bytes)} bytes in int8"] if view.max_int8_bytes is not None else []
    return f"Which network of at most {sentence_list(limits)} classifies {view.data} best?"


def states(trials: Iterable[TrialView]) -> Counter[str]:
    """How many trials ended how. Those that missed the limit of latency have a state of their own here."""
    return Counter("too slow" if trial.too_slow else trial.state for trial in trials)


def conclusion(findings: Findings) -> list[str]:
    """The answer in a few sentences: whether searching paid, how good the network is, how large, and against what."""
    view, answer = findings.view, findings.answer
    if answer is None and not view.trials and view.runs:
        return [f"No search was made here: {plural(len({run.label for run in view.runs}), 'network')} made by hand."]
    if answer is None:
        return ["There is no answer yet: no trial was trained to the end."]
    trial, final = answer.trial, answer.final
    share, limit = view.used(trial.architecture)
    size = f"{count(trial.params)} parameters, {percent(share, 1)} of {limit}"
    if final is None:
        lead = f"The best network so far is right on {percent(trial.value)} of the validation images, with {size}."
        sentences = [lead, "It has not been retrained, so there is no test accuracy to quote."]
        if own := next((name for name, guess in view.guesses if guess == trial.architecture), None):
            sentences.insert(1, f"It is {own}, a network that anybody would try: searching has found nothing better.")
    else:
        opponent = _opponent(findings, final)
        paid = whether_searching_paid(findings)
        sentences = [f"{paid} It has {size}."] if paid else [f"The best network found is {_right(final)}, with {size}."]
        if paid is None and view.guesses:
            sentences.append(_not_known(findings))
        sentences += _against((other for other in findings.comparisons if other is not opponent), final)
    return [*sentences, f"It is trial {trial.number}, chosen for {answer.how}."]


def whether_searching_paid(findings: Findings) -> str | None:
    """Whether the answer is better than a guess that was trained alike, in a sentence that claims no more than the
    verdict of their comparison; None where no such guess was trained, or the answer was not."""
    answer = findings.answer
    if answer is None or answer.final is None:
        return None
    view, final = findings.view, answer.final
    if own := _guess_of(final, view):
        architecture = final.runs[0].architecture
        is_whole = architecture.canonical() == dict(view.guesses)[own]
        what = f"{own} itself" + ("" if is_whole else f" with dropout {architecture.stages[0].dropout:g}")
        return f"Searching found no better design than a guess: the winner is {what}, {_right(final)}."
    comparison = _opponent(findings, final)
    if comparison is None:
        return None
    trial, guess = comparison.trial, comparison.baseline
    difference = f"{points(abs(comparison.difference))} points {'more' if comparison.difference >= 0 else 'fewer'}"
    if comparison.is_tested:
        difference += f" ({CONFIDENCE:.0%} interval {points(comparison.low)} to {points(comparison.high)})"
    difference += f" than {_described(guess, findings)}"
    if is_costlier(trial.macs, guess.macs):
        difference += f", at {trial.macs / guess.macs:.1f} times its MACs"
    return f"{_verdict(comparison)}: the best network found is {_right(final)}, {difference}."


def _verdict(comparison: Comparison) -> str:
    if not comparison.is_tested:
        alone = min(comparison.trial.seeds, comparison.baseline.seeds) == 1
        why = "one run shows no noise between seeds" if alone else "no run differs from another of its network"
        return f"Whether searching paid cannot be told yet, because {why}"
    if comparison.verdict == "not distinguishable":
        return "Whether searching paid cannot be told from noise"
    return "Searching paid" if comparison.verdict == "better" else "Searching did not pay"


def _opponent(findings: Findings, final: Network) -> Comparison | None:
    """The comparison of the answer's network with a guess. Of several the least favourable verdict counts, then the
    guess that ranks better in the search."""
    view = findings.view
    ranks = {name: rank for rank, name in enumerate(ranked_guesses(dict(view.guesses), view.trials))}
    by_merit: list[tuple[int, int, Comparison]] = []
    for comparison in findings.comparisons:
        guess = _guess_of(comparison.baseline, view)
        if guess is not None and comparison.trial.key == final.key:
            favour = ("worse", "untested", "not distinguishable", "better").index(
                comparison.verdict if comparison.is_tested else "untested"
            )
            by_merit.append((favour, ranks.get(guess, len(ranks)), comparison))
    return min(by_merit, key=lambda item: item[:2])[2] if by_merit else None


def _guess_of(network: Network, view: StudyView) -> str | None:
    """The name of the guess whose design a network has, at whatever dropout; None if it is none."""
    own = design(network.runs[0].architecture)
    return next((name for name, guess in view.guesses if design(guess) == own), None)


def _described(guess: Network, findings: Findings) -> str:
    ranked = ranked_guesses(dict(findings.view.guesses), findings.view.trials)
    by_search = guess.teaching is not None and guess.teaching.source.startswith("top")
    taught = ", taught by what the search found" if by_search else ", with the same teachers" if guess.teaching else ""
    if len(ranked) > 1 and _guess_of(guess, findings.view) == ranked[0]:
        return f"{guess.label}, the search's best of {len(ranked)} networks that anybody would try{taught}"
    return f"{guess.label}, a network that anybody would try{taught}"


def _not_known(findings: Findings) -> str:
    tried = (network for network in findings.compared if is_baseline(network))
    names = dict.fromkeys(network.label for network in tried if _guess_of(network, findings.view))
    if not names:
        return "It is not known whether searching paid: no guess was trained beside it as a baseline."
    were = "was" if len(names) == 1 else "were"
    return f"It is not known whether searching paid: {sentence_list([*names])} {were} trained in another way."


def _right(final: Network) -> str:
    return f"right on {percent(final.mean)} of the test images ({spread(final)})"


def spread(final: Network) -> str:
    """How sure a test accuracy is, whether training left out images that it could have had, and who taught."""
    training = "; validation images held out" if final.holdout else ""
    if final.teaching is not None:
        training += f"; taught by {final.teaching.names}"
    if final.seeds == 1:
        return f"one seed, so no interval{training}"
    ends = interval(final.mean, half_width(final.deviation, final.seeds))
    return f"{CONFIDENCE:.0%} interval {ends}, {final.seeds} seeds{training}"


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
        test = Fact("Test accuracy", percent(final.mean), spread(final) + deviation + _augmented(final))
    epochs = plural(measured_epochs(trial), "epoch")
    share, limit = view.used(trial.architecture)
    return [
        test,
        Fact("Validation accuracy", percent(trial.value), f"in the search, after {epochs}; optimistic"),
        Fact("Parameters", count(trial.params), f"{percent(share, 1)} of {limit}"),
        Fact("MACs", short(trial.macs), f"multiply-accumulates for one {view.image_size} by {view.image_size} image"),
    ]


def _augmented(final: Network) -> str:
    """What test-time augmentation makes of the accuracy, and what it costs; nothing where it was not measured."""
    result = final.augmented("shifts")
    if result is None:
        return ""
    return f"; {percent(result.accuracy)} with test-time augmentation, which takes {result.passes} passes an image"


def _cost_facts(view: StudyView) -> list[Fact]:
    by_state = states(view.trials)
    ended = [f"{by_state[state]:,} {state}" for state in (*STATES, "too slow") if by_state[state]]
    over = sum(map(view.is_over, view.trials))
    retrained = [*view.runs, *view.proxy]
    retraining = sum(run.seconds for run in retrained)
    proposed = plural(len(view.trials), "trial")
    trials = f"{by_state['complete'] + by_state['pruned']:,}"
    if not view.by_time:
        trials += f" of {view.num_trials:,}"
    return [
        Fact("Trained trials", trials, ", ".join(ended) or "none begun"),
        Fact("Draws", f"{view.draws:,}", f"to propose {proposed}; {over:,} of them over budget"),
        Fact("Search time", duration(view.seconds), "wall clock of the coordinator"),
        Fact("Retraining time", duration(retraining) if retrained else "none", plural(len(retrained), "run")),
    ]
