"""What to doubt in a study's answer: only what the study itself can tell, each in a sentence or two."""

import math
from collections import Counter

from search.report.answer import Answer, states
from search.report.classes import num_test_images
from search.report.finalists import finalists_frame, unfinished_round
from search.report.notation import count, exists, network, percent, plural, points, sentence_list
from search.report.runs import final_runs, final_summary, kind, known_runs, last_validation, tested_runs
from search.report.tables import ranked
from search.report.verdicts import MAX_MACS_RATIO
from search.study.networks import Network, alike, quoted
from search.study.sanity import first_loss_warning
from search.study.view import StudyView, TrialView


def caveats(view: StudyView, answer: Answer | None) -> list[str]:
    """What a careful reader should know before quoting a number."""
    return [*_search_caveats(view), *(_answer_caveats(view, answer) if answer else []), *_test_caveats(view)]


def _search_caveats(view: StudyView) -> list[str]:
    by_state = states(view)
    trained = by_state["complete"] + by_state["pruned"]
    found = []
    if trained < view.num_trials:
        found.append(f"The search is not finished: {trained:,} of {view.num_trials:,} trials have been trained.")
    if too_slow := by_state["too slow"]:
        were = "was" if too_slow == 1 else "were"
        found.append(f"{plural(too_slow, 'design')} missed the limit of latency and {were} not trained.")
    if num_failed := by_state["failed"]:
        failed = [trial for trial in view.trials if trial.state == "failed" and not trial.too_slow]
        reasons = Counter(trial.reason or "no reason recorded" for trial in failed)
        reason = _clipped(reasons.most_common(1)[0][0], 200)
        which = "The reason" if len(reasons) == 1 else "The commonest reason"
        found.append(f"{plural(num_failed, 'trial')} failed. {which}: {reason}")
    if others := known_runs(view)[1]:
        found.append(
            f"{plural(len(others), 'full-length run')} trained networks of an earlier search, under numbers that other "
            "trials have now: listed among all runs, they count for nothing else."
        )
    over = [trial.number for trial in view.trials if trial.params > view.budget]
    if over:
        names = sentence_list([str(number) for number in over[:5]]) + (" and others" if len(over) > 5 else "")
        found.append(f"{plural(len(over), 'trial')} exceeded the budget and must not be quoted: {names}.")
    return found


def _answer_caveats(view: StudyView, answer: Answer) -> list[str]:
    complete, trial, final = ranked(view), answer.trial, answer.final
    found = []
    if len(complete) > 1:
        found.append(
            f"The best of {len(complete):,} validation accuracies is optimistic: it was picked for being the best. "
            "The number to quote is the test accuracy of the retrained model."
        )
    if unfinished := unfinished_round(view):
        found.append(f"The finalists' round has no winner yet: {unfinished}.")
    if complete and complete[0].number != trial.number:
        best = (
            f"Trial {complete[0].number} has the best validation accuracy of the search, {percent(complete[0].value)}"
        )
        entered = f"{complete[0].number:04d}" in set(finalists_frame(view)["label"])
        why = f"but trial {trial.number} won the finalists' round" if entered else "but was not among the finalists"
        found.append(f"{best}, {why}; trial {trial.number} is the answer.")
    if final is None:
        others = sorted({run.label for run in final_runs(view) if kind(run.label) == "trial"})
        retrained = f" Retrained were {sentence_list(list(map(network, others)))}." if others else ""
        found.append(f"Trial {trial.number} has not been retrained: its test accuracy is unknown.{retrained}")
        return found
    if final.seeds == 1:
        found.append("The answer was retrained with one seed only: the noise between seeds is unknown.")
    else:
        found.append("The interval covers the noise between seeds, not what a repeat of the search would find.")
    return [*found, *_baseline_caveats(view, trial, final)]


def _baseline_caveats(view: StudyView, trial: TrialView, final: Network) -> list[str]:
    baselines = [run for run in tested_runs(view) if kind(run.label) == "baseline"]
    if not baselines:
        return ["No baseline was trained beside the answer: nothing here says whether searching paid."]
    found = []
    like = {each.label: each for each in alike(baselines) if each.way == final.way}
    for label, baseline in sorted((quoted(baselines) | like).items()):
        if differs := _differs(baseline, final):
            how = sentence_list(differs)
            found.append(f"Baseline {label} was trained otherwise ({how}): this does not compare like with like.")
        if trial.macs > MAX_MACS_RATIO * baseline.macs:
            found.append(_costlier(view, trial, label, baseline.macs))
    return found


def _differs(baseline: Network, final: Network) -> list[str]:
    """How a baseline was trained otherwise than the answer."""
    differs = []
    if baseline.way != final.way:
        names = [name for name in ("recipe", "epochs") if getattr(baseline, name) != getattr(final, name)]
        differs += [f"{name} {getattr(baseline, name)}" for name in names]
        if baseline.holdout != final.holdout:
            differs.append(f"validation images {'held out' if baseline.holdout else 'not held out'}")
        elif not differs:
            differs.append("another recipe of the same name")
    return differs + ([plural(baseline.seeds, "seed")] if baseline.seeds != final.seeds else [])


def _costlier(view: StudyView, trial: TrialView, label: str, macs: int) -> str:
    within = [each for each in ranked(view) if each.macs <= MAX_MACS_RATIO * macs]
    best = f"No complete trial stays within {MAX_MACS_RATIO} times."
    if within:
        accuracy = percent(within[0].value)
        best = f"The best trial within {MAX_MACS_RATIO} times is trial {within[0].number} (validation {accuracy})."
    return f"The answer needs {trial.macs / macs:.1f} times the MACs of baseline {label}. {best}"


def _test_caveats(view: StudyView) -> list[str]:
    found = []
    images, summary = num_test_images(view), final_summary(view)
    for label in dict.fromkeys(summary.loc[summary["over"], "label"]):
        found.append(f"{network(label)} is over the budget: it is a reference, not an answer.")
    finals = final_runs(view)
    for holdout, why in ((False, "the recipe needs them to watch the training"), (True, "that was asked for")):
        chosen = [run for run in finals if exists(last_validation(run)) and run.holdout is holdout]
        if held_out := list(dict.fromkeys(network(run.label) for run in chosen)):
            found.append(f"{sentence_list(held_out)} did not see the validation images: {why}.")
    for run in finals:
        if run.history and (odd := first_loss_warning(run.history[0].first_loss, run.architecture.num_classes)):
            found.append(f"{network(run.label)}, seed {run.seed}: {odd}.")
    if images and not summary.empty:
        top = float(summary["mean"].iloc[0])
        error = 1.96 * math.sqrt(top * (1 - top) / images)
        found.append(
            f"The test set has {count(images)} images, so an accuracy of {percent(top, 1)} carries a sampling error of "
            f"about \N{PLUS-MINUS SIGN} {points(error)} points (95%), which more seeds do not reduce."
        )
    own = sum(entry.study == view.name for entry in view.ledger)
    if len(view.ledger) > own:
        others = len({entry.study for entry in view.ledger if entry.study != view.name})
        times, studies = plural(len(view.ledger) - own, "time"), plural(others, "other study", "other studies")
        found.append(
            f"This test set has also been opened {times} by {studies}: a choice made with those results in mind is no "
            "longer blind."
        )
    return found


def _clipped(text: str, length: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 1]}\N{HORIZONTAL ELLIPSIS}"
