"""What a study found: everything that more than one topic of the report shows or says, derived once."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from search.identity import Identity
from search.report.notation import plural
from search.report.retraining.comparisons import Comparison, compare, unalike
from search.report.retraining.confusion import confusions
from search.report.retraining.dropouts import DropoutChoice, dropout_choice
from search.report.retraining.known_runs import known_runs, label_recipes
from search.report.retraining.teachers import Effect, effects
from search.report.statistics.bootstrap import Counts
from search.report.trials.leaderboard import Tested, ranked, tested_trials
from search.study.meant import meant
from search.study.networks import Network, alike, is_tested, quoted
from search.study.rounds import (
    NUM_FINALIST_SEEDS,
    SCORES,
    Finalist,
    earlier_rounds,
    last_round,
    standings,
    unfinished_round,
)
from search.study.view import RunView, StudyView, TrialView


@dataclass(frozen=True, slots=True)
class Answer:
    """The chosen trial, why it was chosen (never by a test accuracy), and its tested network if it was retrained.

    `final` is the network that `search.study.meant` says, and `label` its label; without one, the trial's with the
    dropout that was chosen for it.
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
        meant: by the trial's number, the one network that stands for it: the page quotes it and `nas export` takes it.
        tested_trials: test accuracies of these by the trial's number.
        confusions: by label, the confusion matrix of the quoted network, if it has one.
        round: networks of the round that picks a winner.
        earlier_rounds: a network of each other round of finalists.
        finalists: its standings, best first.
        unfinished: how far the round is, if it has no winner yet.
        comparisons: of every trial with every baseline that was trained alike.
        unalike: trials and baselines that were never trained alike.
        effects: of every network that had a teacher, what it gained.
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
    meant: Mapping[int, Network]
    tested_trials: Mapping[int, Tested]
    confusions: Mapping[str, Counts]
    round: tuple[Network, ...]
    earlier_rounds: tuple[Network, ...]
    finalists: tuple[Finalist, ...]
    unfinished: str | None
    comparisons: tuple[Comparison, ...]
    unalike: tuple[tuple[Network, Network], ...]
    effects: tuple[Effect, ...]
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
    stand_for = _meant(runs.finals, round_runs)
    round = tuple(alike(round_runs))
    finalists = tuple(standings(round, {trial.number: rank for rank, trial in enumerate(best_first)}))
    unfinished = None if _was_decided(finalists, round_runs, runs.finals) else unfinished_round(round_runs)
    copies = {(Identity(trial=trial.number).label, trial.baseline) for trial in view.trials if trial.baseline}
    winner = None if unfinished else _winner(finalists, trials)
    if winner is not None:
        own = [finalist.network for finalist in finalists if _is_trial(finalist, trials)]
        answer: Answer | None = _chosen_among(own, winner, dropout_choice(round_runs, winner.number), stand_for)
    else:
        answer = _chosen_in_search(best_first, stand_for)
    return Findings(
        view=view,
        ranked=best_first,
        finals=runs.finals,
        earlier=runs.earlier,
        compared=compared,
        networks=networks,
        final_networks=tuple(label_recipes(alike(runs.finals), runs.finals)),
        quoted=to_quote,
        meant=stand_for,
        tested_trials=tested_trials(stand_for),
        confusions=confusions(to_quote),
        round=round,
        earlier_rounds=tuple(earlier_rounds(runs.finalists)),
        finalists=finalists,
        unfinished=unfinished,
        comparisons=tuple(compare(compared, view.is_over, copies)),
        unalike=tuple(unalike(compared, copies)),
        effects=tuple(effects(compared)),
        answer=answer,
    )


def _was_decided(finalists: Sequence[Finalist], round: Iterable[RunView], finals: Iterable[RunView]) -> bool:
    """Whether the first of the finalists has been trained finally since. Then its round is over, though a finalist may
    lack a seed: one whose training failed is left out. One alone is the best of none."""
    num_whole = sum(finalist.network.seeds >= NUM_FINALIST_SEEDS for finalist in finalists)
    if not num_whole or num_whole < min(2, len(finalists)):
        return False
    last = max(run.time for run in round)
    return any(run.identity.trial == finalists[0].identity.trial and run.time > last for run in finals)


def _winner(finalists: tuple[Finalist, ...], trials: Mapping[int, TrialView]) -> TrialView | None:
    """The trial that comes first in the round; None if there was no round."""
    numbers = (finalist.identity.trial for finalist in finalists if _is_trial(finalist, trials))
    number = next(numbers, None)
    return trials[number] if number is not None else None


def _is_trial(finalist: Finalist, trials: Mapping[int, TrialView]) -> bool:
    """Whether a finalist is one of the trials as it was found, not with another dropout."""
    return finalist.identity.dropout is None and finalist.identity.trial in trials


def _meant(finals: Iterable[RunView], round: Sequence[RunView]) -> dict[int, Network]:
    """The network that stands for each trial that has been tested."""
    tested: dict[int, list[RunView]] = defaultdict(list)
    for run in filter(is_tested, finals):
        if run.identity.trial is not None:
            tested[run.identity.trial].append(run)
    return {number: meant(runs, round) for number, runs in tested.items()}


def _chosen_among(
    finalists: Sequence[Network], trial: TrialView, choice: DropoutChoice | None, stand_for: Mapping[int, Network]
) -> Answer:
    epochs = plural(max(finalist.epochs for finalist in finalists), "epoch")
    # A few lead by their first seed, and have a second one; it is among these that the mean decides.
    most = max(len(finalist.runs) for finalist in finalists)
    num_led = sum(len(finalist.runs) == most for finalist in finalists)
    among = plural(len(finalists), "finalist")
    if num_led < len(finalists):
        among = f"the {num_led:,} of {among} that have {plural(most, 'seed')},"
    how = f"the best {SCORES[finalists[0].way.select]} of {among} trained for {epochs}"
    chosen = Identity(trial=trial.number)
    if choice:
        how += f", and then with {choice.phrase}"
        chosen = choice.best.identity
    return _answer(trial, how, chosen, stand_for)


def _chosen_in_search(ranked: tuple[TrialView, ...], stand_for: Mapping[int, Network]) -> Answer | None:
    if not ranked:
        return None
    how = f"the best validation accuracy of {plural(len(ranked), 'complete trial')}"
    return _answer(ranked[0], how, Identity(trial=ranked[0].number), stand_for)


def _answer(trial: TrialView, how: str, chosen: Identity, stand_for: Mapping[int, Network]) -> Answer:
    """The answer, which says where the chosen dropout is not the tested one."""
    final = stand_for.get(trial.number)
    if final is None:
        return Answer(trial, how, chosen.label, None)
    tested = final.runs[0].identity
    if tested != chosen:
        with_what = "its own" if tested.dropout is None else f"dropout {tested.dropout:g}"
        how += f"; it has been tested only with {with_what}"
    return Answer(trial, how, final.label, final)
