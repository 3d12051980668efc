"""Which of the networks on disk is meant."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import create_trial

from models.architecture import Architecture, ArchitectureError, Stage, Stem
from models.baselines import find_baseline
from models.count import count_parameters
from search.errors import StorageError, StudyError, TrainingError
from search.files import StudyFiles
from search.identity import Identity
from search.protocol import Finished, Job, Measurement, Ready
from search.recipe import Recipe
from search.report.findings import find
from search.space.space import Space
from search.study.plan import Plan
from search.study.reading import read_view
from search.study.results import EndedRun, write_run
from search.study.storage import Record, locked
from search.study.trained import of_seeds, trained_runs

NETWORK = Architecture(Stem(4), (Stage("basic", 1, 8),), in_channels=1)
BASELINE = find_baseline("resnet20-b", 1, 10)
SHORT, LONG = Recipe(name="short", epochs=1), Recipe(name="long", epochs=2)

Retrained = Callable[..., Any]


@pytest.fixture
def plan(make_plan: Callable[..., Plan]) -> Plan:
    return make_plan()


def test_all_seeds_of_a_trial_are_found_in_order(files: StudyFiles, plan: Plan, retrained: Retrained) -> None:
    for seed in (10, 0, 2):
        retrained(NETWORK, seed=seed)
    retrained(NETWORK, label="0043")
    runs = trained_runs(files, plan, 42)
    assert [run.view.seed for run in runs] == [0, 2, 10]
    assert {run.name for run in runs} == {"trial 42"}
    assert [run.network.weights for run in runs] == [
        files.full_run("final", Identity(trial=42), runs[0].view.key, seed) / "weights.safetensors"
        for seed in (0, 2, 10)
    ]
    assert (runs[0].network.mean, runs[0].network.std, runs[0].network.precision) == ((0.3,), (0.25,), "fp32")
    assert runs[0].values["versions"]["torch"] == "2.11"


def test_seeds_of_another_recipe_architecture_or_holdout_are_left_out(
    files: StudyFiles, plan: Plan, retrained: Retrained
) -> None:
    other = Architecture(Stem(4), (Stage("basic", 2, 8),), in_channels=1)
    retrained(NETWORK, recipe=SHORT)
    retrained(NETWORK, recipe=LONG, seed=1)
    retrained(other, recipe=SHORT, seed=2)
    retrained(NETWORK, recipe=SHORT, seed=0, holdout=True)
    retrained(NETWORK, recipe=SHORT, seed=3)
    assert [(run.view.seed, run.view.holdout) for run in trained_runs(files, plan, 42)] == [(0, False), (3, False)]
    assert [run.view.seed for run in trained_runs(files, plan, 42, recipe="long")] == [1]
    with pytest.raises(StudyError, match=r"^trial = 42: was not trained by --recipe full; it was by long-\S+, short-"):
        trained_runs(files, plan, 42, recipe="full")


def with_dropout(dropout: float) -> Architecture:
    return Architecture(Stem(4), (Stage("basic", 1, 8, dropout=dropout),), in_channels=1)


def finalist(files: StudyFiles, plan: Plan, identity: Identity, accuracies: tuple[float, float]) -> None:
    """Leaves what the round that picks a winner leaves, two runs of these validation accuracies."""
    network = NETWORK if identity.dropout is None else with_dropout(identity.dropout)
    for seed, accuracy in enumerate(accuracies):
        job = Job(identity.label, network, LONG, seed, "finalist", None)
        history = [Measurement(1, 1.0, 0.5, 1.0, accuracy, 0.1, 1.0)]
        finished, ready = Finished(1.0, (0.3,), (0.25,)), Ready("CPU", "fp32", {})
        ended = EndedRun(identity, seed, job, history, finished, ready)
        write_run(files.full_run("finalist", identity, f"round-{identity.dropout}", seed) / "result.json", plan, ended)


def test_of_a_trials_dropouts_the_one_is_meant_that_its_finalists_chose(
    files: StudyFiles, plan: Plan, retrained: Retrained
) -> None:
    for dropout in (0.2, 0.1):
        for seed in (0, 1):
            retrained(with_dropout(dropout), label=f"0042 with dropout {dropout}", seed=seed)
    retrained(NETWORK)
    assert [run.name for run in trained_runs(files, plan, 42)] == ["trial 42"], "without a choice it is its own"
    finalist(files, plan, Identity(trial=42), (0.7, 0.8))
    finalist(files, plan, Identity(trial=42, dropout=0.1), (0.6, 0.95))
    finalist(files, plan, Identity(trial=42, dropout=0.2), (0.9, 0.5))
    runs = trained_runs(files, plan, 42)
    assert [(run.name, run.view.seed) for run in runs] == [("trial 42 with dropout 0.1", seed) for seed in (0, 1)]
    assert {run.network.architecture.stages[0].dropout for run in runs} == {0.1}


def test_the_run_that_is_meant_is_the_one_that_the_report_quotes(
    files: StudyFiles, make_plan: Callable[..., Plan], retrained: Retrained
) -> None:
    """With the trial's own dropout it was trained later, with more seeds: the report answers with the chosen one."""
    plan = searched(files, make_plan, [NETWORK, NETWORK])
    finalist(files, plan, Identity(trial=0), (0.7, 0.8))
    finalist(files, plan, Identity(trial=1), (0.1, 0.2))
    finalist(files, plan, Identity(trial=0, dropout=0.1), (0.8, 0.9))
    retrained(with_dropout(0.1), label="0000 with dropout 0.1", accuracy=0.91)
    for seed in (0, 1):
        retrained(NETWORK, label="0000", seed=seed, accuracy=0.95)
    answer = find(read_view(files)).answer
    assert answer is not None and answer.final is not None
    assert [run.view for run in trained_runs(files, plan, 0)] == list(answer.final.runs)
    assert answer.label == "0000 with dropout 0.1"


def test_a_dropout_that_is_asked_for_is_taken_though_it_was_not_chosen(
    files: StudyFiles, plan: Plan, retrained: Retrained
) -> None:
    for seed in (0, 1):
        retrained(with_dropout(0.1), label="0042 with dropout 0.1", seed=seed)
    retrained(NETWORK)
    assert [run.name for run in trained_runs(files, plan, 42)] == ["trial 42"]
    named = [(run.name, run.view.seed) for run in trained_runs(files, plan, 42, dropout=0.1)]
    assert named == [("trial 42 with dropout 0.1", seed) for seed in (0, 1)]
    assert [run.name for run in trained_runs(files, plan, 42, dropout=0.0)] == ["trial 42"], "the trial's own"
    with pytest.raises(StudyError, match=r"^trial = 42: was not trained with dropout 0.3; it was with 0, 0.1$"):
        trained_runs(files, plan, 42, dropout=0.3)


def test_a_run_with_a_holdout_is_taken_where_there_is_no_other(
    files: StudyFiles, plan: Plan, retrained: Retrained
) -> None:
    retrained(NETWORK, holdout=True)
    assert [run.view.holdout for run in trained_runs(files, plan, 42)] == [True]


def test_a_baseline_by_several_recipes_must_be_told_apart(files: StudyFiles, plan: Plan, retrained: Retrained) -> None:
    retrained(BASELINE, label="resnet20-b", recipe=SHORT)
    assert trained_runs(files, plan, None, "resnet20-b")[0].name == "baseline resnet20-b"
    retrained(BASELINE, label="resnet20-b", recipe=LONG)
    with pytest.raises(StudyError, match="baseline = resnet20-b: was trained by long, short; name one"):
        trained_runs(files, plan, None, "resnet20-b")
    assert [run.view.recipe for run in trained_runs(files, plan, None, "resnet20-b", "long")] == ["long"]


def test_what_was_not_trained_is_told_with_what_to_do(files: StudyFiles, plan: Plan) -> None:
    with pytest.raises(StudyError, match=r"^trial = 7: has no trained weights; run `nas retrain --trial 7` first$"):
        trained_runs(files, plan, 7)
    with pytest.raises(StudyError, match=r"has no trained weights; run `nas retrain --baseline resnet40` first$"):
        trained_runs(files, plan, None, "resnet40")
    with pytest.raises(ArchitectureError, match="no such baseline"):
        trained_runs(files, plan, None, "../../etc")


def test_a_seed_that_was_not_trained_is_told_with_those_that_were(
    files: StudyFiles, plan: Plan, retrained: Retrained
) -> None:
    retrained(NETWORK)
    retrained(NETWORK, seed=1)
    runs = trained_runs(files, plan, 42)
    assert of_seeds(runs, [1]) == runs[1:]
    with pytest.raises(StudyError, match=r"^seed = 5: trial 42 was not trained with it; there are 0, 1$"):
        of_seeds(runs, [0, 5])


def test_weights_are_counted(files: StudyFiles, make_plan: Callable[..., Plan], retrained: Retrained) -> None:
    retrained(NETWORK)
    with pytest.raises(TrainingError, match="over the limit of 100"):
        trained_runs(files, make_plan(budget=100), 42)
    with pytest.raises(TrainingError, match=r"over the limit of 50$"):
        trained_runs(files, make_plan(limits=("bytes=200",)), 42)
    (weights,) = files.folder.glob("retrain/0042/*/seed-0/weights.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(StorageError, match="not a readable safetensors file"):
        trained_runs(files, make_plan(), 42)


@pytest.mark.parametrize(
    "damage",
    [{"mean": [0.1, 0.2]}, {"std": [0]}, {"std": None}, {"mean": [float("nan")]}, {"precision": "fp8"}, {"history": 3}],
    ids=str,
)
def test_a_damaged_result_is_one_line(
    files: StudyFiles, plan: Plan, retrained: Retrained, damage: dict[str, Any]
) -> None:
    retrained(NETWORK)
    path: Path = next(files.folder.glob("retrain/0042/*/seed-0/result.json"))
    path.write_text(json.dumps(json.loads(path.read_text()) | damage))
    with pytest.raises(StorageError, match=r"result.json: cannot be read") as caught:
        trained_runs(files, plan, 42)
    assert "\n" not in str(caught.value)


def test_a_short_retraining_is_not_what_is_exported(files: StudyFiles, plan: Plan, retrained: Retrained) -> None:
    """As filed: three seeds of six epochs, then one of one epoch. The long one is taken, and the other is named."""
    six, one = Recipe(name="full", epochs=6), Recipe(name="full", epochs=1)
    for seed in range(3):
        retrained(NETWORK, seed=seed, recipe=six)
    retrained(NETWORK, recipe=one)
    said: list[str] = []
    runs = trained_runs(files, plan, 42, note=said.append)
    assert [(run.view.length, run.view.seed) for run in runs] == [(6, 0), (6, 1), (6, 2)]
    (short,) = trained_runs(files, plan, 42, recipe="full-1ep")
    assert short.view.length == 1
    assert trained_runs(files, plan, 42, recipe=short.view.key) == [short]
    assert said == [
        f"trial = 42: taken is full, 1 epoch, recipe {runs[0].view.way.recipe}, seeds 0, 1, 2; "
        f"it was also trained by full, 1 epoch, recipe {short.view.way.recipe} (--recipe {short.view.key})"
    ]
    known = f"{short.view.key}, {runs[0].view.key}"
    with pytest.raises(StudyError, match=f"^trial = 42: was not trained by --recipe full-9ep; it was by {known}$"):
        trained_runs(files, plan, 42, recipe="full-9ep")


def test_without_a_choice_and_its_own_dropout_the_page_and_export_mean_the_same(
    files: StudyFiles, make_plan: Callable[..., Plan], retrained: Retrained
) -> None:
    """Chosen was 0.1, but trained finally were 0.2 with two seeds and 0.3 with one."""
    plan = searched(files, make_plan, [NETWORK, NETWORK])
    for trial in (0, 1):
        finalist(files, plan, Identity(trial=trial), (0.7 - trial / 10, 0.8))
    finalist(files, plan, Identity(trial=0, dropout=0.1), (0.8, 0.9))
    for dropout, seed in ((0.2, 0), (0.2, 1), (0.3, 0)):
        retrained(with_dropout(dropout), label=f"0000 with dropout {dropout}", seed=seed)
    answer = find(read_view(files)).answer
    assert answer is not None and answer.final is not None
    assert list(answer.final.runs) == [run.view for run in trained_runs(files, plan, 0)]
    assert answer.label == "0000 with dropout 0.2" and answer.how.endswith("it has been tested only with dropout 0.2")


def test_a_network_of_an_earlier_search_is_not_exported_as_the_trial(
    files: StudyFiles, make_plan: Callable[..., Plan], retrained: Retrained
) -> None:
    """A study that began anew has another design under the number, however late the earlier one was trained."""
    plan = searched(files, make_plan, [NETWORK])
    retrained(Architecture(Stem(4), (Stage("basic", 2, 8),), in_channels=1), label="0000")
    with pytest.raises(StudyError, match="trial = 0: has no trained weights; run"):
        trained_runs(files, plan, 0)
    retrained(NETWORK, label="0000", recipe=SHORT)
    assert [run.network.architecture for run in trained_runs(files, plan, 0)] == [NETWORK]


def test_only_the_weights_that_are_wanted_must_be_there(files: StudyFiles, plan: Plan, retrained: Retrained) -> None:
    for seed in (0, 1):
        retrained(NETWORK, seed=seed)
    next(files.folder.glob("retrain/*/*/seed-1/weights.safetensors")).unlink()
    assert len(trained_runs(files, plan, 42, seeds=[0])) == len(trained_runs(files, plan, 42, seeds=[])) == 2
    for seeds in (None, [1]):
        with pytest.raises(StorageError, match=r"is gone; the `nas retrain` that trained trial 42 trains it again$"):
            trained_runs(files, plan, 42, seeds=seeds)


def test_a_damaged_result_beside_sound_ones_is_a_note(files: StudyFiles, plan: Plan, retrained: Retrained) -> None:
    for seed in (0, 1):
        retrained(NETWORK, seed=seed)
    next(files.folder.glob("retrain/*/*/seed-1/result.json")).write_text("{")
    said: list[str] = []
    assert [run.view.seed for run in trained_runs(files, plan, 42, note=said.append)] == [0]
    assert len(said) == 1 and "seed-1/result.json: cannot be read (" in said[0]


def searched(files: StudyFiles, make_plan: Callable[..., Plan], designs: list[Architecture]) -> Plan:
    """Leaves a study of complete trials of these designs."""
    stage = {"block": "basic", "depth": 1, "width": 8}
    plan = make_plan(space=Space.model_validate({"stem": {"width": 4}, "num_stages": 1, "stage": stage}))
    plan.save(files)
    with locked(files), Record(files) as record:
        for number, design in enumerate(designs):
            values = {"architecture": design.to_json(), "params": count_parameters(design), "macs": 1}
            value = 0.5 - number / 10
            record._disk.add_trial(create_trial(value=value, intermediate_values={1: value}, user_attrs=values))
    return plan


def test_two_recipes_of_one_name_are_told_apart(files: StudyFiles, plan: Plan, retrained: Retrained) -> None:
    for lr in (0.1, 0.05):
        retrained(NETWORK, recipe=Recipe(name="mine", epochs=2, lr=lr))
    said: list[str] = []
    trained_runs(files, plan, 42, note=said.append)
    one, other = re.findall(r"recipe ([0-9a-f]{12})\b", said[0])
    assert one != other
