"""Final runs: trained at full length in front of a person, and what they came to."""

from typing import TYPE_CHECKING

from search.cli.studies import print_unread
from search.files import StudyFiles

if TYPE_CHECKING:
    from search.run.candidates import Candidate
    from search.run.launch import RetrainRequest
    from search.study.plan import Plan
    from search.study.rounds import Finalist
    from search.study.view import RunView, StudyView
    from search.tracking.trackers import Trackers
    from search.workers.machine import Machine


def train_final_runs(
    files: StudyFiles,
    plan: "Plan",
    request: "RetrainRequest",
    machine: "Machine",
    log: "Trackers",
) -> "tuple[list[tuple[Candidate, Finalist]], list[RunView]]":
    """Call `search.run.launch.retrain` with a line on the screen for each epoch, and stop politely on a signal."""
    from rich.console import Console

    from search.cli.progress import RetrainProgress
    from search.run import launch
    from search.run.interruption import Interruption

    with Interruption() as interruption:
        progress = RetrainProgress(Console(), log, interruption)
        return launch.retrain(files, plan, request, machine, progress.observer, interruption)


def print_final_runs(files: StudyFiles, plan: "Plan", runs: "list[RunView]") -> None:
    """Each run's accuracy and weights, then how the study's networks compare with its baselines, what teachers gained,
    and last, where one of them is the answer, whether searching paid; on stderr what in the study was put aside."""
    from search.report.findings import find
    from search.report.notation import plural
    from search.report.retraining.teachers import effect_sentences
    from search.report.summary import whether_searching_paid
    from search.report.verdicts import comparison_sentences, network_sentences
    from search.study.reading import read_view

    view = read_view(files)
    for run in runs:
        print(describe(run, view))
    print_unread(view)
    findings = find(view)
    for sentence in (*network_sentences(findings.compared), *comparison_sentences(findings)):
        print(sentence)
    openings, ledger = plural(len(view.ledger), "opening"), files.ledger(plan.question.data.ledger_name)
    print(f"test set openings are listed in {ledger}: {openings} by all studies")
    told = [effect for effect in findings.effects if effect.alone is not None]
    for sentence in effect_sentences(told, view.budget):
        print(sentence)
    trials, answer = {run.identity.trial for run in runs} - {None}, findings.answer
    if answer is not None and answer.trial.number not in trials:
        if trials:
            print(f"the study's answer is another: trial {answer.trial.number}, chosen for {answer.how}")
    elif paid := whether_searching_paid(findings):
        print(paid)


def describe(run: "RunView", view: "StudyView") -> str:
    """A final run of a study in a line."""
    from search.report.notation import duration, percent

    name = run.identity.name + (f" by {run.recipe}" if run.identity.baseline else "")
    within = f"a reference, over {view.used(run.architecture)[1]}" if view.is_over(run) else f"budget {view.budget:,}"
    kept = f" with the weights of epoch {run.kept_epoch}" if run.kept_epoch is not None else ""
    kept += ", validation images held out" if run.holdout else ""
    kept += f", {run.teaching.words}" if run.teaching is not None else ""
    for result in run.augmented[-1:]:
        kept += f" ({percent(result.accuracy)} with test-time augmentation, {result.passes} passes an image)"
    return (
        f"{name} seed {run.seed}: test accuracy {run.test_accuracy:.2%}{kept}, {run.params:,} parameters "
        f"({within}), {run.macs:,} MACs, {duration(run.seconds)}; weights in {run.folder}"
    )
