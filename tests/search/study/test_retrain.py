"""Full-length training: a winner is chosen by validation, and the test set is opened once per final network."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.architecture import Architecture, Stage, Stem
from models.count import count_macs, count_parameters
from search.errors import StorageError, TrainingError
from search.files import StudyFiles
from search.protocol import Failed, Job, Lost, Measurement
from search.recipe import Recipe
from search.simulation import SimulatedFleet
from search.study.candidates import Candidate
from search.study.coordinator import run_seed
from search.study.plan import Plan
from search.study.results import read_runs
from search.study.retrain import Retraining

FULL = Recipe(name="full", epochs=3, batch_size=16)
ACCURACY = {8: (0.90, 0.50), 16: (0.79, 0.81), 4: (0.60, 0.60)}  # by width, for seeds 0 and 1


def candidate(number: int, width: int, recipe: Recipe = FULL) -> Candidate:
    architecture = Architecture(Stem(4), (Stage("basic", 1, width),), in_channels=1)
    return Candidate(f"{number:04d}", architecture, recipe, 6_000)


CANDIDATES = [candidate(3, 8), candidate(7, 16), candidate(11, 4)]


def write_weights(folder: Path, num_params: int) -> None:
    """A safetensors file of one tensor of zeros."""
    header = json.dumps({"weight": {"dtype": "F32", "shape": [num_params], "data_offsets": [0, 4 * num_params]}})
    folder.mkdir(parents=True, exist_ok=True)
    content = len(header).to_bytes(8, "little") + header.encode() + bytes(4 * num_params)
    (folder / "weights.safetensors").write_bytes(content)


def saving(job: Job, epoch: int) -> float:
    """Ends at the accuracy of its width and seed, and keeps weights as a real worker does."""
    if job.keep is not None and epoch == job.recipe.epochs:
        write_weights(job.keep, count_parameters(job.architecture))
    seed = int(job.label.split()[-1]) % 2
    return ACCURACY[job.architecture.stages[0].width][seed] - 0.1 * (job.recipe.epochs - epoch)


@pytest.fixture
def retrain(files: StudyFiles, make_plan: Callable[..., Plan]) -> Callable[..., Retraining]:
    """A retraining of the toy study; `fleet` holds the jobs, `told` is filled with what it tells."""

    def make(fleet: SimulatedFleet | None = None, told: list[tuple[Job, Measurement]] | None = None) -> Retraining:
        notes = told if told is not None else []
        fleet = fleet or SimulatedFleet(1, saving)
        return Retraining(make_plan(seed=5), files, fleet, lambda job, epoch: notes.append((job, epoch)))

    return make


def jobs(fleet: SimulatedFleet) -> list[Job]:
    return [job for worker in fleet.workers for job in worker.jobs]  # type: ignore[attr-defined]


def ledger(files: StudyFiles, plan: Plan) -> list[dict[str, Any]]:
    path = files.ledger(plan.question.data.ledger_name)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


@pytest.mark.parametrize("num_workers", [1, 3])
def test_the_winner_is_chosen_by_its_mean_not_by_the_best_single_run(
    retrain: Callable[..., Retraining], num_workers: int
) -> None:
    ranking = retrain(SimulatedFleet(num_workers, saving)).choose(CANDIDATES)
    assert [each.label for each, _ in ranking] == ["0007", "0003", "0011"]
    assert [accuracy for _, accuracy in ranking] == pytest.approx([0.80, 0.70, 0.60])


def test_finalists_leave_the_test_set_closed(retrain: Callable[..., Retraining], files: StudyFiles) -> None:
    fleet = SimulatedFleet(2, saving)
    retraining = retrain(fleet)
    retraining.choose(CANDIDATES)
    assert {job.purpose for job in jobs(fleet)} == {"finalist"}
    assert {job.keep for job in jobs(fleet)} == {None}
    assert ledger(files, retraining.plan) == []
    runs = read_runs(files)
    assert len(runs) == 6
    assert {(run.purpose, run.test_accuracy, run.test_loss, run.confusion) for run in runs} == {
        ("finalist", None, None, None)
    }


def test_every_final_run_opens_the_test_set_once_and_is_one_line_in_the_ledger(
    retrain: Callable[..., Retraining], files: StudyFiles
) -> None:
    retraining = retrain(SimulatedFleet(2, saving))
    views = retraining.finish(CANDIDATES[:2], 3)
    lines = ledger(files, retraining.plan)
    assert sorted((line["label"], line["seed"]) for line in lines) == [
        ("0003", 0), ("0003", 1), ("0003", 2), ("0007", 0), ("0007", 1), ("0007", 2),
    ]  # fmt: skip
    by_run = {(line["label"], line["seed"]): line["accuracy"] for line in lines}
    assert {(view.label, view.seed): view.test_accuracy for view in views} == by_run
    assert {(line["study"], line["recipe"]) for line in lines} == {("toy", "full")}


def test_final_runs_come_back_in_the_order_asked_for(retrain: Callable[..., Retraining]) -> None:
    views = retrain(SimulatedFleet(3, saving)).finish(CANDIDATES, 2)
    expected = [(each.label, seed) for each in CANDIDATES for seed in (0, 1)]
    assert [(view.label, view.seed) for view in views] == expected


def test_final_jobs_keep_their_weights_and_know_the_limit(
    retrain: Callable[..., Retraining], files: StudyFiles
) -> None:
    fleet = SimulatedFleet(1, saving)
    retrain(fleet).finish(CANDIDATES[:1], 2)
    assert [(job.purpose, job.max_params, job.keep) for job in jobs(fleet)] == [
        ("final", 6_000, files.retrained(3, 0)),
        ("final", 6_000, files.retrained(3, 1)),
    ]


def test_all_candidates_are_trained_with_the_same_seeds_apart_from_the_finalists(
    retrain: Callable[..., Retraining],
) -> None:
    fleet = SimulatedFleet(1, saving)
    retraining = retrain(fleet)
    retraining.choose(CANDIDATES)
    retraining.finish(CANDIDATES, 2)
    seeds = {
        purpose: [{job.seed for job in jobs(fleet) if job.purpose == purpose and job.label.startswith(each.label)}
                  for each in CANDIDATES]
        for purpose in ("finalist", "final")
    }  # fmt: skip
    assert seeds["finalist"] == [{run_seed(5, 0), run_seed(5, 1)}] * 3
    assert seeds["final"][0] == seeds["final"][1] == seeds["final"][2]
    assert not seeds["final"][0] & seeds["finalist"][0]


def test_a_result_holds_all_there_is_to_tell(retrain: Callable[..., Retraining], files: StudyFiles) -> None:
    (view,) = retrain().finish(CANDIDATES[:1], 1)
    values = json.loads((files.retrained(3, 0) / "result.json").read_text())
    architecture = CANDIDATES[0].architecture
    assert (view.params, view.macs) == (count_parameters(architecture), count_macs(architecture, 8))
    assert (view.device, view.precision, view.epochs, view.seconds) == ("simulated", "fp32", 3, 3.0)
    assert view.test_accuracy == pytest.approx(0.9)
    assert [epoch.epoch for epoch in view.history] == [1, 2, 3]
    assert {epoch.validation_accuracy for epoch in view.history} == {None}
    assert Architecture.from_dict(values["architecture"]) == architecture
    assert (values["mean"], values["std"], values["versions"]) == ([0.5], [0.25], {"python": "simulated"})
    assert read_runs(files) == [view]


def test_every_epoch_is_told(retrain: Callable[..., Retraining]) -> None:
    told: list[tuple[Job, Measurement]] = []
    retrain(told=told).finish(CANDIDATES[:1], 2)
    assert [(job.label, epoch.epoch) for job, epoch in told] == [
        (f"0003 seed {seed}", epoch) for seed in (0, 1) for epoch in (1, 2, 3)
    ]


def test_results_that_are_there_are_not_trained_again(retrain: Callable[..., Retraining], files: StudyFiles) -> None:
    first = retrain()
    ranking, views = first.choose(CANDIDATES), first.finish(CANDIDATES[:1], 2)
    fleet = SimulatedFleet(1, saving)
    again = retrain(fleet)
    assert again.choose(CANDIDATES) == ranking
    assert again.finish(CANDIDATES[:1], 2) == views
    assert jobs(fleet) == []
    assert len(ledger(files, first.plan)) == 2


def test_only_what_is_missing_is_trained(retrain: Callable[..., Retraining], files: StudyFiles) -> None:
    retrain().finish(CANDIDATES[:1], 1)
    fleet = SimulatedFleet(1, saving)
    retraining = retrain(fleet)
    views = retraining.finish(CANDIDATES[:2], 2)
    assert [job.label for job in jobs(fleet)] == ["0003 seed 1", "0007 seed 0", "0007 seed 1"]
    assert [(view.label, view.seed) for view in views] == [("0003", 0), ("0003", 1), ("0007", 0), ("0007", 1)]
    assert len(ledger(files, retraining.plan)) == 4


def test_a_result_of_another_architecture_under_the_same_number_is_trained_again(
    retrain: Callable[..., Retraining],
) -> None:
    """A study whose database was lost has begun anew, beside the results of the trials it had before."""
    retrain().finish([candidate(3, 8)], 1)
    (view,) = retrain().finish([candidate(3, 16)], 1)
    assert view.architecture == candidate(3, 16).architecture


@pytest.mark.parametrize("change", [{"epochs": 2}, {"lr": 0.05}, {"name": "other"}])
def test_a_changed_recipe_is_trained_again(
    retrain: Callable[..., Retraining], files: StudyFiles, change: dict[str, Any]
) -> None:
    retrain().finish(CANDIDATES[:1], 1)
    fleet, recipe = SimulatedFleet(1, saving), FULL.model_copy(update=change)
    retraining = retrain(fleet)
    (view,) = retraining.finish([candidate(3, 8, recipe)], 1)
    assert len(jobs(fleet)) == 1
    assert (view.recipe, view.epochs) == (recipe.name, recipe.epochs)
    assert len(ledger(files, retraining.plan)) == 2  # the test set was opened twice, and both openings are told


@pytest.mark.parametrize("message", [Failed("out of memory"), Lost("worker ended by signal 9")])
def test_a_failed_run_is_told_by_its_name(
    retrain: Callable[..., Retraining], files: StudyFiles, message: Failed | Lost
) -> None:
    def curve(job: Job, epoch: int) -> float | Failed | Lost:
        return message if job.label == "0007 seed 1" and epoch == 2 else saving(job, epoch)

    with pytest.raises(TrainingError, match=f"^0007 seed 1 failed: {message.reason}$"):
        retrain(SimulatedFleet(1, curve)).choose(CANDIDATES)
    assert [(run.label, run.seed) for run in read_runs(files)] == [("0003", 0), ("0003", 1), ("0007", 0)]


def test_weights_of_the_wrong_size_are_no_result_but_the_opening_is_told(
    retrain: Callable[..., Retraining], files: StudyFiles
) -> None:
    def curve(job: Job, epoch: int) -> float:
        assert job.keep is not None
        write_weights(job.keep, count_parameters(job.architecture) + 1)
        return 0.5

    retraining = retrain(SimulatedFleet(1, curve))
    with pytest.raises(TrainingError, match="but the architecture has"):
        retraining.finish(CANDIDATES[:1], 1)
    assert read_runs(files) == []
    assert len(ledger(files, retraining.plan)) == 1


def test_weights_that_were_not_kept_are_no_result(retrain: Callable[..., Retraining], files: StudyFiles) -> None:
    with pytest.raises(StorageError, match="not a readable safetensors file"):
        retrain(SimulatedFleet(1, lambda job, epoch: 0.5)).finish(CANDIDATES[:1], 1)
    assert read_runs(files) == []


@pytest.mark.parametrize("content", ["{", "", "[]", "{}", '{"label": "0003"}'])
def test_a_damaged_result_is_one_line(retrain: Callable[..., Retraining], files: StudyFiles, content: str) -> None:
    path = files.retrained(3, 0) / "result.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    for attempt in (lambda: read_runs(files), lambda: retrain().finish(CANDIDATES[:1], 1)):
        with pytest.raises(StorageError) as caught:
            attempt()
        assert str(caught.value).startswith(f"{path}: cannot be read (")
        assert "\n" not in str(caught.value)
