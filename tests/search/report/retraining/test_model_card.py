"""The card of an exported network says what is on disk, and no more."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models.architecture import Architecture, Stage, Stem
from models.baselines import find_baseline
from models.count import count_macs, count_parameters
from search.files import StudyFiles
from search.identity import Identity
from search.recipe import Recipe
from search.report.retraining.model_card import model_card
from search.space.guesses import first_guesses, guesses
from search.space.space import load_space
from search.study.ledger import Ledger
from search.study.plan import Circumstances, Data, Plan, Question
from search.study.trained import TrainedRun
from search.study.view import RunView
from search.trained_network import CorruptedResult, Robustness, TrainedNetwork

NETWORK = Architecture(Stem(16), (Stage("basic", 2, 16), Stage("bottleneck", 1, 64, 5)))
DATA = Data(name="cifar10", fingerprint="0123456789abcdef" * 4, image_size=32, channels=3, classes=tuple("abcdefghij"))


@pytest.fixture
def files(tmp_path: Path) -> StudyFiles:
    return StudyFiles(tmp_path, "cifar10-5M")


def make_plan(**data: Any) -> Plan:
    question = Question(
        budget=5_000_000,
        data=DATA.model_copy(update=data),
        space=load_space(None),
        recipe=Recipe(name="fast", epochs=8),
        sampler="tpe",
        pruner="median",
        seed=0,
    )
    return Plan(
        question=question,
        circumstances=Circumstances(source="cifar10", storage=None, created="2026-01-01", num_trials=3),
    )


def trained(view: RunView, **values: Any) -> TrainedRun:
    known = {"time": "2026-02-03T04:05:06+00:00", "versions": {"torch": "2.15.0", "budget-nas": "0.1.0"}}
    network = TrainedNetwork(view.architecture, Path("weights.safetensors"), (0.5,) * 3, (0.2,) * 3, "bf16")
    return TrainedRun(view, network, known | values)


@pytest.fixture
def make_runs(run: Callable[..., RunView]) -> Callable[..., list[TrainedRun]]:
    """Final runs of one network with these test accuracies."""

    def make(*accuracies: float, label: str = "0042", **changes: Any) -> list[TrainedRun]:
        views = [run(label, seed, each, architecture=NETWORK) for seed, each in enumerate(accuracies)]
        return [trained(replace(view, precision="bf16", **changes)) for view in views]

    return make


def test_a_card_tells_the_numbers_of_the_runs(files: StudyFiles, make_runs: Callable[..., list[TrainedRun]]) -> None:
    ledger = Ledger(files, DATA.ledger_name)
    for label, seed in (("0042", 0), ("0042", 1), ("0042", 2), ("resnet40", 0)):
        ledger.enter(ledger.record(Identity.parse(label), seed, "cosine"), 0.9)
    card = model_card(files, make_plan(), make_runs(0.90, 0.92, 0.94))
    params = count_parameters(NETWORK)
    assert card.startswith(f"# Trial 42: {params:,} parameters, cifar10\n")
    assert f"| multiply-accumulates | {count_macs(NETWORK, 32):,} for one image of 32 by 32 pixels |" in card
    assert f"{params:,}, {params / 5e6:.1%} of the budget of 5,000,000" in card
    # Student's t of 2 degrees of freedom is 4.3027; 4.3027 * 0.02 / sqrt(3) = 0.04968.
    assert "92.00% in the mean of 3 seeds, 95% interval 87.03% to 96.97%" in card
    assert "The weights in this folder, those of the first seed, have 90.00%." in card
    assert "The test set had been opened 4 times by the day of this export, 3 of them for this network." in card
    assert DATA.fingerprint in card and "recipe | cosine, 20 epochs |" in card
    assert "2026-02-03T04:05:06+00:00" in card and "torch 2.15.0, budget-nas 0.1.0" in card
    assert "found by search" in card and "the training and validation images |" in card


def test_a_network_that_a_search_was_begun_with_is_not_called_found(
    files: StudyFiles, make_runs: Callable[..., list[TrainedRun]]
) -> None:
    plan = make_plan()
    family = guesses(plan.question.space, plan.task, plan.question.all_limits)
    first = first_guesses(family, plan.task, plan.question.all_limits)
    guess = next(iter(first.values()))
    for network, origin in (
        (guess, "a guess, which a search was begun with"),
        (find_baseline("resnet40", 3, 10), "designed by hand, and among the first trials of a search"),
    ):
        card = model_card(files, plan, make_runs(0.9, architecture=network))
        assert origin in card and "found by search" not in card
    assert "guess-18" not in first, "it is narrow and deep"
    assert "found by search" in model_card(files, plan, make_runs(0.9, architecture=family["guess-18"]))
    cold = plan.model_copy(update={"question": plan.question.changed(warm_start=False)})
    assert "found by search" in model_card(files, cold, make_runs(0.9, architecture=guess))


def test_one_seed_has_no_interval(files: StudyFiles, make_runs: Callable[..., list[TrainedRun]]) -> None:
    card = model_card(files, make_plan(), make_runs(0.9))
    assert "Test accuracy on cifar10: 90.00% (one seed, so no interval)." in card
    assert "interval 9" not in card and "opened 0 times" in card


def test_a_baseline_over_the_budget_is_a_reference(
    files: StudyFiles, make_runs: Callable[..., list[TrainedRun]]
) -> None:
    card = model_card(files, make_plan(), make_runs(0.9, label="resnet18", params=11_173_962))
    assert card.startswith("# Baseline resnet18: 11,173,962 parameters, cifar10\n")
    assert "designed by hand" in card
    assert "11,173,962, over the study's budget of 5,000,000: a reference" in card


def test_the_budget_is_what_networks_are_held_to(files: StudyFiles, make_runs: Callable[..., list[TrainedRun]]) -> None:
    plan = make_plan()
    plan = plan.model_copy(update={"question": plan.question.model_copy(update={"limits": ("bytes=4000@fp32",)})})
    card = model_card(files, plan, make_runs(0.9, label="resnet18", params=1_001))
    assert "1,001, over the study's budget of 1,000: a reference" in card


def test_held_out_validation_images_and_kept_epochs_are_told(
    files: StudyFiles, make_runs: Callable[..., list[TrainedRun]]
) -> None:
    card = model_card(files, make_plan(), make_runs(0.9, holdout=True, kept_epoch=7))
    assert "the training split; the validation images were held out" in card
    assert "20 epochs, the weights of epoch 7 |" in card


def test_names_cannot_bring_markup_and_many_classes_are_cut_short(
    files: StudyFiles, make_runs: Callable[..., list[TrainedRun]]
) -> None:
    classes = ("a|b", "<script>alert(1)</script>", "two\nlines", "`code`", *(f"class {n}" for n in range(30)))
    card = model_card(files, make_plan(classes=classes), make_runs(0.9))
    row = next(line for line in card.splitlines() if line.startswith("| classes |"))
    assert row.endswith("and 14 more, see `CLASSES` in model.py |")
    assert "a\\|b, &lt;script&gt;alert(1)&lt;/script&gt;, two lines, \\`code\\`, class 0" in row
    assert "<script>" not in card


def test_the_code_on_the_card_is_what_model_py_offers(
    files: StudyFiles, make_runs: Callable[..., list[TrainedRun]]
) -> None:
    from search.run.export import TAIL

    card = model_card(files, make_plan(), make_runs(0.9))
    code = card.split("```python\n")[1].split("```")[0]
    compile(code, "card", "exec")
    for name in ("load", "preprocess", "CLASSES"):
        assert f"model.{name}" in code and (f"def {name}(" in TAIL or f"{name} = " in TAIL)


def test_what_was_measured_on_corrupted_images_is_told_and_not_called_untested(
    files: StudyFiles, make_runs: Callable[..., list[TrainedRun]]
) -> None:
    untested = model_card(files, make_plan(), make_runs(0.9, 0.8))
    assert "- Noise, damage and images made to mislead it; `nas evaluate --corrupted` tests" in untested
    corrupted = (CorruptedResult("noise", 1, 0.7), CorruptedResult("blur", 1, 0.5))
    robustness = (Robustness("validation", 0.9, corrupted, seen=True), Robustness("test", 0.8, corrupted))
    card = model_card(files, make_plan(), make_runs(0.9, 0.8, robustness=robustness))
    assert "On the validation images, which it was trained on, under corruptions (noise, blur)" in card
    assert "On the test images, under corruptions (noise, blur) of three strengths, the accuracy falls from " in card
    assert "80.00% to 60.00% in the mean (2 seeds)." in card
    assert "- Noise, damage" not in card and "- Damage of other kinds or degrees than named above" in card
    assert "\n\n\n" not in card and "\n\n\n" not in untested
