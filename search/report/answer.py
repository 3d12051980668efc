"""What a study found, in the words of its first page: the question, the answer and the cost."""

from collections import Counter
from dataclasses import dataclass

from search.identity import Identity
from search.report.comparisons import compare
from search.report.dropouts import dropout_choice
from search.report.finalists import finalists_frame, unfinished_round
from search.report.notation import count, duration, interval, percent, plural, points, sentence_list, short
from search.report.runs import CONFIDENCE, finalist_runs, half_width, tested_runs
from search.report.tables import measured_epochs, ranked
from search.study.networks import Network, quoted
from search.study.view import StudyView, TrialView

STATES = ("complete", "pruned", "failed", "running")


@dataclass(frozen=True, slots=True)
class Answer:
    """The chosen trial, why it was chosen (never by a test accuracy), and its tested network if it was retrained.

    `label` is that of its final runs: with the dropout that was chosen for it, unless it has been tested with its own
    alone.
    """

    trial: TrialView
    how: str
    label: str
    final: Network | None


@dataclass(frozen=True, slots=True)
class Fact:
    """One number of the summary, with what it means."""

    term: str
    value: str
    note: str


def find_answer(view: StudyView) -> Answer | None:
    """The winner of the finalists' round if there is one, else the best complete trial; None if there is none."""
    numbered = {f"{trial.number:04d}": trial for trial in view.trials}
    known = [label for label in finalists_frame(view)["label"] if label in numbered]
    if known and not unfinished_round(view):
        trial, label = numbered[known[0]], known[0]
        how = f"the best mean validation accuracy of {plural(len(known), 'finalist')} trained at full length"
        if choice := dropout_choice(finalist_runs(view), trial.number):
            how += f", and then with {choice.told}"
            if choice.best.label != label and final_of(view, choice.best.label) is None and final_of(view, label):
                how += "; it has been tested with its own alone"
            else:
                label = choice.best.label
        return Answer(trial, how, label, final_of(view, label))
    complete = ranked(view)
    if not complete:
        return None
    how = f"the best validation accuracy of {plural(len(complete), 'complete trial')}"
    label = Identity(trial=complete[0].number).label
    return Answer(complete[0], how, label, final_of(view, label))


def final_of(view: StudyView, label: str) -> Network | None:
    """A label's tested network; that which is `quoted`, if it was trained in several ways."""
    return quoted(tested_runs(view)).get(label)


def question(view: StudyView) -> str:
    return f"Which network of at most {count(view.budget)} parameters classifies {view.data} best?"


def states(view: StudyView) -> Counter[str]:
    """How many trials ended how. Those that missed the limit of latency have a state of their own here."""
    return Counter("too slow" if trial.too_slow else trial.state for trial in view.trials)


def conclusion(view: StudyView, answer: Answer | None) -> list[str]:
    """The answer in a few sentences: how good, how large, and against what."""
    if answer is None and not view.trials and view.runs:
        return [f"No search was made here: {plural(len({run.label for run in view.runs}), 'network')} made by hand."]
    if answer is None:
        return ["There is no answer yet: no trial was trained to the end."]
    trial, final = answer.trial, answer.final
    size = f"{count(trial.params)} parameters, {percent(trial.params / view.budget, 1)} of the budget"
    if final is None:
        lead = f"The best network so far is right on {percent(trial.value)} of the validation images, with {size}."
        said = [lead, "It has not been retrained, so there is no test accuracy to quote."]
    else:
        right = f"right on {percent(final.mean)} of the test images ({spread(final)})"
        said = [f"The best network found is {right}, with {size}.", *_against(view, answer.label)]
    return [*said, f"It is trial {trial.number}, chosen for {answer.how}."]


def spread(final: Network) -> str:
    """How sure a test accuracy is, and whether training left out images that it could have had."""
    held_out = "; validation images held out" if final.holdout else ""
    if final.seeds == 1:
        return f"one seed, so no interval{held_out}"
    ends = interval(final.mean, half_width(final.deviation, final.seeds))
    return f"{CONFIDENCE:.0%} interval {ends}, {final.seeds} seeds{held_out}"


def _against(view: StudyView, label: str) -> list[str]:
    """The answer's comparisons with baselines in one sentence."""
    own = [each for each in compare(view) if each.trial.label == label and each.is_tested]
    told = []
    for each in own:
        ends = f"{points(each.low)} to {points(each.high)}"
        if each.verdict == "not distinguishable":
            told.append(f"not distinguishable from {each.baseline.label} ({points(each.difference)} points, {ends})")
        else:
            by = points(abs(each.difference))
            told.append(f"{each.verdict} than {each.baseline.label} by {by} points ({ends})")
    intervals = f"brackets hold {CONFIDENCE:.0%} intervals of the difference"
    return [f"Beside baselines that were trained alike it is {sentence_list(told)}; {intervals}."] if told else []


def facts(view: StudyView, answer: Answer | None) -> list[Fact]:
    """The numbers of the summary: those of the answer, then those of the cost."""
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
    by_state = states(view)
    ended = [f"{by_state[state]:,} {state}" for state in (*STATES, "too slow") if by_state[state]]
    over = sum(trial.params > view.budget for trial in view.trials)
    retraining = sum(run.seconds for run in view.runs)
    proposed = plural(len(view.trials), "trial")
    trials = f"{by_state['complete'] + by_state['pruned']:,} of {view.num_trials:,}"
    return [
        Fact("Trained trials", trials, ", ".join(ended) or "none begun"),
        Fact("Draws", f"{view.draws:,}", f"to propose {proposed}; {over:,} of them over budget"),
        Fact("Search time", duration(view.seconds), "wall clock of the coordinator"),
        Fact(
            "Retraining time", duration(retraining) if view.runs else "none", plural(len(view.runs), "full-length run")
        ),
    ]
