"""What a study found: everything that more than one topic of the report shows or says, derived once."""

from collections.abc import Mapping
from dataclasses import dataclass

from search.identity import Identity
from search.report.notation import plural
from search.report.retraining.comparisons import Comparison, compare, unalike
from search.report.retraining.confusion import confusions
from search.report.retraining.dropouts import DropoutChoice, dropout_choice
from search.report.retraining.finalists import Finalist, standings, unfinished_round
from search.report.retraining.known_runs import is_tested, known_runs, label_recipes
from search.report.statistics.bootstrap import Counts
from search.report.trials.leaderboard import Tested, ranked, tested_trials
from search.study.networks import Network, alike, last_round, quoted
from search.study.view import RunView, StudyView, TrialView


@dataclass(frozen=True, slots=True)
class Answer:
    """The chosen trial, why it was chosen (never by a test accuracy), and its tested network if it was retrained.

    `label` is that of its final runs: with the dropout that was chosen for it, unless it has been tested only with its
    own.
    """

    trial: TrialView
    how: str
    label: str
    final: Network | None


@dataclass(frozen=True, slots=True)
class Findings:
    """A study, and the results of its trials and full-length runs. Those of trials come before those of baselines.

    Attributes:
        ranked: complete trials that have a value, best first.
        finals: final runs of this search's networks.
        earlier: runs that trained networks of an earlier search, and count for nothing.
        compared: networks of the final runs that have a test accuracy, each once for every way in which it was trained.
        networks: the same, but a baseline that was trained by several recipes is labelled with each.
        final_networks: networks of all final runs, tested or not, labelled likewise.
        quoted: by label, the network whose numbers are given where there is room for one.
        tested_trials: test accuracies by the trial's number.
        confusions: by label, the confusion matrix of the quoted network, if it has one.
        round: networks of the round that picks a winner.
        finalists: its standings, best first.
        unfinished: how far the round is, if it has no winner yet.
        comparisons: of every trial with every baseline that was trained alike.
        unalike: trials and baselines that were never trained alike.
        answer: the winner of the finalists' round if there is one, else the best complete trial.
    """

    view: StudyView
    ranked: tuple[TrialView, ...]
    finals: tuple[RunView, ...]
    earlier: tuple[RunView, ...]
    compared: tuple[Network, ...]
    networks: tuple[Network, ...]
    final_networks: tuple[Network, ...]
    quoted: Mapping[str, Network]
    tested_trials: Mapping[int, Tested]
    confusions: Mapping[str, Counts]
    round: tuple[Network, ...]
    finalists: tuple[Finalist, ...]
    unfinished: str | None
    comparisons: tuple[Comparison, ...]
    unalike: tuple[tuple[Network, Network], ...]
    answer: Answer | None


def find(view: StudyView) -> Findings:
    """The findings of a study, derived from its view."""
    trials = {trial.number: trial for trial in view.trials}
    best_first = tuple(ranked(view.trials))
    runs = known_runs(view.runs, trials)
    compared = tuple(alike(filter(is_tested, runs.finals)))
    networks = tuple(label_recipes(compared, runs.finals))
    to_quote = quoted(networks)
    round_runs = last_round(runs.finalists)
    round = tuple(alike(round_runs))
    finalists = tuple(standings(round, {trial.number: rank for rank, trial in enumerate(best_first)}))
    unfinished = unfinished_round(round_runs)
    winner = None if unfinished else _winner(finalists, trials)
    if winner is not None:
        num_finalists = sum(_is_trial(finalist, trials) for finalist in finalists)
        answer: Answer | None = _chosen_at_full_length(
            winner, num_finalists, dropout_choice(round_runs, winner.number), to_quote
        )
    else:
        answer = _chosen_in_search(best_first, to_quote)
    return Findings(
        view=view,
        ranked=best_first,
        finals=runs.finals,
        earlier=runs.earlier,
        compared=compared,
        networks=networks,
        final_networks=tuple(label_recipes(alike(runs.finals), runs.finals)),
        quoted=to_quote,
        tested_trials=tested_trials(to_quote),
        confusions=confusions(to_quote),
        round=round,
        finalists=finalists,
        unfinished=unfinished,
        comparisons=tuple(compare(compared, view.budget)),
        unalike=tuple(unalike(compared)),
        answer=answer,
    )


def _winner(finalists: tuple[Finalist, ...], trials: Mapping[int, TrialView]) -> TrialView | None:
    """The trial that comes first in the round; None if there was no round."""
    numbers = (finalist.identity.trial for finalist in finalists if _is_trial(finalist, trials))
    number = next(numbers, None)
    return trials[number] if number is not None else None


def _is_trial(finalist: Finalist, trials: Mapping[int, TrialView]) -> bool:
    """Whether a finalist is one of the trials as it was found, not with another dropout."""
    return finalist.identity.dropout is None and finalist.identity.trial in trials


def _chosen_at_full_length(
    trial: TrialView, num_finalists: int, choice: DropoutChoice | None, networks: Mapping[str, Network]
) -> Answer:
    label = Identity(trial=trial.number).label
    how = f"the best mean validation accuracy of {plural(num_finalists, 'finalist')} trained at full length"
    if choice:
        how += f", and then with {choice.phrase}"
        best = choice.best.identity.label
        if best not in networks and label in networks:
            how += "; it has been tested only with its own"
        else:
            label = best
    return Answer(trial, how, label, networks.get(label))


def _chosen_in_search(ranked: tuple[TrialView, ...], networks: Mapping[str, Network]) -> Answer | None:
    if not ranked:
        return None
    label = Identity(trial=ranked[0].number).label
    how = f"the best validation accuracy of {plural(len(ranked), 'complete trial')}"
    return Answer(ranked[0], how, label, networks.get(label))
