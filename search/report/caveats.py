"""What to doubt in a study's answer, as far as the study itself shows it: a sentence or two each."""

from collections import Counter
from collections.abc import Iterable, Sequence

from scipy.stats import binomtest

from search.identity import Identity
from search.report.findings import Answer, Findings
from search.report.notation import count, exists, percent, plural, sentence_list
from search.report.retraining.confusion import num_test_images
from search.report.retraining.known_runs import in_order, is_baseline, name_of
from search.report.summary import states
from search.report.verdicts import costlier_sentence, is_costlier
from search.space.limits import macs_by_rule, macs_words
from search.study.meant import RULE, others
from search.study.networks import Network, is_tested
from search.study.sanity import first_loss_warning
from search.study.view import LedgerEntry, RunView, TrialView


def caveats(findings: Findings) -> list[str]:
    """What a careful reader should know before quoting a number."""
    answer = findings.answer
    return [
        *_search_caveats(findings),
        *(_answer_caveats(findings, answer) if answer else []),
        *_network_caveats(findings),
        *_test_set_caveats(findings),
        *_opening_caveats(findings.view.ledger, findings.view.name),
    ]


def _search_caveats(findings: Findings) -> list[str]:
    view, by_state = findings.view, states(findings.view.trials)
    trained = by_state["complete"] + by_state["pruned"]
    sentences = []
    if view.num_trials is None:
        sentences.append(f"The search is not finished: there was time for {plural(trained, 'trial')} so far.")
    elif trained < view.num_trials and view.exhausted is not None and not by_state["running"]:
        sentences.append(f"The search ended with {plural(trained, 'trial')} of {view.num_trials:,}: {view.exhausted}.")
    elif trained < view.num_trials:
        have = "has" if trained == 1 else "have"
        sentences.append(f"The search is not finished: {trained:,} of {view.num_trials:,} trials {have} been trained.")
    if view.max_macs is not None and view.max_macs == macs_by_rule(view.budget, view.image_size):
        sentences.append(
            f"Only networks of at most {macs_words(view.max_macs, view.budget, view.image_size)} were searched."
        )
    if too_slow := by_state["too slow"]:
        were = "was" if too_slow == 1 else "were"
        sentences.append(f"{plural(too_slow, 'design')} missed the limit of latency and {were} not trained.")
    if len(view.devices) > 1:
        devices = sentence_list([*view.devices])
        sentences.append(f"Trials were trained on {devices}, in one precision: their values differ by rounding too.")
    if by_state["failed"]:
        sentences.append(_failures([trial for trial in view.trials if trial.state == "failed" and not trial.too_slow]))
    if findings.earlier:
        sentences.append(
            f"{plural(len(findings.earlier), 'full-length run')} trained networks of an earlier search, under numbers "
            "that other trials have now: they are listed among all runs and count for nothing else."
        )
    if view.unread:
        sentences.append(_put_aside(view.unread))
    over = [trial.number for trial in view.trials if view.is_over(trial)]
    if over:
        names = sentence_list([str(number) for number in over[:5]]) + (" and others" if len(over) > 5 else "")
        sentences.append(f"{plural(len(over), 'trial')} exceeded the budget and must not be quoted: {names}.")
    return sentences


def _put_aside(unread: Sequence[str]) -> str:
    one = len(unread) == 1
    number = "1 file or line" if one else f"{len(unread):,} files or lines"
    more = "" if one else f" (and {len(unread) - 1:,} more)"
    verbs = "is put aside and counts" if one else "are put aside and count"
    return f"{number} in the folder of studies {verbs} for nothing: {unread[0]}{more}."


def _failures(failed: list[TrialView]) -> str:
    reasons = Counter(trial.reason or "no reason recorded" for trial in failed)
    reason = _clipped(reasons.most_common(1)[0][0], 200)
    which = "The reason" if len(reasons) == 1 else "The commonest reason"
    return f"{plural(len(failed), 'trial')} failed. {which}: {reason}"


def _answer_caveats(findings: Findings, answer: Answer) -> list[str]:
    ranked, trial, final = findings.ranked, answer.trial, answer.final
    sentences = []
    if len(ranked) > 1:
        sentences.append(
            f"The best of {len(ranked):,} validation accuracies is optimistic: it was picked for being the best. "
            "The number to quote is the test accuracy of the retrained model."
        )
    if findings.earlier_rounds:
        rounds = sentence_list([round.training for round in findings.earlier_rounds])
        sentences.append(f"There were other rounds of finalists, by {rounds}: the one that was trained last counts.")
    if findings.unfinished:
        sentences.append(f"The finalists' round has no winner yet: {findings.unfinished}.")
    if ranked and ranked[0].number != trial.number:
        best = f"Trial {ranked[0].number} has the best validation accuracy of the search, {percent(ranked[0].value)}"
        entered = any(finalist.identity == Identity(trial=ranked[0].number) for finalist in findings.finalists)
        why = f"but trial {trial.number} won the finalists' round" if entered else "but was not among the finalists"
        sentences.append(f"{best}, {why}; trial {trial.number} is the answer.")
    if final is None:
        others = {run.label: run.identity.name for run in findings.finals if run.identity.trial is not None}
        names = [name for _, name in sorted(others.items())]
        retrained = f" Retrained were {sentence_list(names)}." if names else ""
        sentences.append(f"Trial {trial.number} has not been retrained: its test accuracy is unknown.{retrained}")
        return sentences
    sentences += _other_rounds(findings, trial, final)
    if final.seeds == 1:
        sentences.append("The answer was retrained with one seed only: the noise between seeds is unknown.")
    else:
        sentences.append("The interval covers the noise between seeds, not what a repeat of the search would find.")
    return [*sentences, *_baseline_caveats(findings, trial, final)]


def _other_rounds(findings: Findings, trial: TrialView, final: Network) -> list[str]:
    """What else the answer's trial was trained as, which is not quoted."""
    own = [run for run in findings.finals if is_tested(run) and run.identity.trial == trial.number]
    rest = others(own, final)
    if not rest:
        return []
    names = [f"{other.training_beside(final)} ({plural(other.seeds, 'seed')})" for other in rest]
    return [
        f"Trial {trial.number} was also trained by {sentence_list(names)}: listed under full training, but not quoted. "
        f"Quoted, and exported, is {final.training_beside(rest[0])} ({plural(final.seeds, 'seed')}): of several {RULE}."
    ]


def _baseline_caveats(findings: Findings, trial: TrialView, final: Network) -> list[str]:
    baselines = {label: network for label, network in findings.quoted.items() if is_baseline(network)}
    if not baselines and findings.view.guesses:
        return []  # the page begins with that
    if not baselines:
        return ["No baseline was trained beside the answer: nothing here says whether searching paid."]
    # Of a baseline that was trained in several ways, the one that was trained like the answer.
    baselines |= {other.label: other for other in findings.networks if is_baseline(other) and other.way == final.way}
    sentences = []
    for label, baseline in sorted(baselines.items()):
        if differences := _differences(baseline, final):
            how = sentence_list(differences)
            sentences.append(f"Baseline {label} was trained differently ({how}): this does not compare like with like.")
        elif baseline.seeds != final.seeds:
            sentences.append(f"Baseline {label} has {plural(baseline.seeds, 'seed')}, the answer {final.seeds}.")
        if is_costlier(trial.macs, baseline.macs):
            name = f"baseline {label}"
            sentences.append(costlier_sentence("The answer", trial.macs, name, baseline.macs, findings.ranked))
    return sentences


def _differences(baseline: Network, final: Network) -> list[str]:
    """How a baseline was trained differently from the answer."""
    differences = []
    if baseline.way != final.way:
        names = [name for name in ("recipe", "epochs") if getattr(baseline, name) != getattr(final, name)]
        differences += [f"{name} {getattr(baseline, name)}" for name in names]
        if baseline.holdout != final.holdout:
            differences.append(f"validation images {'held out' if baseline.holdout else 'not held out'}")
        if baseline.way.teaching != final.way.teaching:
            differences.append(_teaching(baseline, final))
        if baseline.hardware != final.hardware:
            differences.append(baseline.hardware)
        if not differences:
            differences.append("another recipe of the same name")
    return differences


def _teaching(baseline: Network, final: Network) -> str:
    if baseline.teaching and final.teaching:
        return "by other teachers"
    return "with a teacher, which the answer lacks" if baseline.teaching else "without the answer's teacher"


def _network_caveats(findings: Findings) -> list[str]:
    """What is odd about single networks at full length."""
    broken = {name_of(network): findings.view.broken_limit(network.runs[0]) for network in in_order(findings.networks)}
    sentences = [
        f"{name} is over {limit}: it is a reference, not an answer." for name, limit in broken.items() if limit
    ]
    runs = [(name_of(network), run) for network in findings.final_networks for run in network.runs]
    for holdout, why in ((False, "the recipe needs them to watch the training"), (True, "that was asked for")):
        held_out = dict.fromkeys(name for name, run in runs if exists(run.validation) and run.holdout is holdout)
        if held_out:
            sentences.append(f"{sentence_list(list(held_out))} did not see the validation images: {why}.")
    odd_things = [(name, run, odd) for name, run in runs for odd in (_odd_loss(run), _smaller_batch(run)) if odd]
    return [*sentences, *(f"{name}, seed {run.seed}: {odd}." for name, run, odd in odd_things)]


def _odd_loss(run: RunView) -> str | None:
    return first_loss_warning(run.history[0].first_loss, run.architecture.num_classes) if run.history else None


def _smaller_batch(run: RunView) -> str | None:
    asked = run.recipe_values.get("batch_size")
    if asked is None or run.batch_size is None or run.batch_size == asked:
        return None
    return (
        f"a batch of {asked} did not fit into memory, so it was trained with {run.batch_size}, unlike runs where it did"
    )


def _test_set_caveats(findings: Findings) -> list[str]:
    """How much an accuracy owes to the test images that happened to be drawn."""
    images = num_test_images(findings.finals)
    if not images or not findings.networks:
        return []
    answer = findings.answer.final if findings.answer else None
    top = (answer or in_order(findings.quoted.values())[0]).mean
    # Wilson's interval holds near 0 and 1 too, where the usual one has no width.
    low, high = binomtest(round(top * images), images).proportion_ci(method="wilson")
    return [
        f"The test set has {count(images)} images, so an accuracy of {percent(top, 1)} may be one of {percent(low)} to "
        f"{percent(high)} on more images of their kind (95%), which more seeds do not narrow."
    ]


def _opening_caveats(ledger: Iterable[LedgerEntry], study: str) -> list[str]:
    others = [entry.study for entry in ledger if entry.study != study]
    if not others:
        return []
    times, studies = plural(len(others), "time"), plural(len(set(others)), "other study", "other studies")
    return [
        f"This test set has also been opened {times} by {studies}: a choice made with those results in mind is no "
        "longer blind."
    ]


def _clipped(text: str, length: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 1]}\N{HORIZONTAL ELLIPSIS}"
