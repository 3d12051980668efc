"""Full-length training: a winner is chosen by validation, and the test set is opened once per final network."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from simulation import SimulatedFleet, write_weights

from models.architecture import Architecture, Stage, Stem
from models.count import count_macs, count_parameters
from search.errors import StorageError, TrainingError
from search.files import StudyFiles
from search.identity import Identity
from search.protocol import Failed, Finished, Job, Lost, Message, Resumed, TooSlow
from search.recipe import Recipe
from search.run.candidates import Candidate, with_dropout
from search.run.listener import Observer
from search.run.retraining import Retraining
from search.study.networks import alike
from search.study.plan import Plan, run_seed
from search.study.results import read_results, read_run, read_runs
from search.study.rounds import Finalist, chosen_dropout, finalist_epochs, standings, unfinished_round
from search.study.view import RunView
from search.study.way import Select, Way, device_class, run_key
from search.trained_network import Precision
from search.workers.fleet import Worker

FULL = Recipe(name="full", epochs=3, batch_size=16)
ADDED = ("correct", "holdout", "recipe_digest", "data")
ACCURACY = {8: (0.90, 0.50), 16: (0.79, 0.81), 4: (0.60, 0.60)}  # by width, for seeds 0 and 1


def candidate(number: int, width: int, recipe: Recipe = FULL) -> Candidate:
    architecture = Architecture(Stem(4), (Stage("basic", 1, width),), in_channels=1)
    return Candidate(Identity(trial=number), architecture, recipe, 6_000)


CANDIDATES = [candidate(3, 8), candidate(7, 16), candidate(11, 4)]


def saving(job: Job, epoch: int) -> float:
    """Ends at the accuracy of its width and seed, and keeps weights as a real worker does."""
    if job.keep is not None and epoch == job.recipe.epochs:
        write_weights(job.keep, job.architecture)
    seed = int(job.label.split()[-1]) % 2
    return ACCURACY[job.architecture.stages[0].width][seed] - 0.1 * (job.recipe.epochs - epoch)


@pytest.fixture
def retrain(files: StudyFiles, make_plan: Callable[..., Plan]) -> Callable[..., Retraining]:
    """A retraining of the toy study; `fleet` holds the jobs."""

    def make(fleet: SimulatedFleet | None = None, **observer: Callable[..., Any]) -> Retraining:
        fleet = fleet or SimulatedFleet(1, saving)
        return Retraining(make_plan(seed=5), files, lambda: fleet, "GPU", Observer(**observer))

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
    assert [each.identity.label for each, _ in ranking] == ["0007", "0003", "0011"]
    assert [finalist.mean for _, finalist in ranking] == pytest.approx([0.80, 0.70, 0.60])


def falling(job: Job) -> float:
    """Width 16 has the best clean accuracy in the mean, and falls furthest."""
    return 0.5 if job.architecture.stages[0].width == 16 else 0.1


def test_a_robust_winner_is_chosen_by_corrupted_images_in_a_round_of_its_own(
    files: StudyFiles, make_plan: Callable[..., Plan]
) -> None:
    def choose(select: Select) -> tuple[list[tuple[Candidate, Finalist]], SimulatedFleet]:
        fleet = SimulatedFleet(2, saving, fall=falling)
        retraining = Retraining(make_plan(seed=5), files, lambda: fleet, "GPU", Observer(), select=select)
        return retraining.choose(CANDIDATES), fleet

    clean, _ = choose("clean")
    robust, fleet = choose("robust")
    assert [each.identity.label for each, _ in clean] == ["0007", "0003", "0011"]
    assert [each.identity.label for each, _ in robust] == ["0003", "0011", "0007"]
    assert [finalist.mean for _, finalist in robust] == pytest.approx([0.60, 0.50, 0.30])
    assert [finalist.clean for _, finalist in robust] == pytest.approx([0.70, 0.60, 0.80])
    assert all(job.robust and "-robust-" in job.key for job in jobs(fleet))
    assert {run.select for run in read_runs(files)} == {"clean", "robust"} and len(read_runs(files)) == 12
    for select, ranking in (("clean", clean), ("robust", robust)):
        again, fleet = choose(select)  # type: ignore[arg-type]
        assert again == ranking and jobs(fleet) == [], "what is there is not trained again"
    assert not ledger(files, make_plan(seed=5))


def test_a_key_without_a_choice_is_what_it_was_before_there_was_one() -> None:
    architecture, identity = CANDIDATES[0].architecture, CANDIDATES[0].identity
    way = Way("abc", False, "fp32", "GPU")
    digest = sha256(json.dumps([architecture.to_json(), "abc", False, "fp32", "GPU"]).encode()).hexdigest()[:8]
    assert run_key("full", 3, identity, architecture, way) == f"full-3ep-{digest}"
    assert run_key("full", 3, identity, architecture, way._replace(select="robust")).startswith("full-3ep-robust-")


def test_epochs_that_an_interrupted_run_has_told_are_not_told_again(retrain: Callable[..., Retraining]) -> None:
    def curve(job: Job, epoch: int) -> float:
        if epoch == 1:
            fleet.post(0.0, fleet._workers[0], Resumed(2, ()))
        return saving(job, epoch)

    fleet = SimulatedFleet(1, curve)
    told: list[int] = []
    retraining = retrain(fleet, on_epoch=lambda job, measurement: told.append(measurement.epoch))
    (view,) = retraining.finish(CANDIDATES[:1], 1)
    assert told == [3]
    assert [measurement.epoch for measurement in view.history] == [1, 2, 3]


@pytest.mark.parametrize("num_workers", [2, 5])
def test_results_do_not_depend_on_the_number_of_workers(
    retrain: Callable[..., Retraining], files: StudyFiles, num_workers: int
) -> None:
    alone = retrain(SimulatedFleet(1, saving)).finish(CANDIDATES, 2)
    shutil.rmtree(files.folder)
    fleet = SimulatedFleet(num_workers, saving)
    assert retrain(fleet).finish(CANDIDATES, 2) == alone
    assert all(worker.jobs for worker in fleet._workers), "all of them have trained"


def test_a_run_without_memory_says_the_half_batch_that_it_was_trained_with(
    retrain: Callable[..., Retraining], files: StudyFiles
) -> None:
    recipe = FULL.model_copy(update={"halve_batch": True})

    def curve(job: Job, epoch: int) -> float | Failed:
        is_short = job.recipe.batch_size == 16 and job.label == "0003 seed 1"
        return Failed("out of memory at batch_size = 16", "memory") if is_short else saving(job, epoch)

    notes: list[str] = []
    retraining = retrain(SimulatedFleet(2, curve), on_note=lambda job, text: notes.append(f"{job.label}: {text}"))
    found = retraining.finish([candidate(3, 8, recipe)], 2)
    assert [run.batch_size for run in found] == [run.batch_size for run in read_runs(files)] == [16, 8]
    now = "now with batch_size = 8 and lr = 0.05; goes on in a new process"
    assert notes == [f"0003 seed 1: out of memory at batch_size = 16; {now}"]
    fleet = SimulatedFleet(1, curve)
    assert retrain(fleet).finish([candidate(3, 8, recipe)], 2) == found
    assert jobs(fleet) == [], "it is what was asked for, and is not trained again"


def test_every_run_is_told_when_it_begins_and_how_it_ended(retrain: Callable[..., Retraining]) -> None:
    def curve(job: Job, epoch: int) -> float | Failed:
        return Failed("loss is nan") if job.label.startswith("0003") else saving(job, epoch)

    told: list[tuple[str, str, float | None]] = []
    retraining = retrain(
        SimulatedFleet(1, curve),
        on_begin=lambda job: told.append(("begin", job.label, None)),
        on_end=lambda job, view: told.append(("end", job.label, view and view.test_accuracy)),
    )
    (view,) = retraining.finish([candidate(1, 8)], 1)
    with pytest.raises(TrainingError):
        retraining.finish([candidate(3, 8)], 1)
    assert told == [
        ("begin", "0001 seed 0", None),
        ("end", "0001 seed 0", view.test_accuracy),
        ("begin", "0003 seed 0", None),
        ("end", "0003 seed 0", None),
    ]


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


BY_DROPOUT = {0.0: (0.70, 0.80), 0.1: (0.60, 0.95), 0.2: (0.90, 0.50)}  # of finalist 7, for seeds 0 and 1


def dropping(job: Job, epoch: int) -> float:
    """As `saving`, but finalist 7 depends on its dropout."""
    if job.purpose == "finalist" and job.label.startswith("0007"):
        return BY_DROPOUT[job.architecture.stages[0].dropout][int(job.label[-1])]
    return saving(job, epoch)


@pytest.fixture
def retrain_dropouts(files: StudyFiles, make_plan: Callable[..., Plan]) -> Callable[..., Retraining]:
    """A retraining of a study whose space has three dropouts; `notes` is filled with what it notes."""

    def make(fleet: SimulatedFleet, notes: list[str] | None = None) -> Retraining:
        space = make_plan().question.space.model_copy(update={"dropout": (0.0, 0.1, 0.2)})
        told = notes if notes is not None else []
        note = lambda job, text: told.append(f"{job.label}: {text}")  # noqa: E731
        return Retraining(make_plan(seed=5, space=space), files, lambda: fleet, "GPU", Observer(on_note=note))

    return make


@pytest.mark.parametrize("num_workers", [1, 4])
def test_the_winners_dropout_is_chosen_by_its_mean_at_full_length(
    retrain_dropouts: Callable[..., Retraining], files: StudyFiles, num_workers: int
) -> None:
    fleet = SimulatedFleet(num_workers, dropping)
    retraining = retrain_dropouts(fleet)
    ranking = retraining.choose(CANDIDATES)
    assert [candidate.identity.label for candidate, _ in ranking] == [
        "0007 with dropout 0.1", "0007", "0003", "0007 with dropout 0.2", "0011",
    ]  # fmt: skip
    assert [finalist.mean for _, finalist in ranking] == pytest.approx([0.775, 0.75, 0.70, 0.70, 0.60])
    varied = [job for job in jobs(fleet) if "dropout" in job.label]
    assert {(job.label, job.seed) for job in varied} == {
        (f"0007 with dropout {value} seed {seed}", run_seed(5, seed)) for value in (0.1, 0.2) for seed in (0, 1)
    }
    assert {job.purpose for job in varied} == {"finalist"} and len(varied) == 4
    (final,) = retraining.finish([ranking[0][0]], 1)
    assert {stage.dropout for stage in final.architecture.stages} == {0.1}
    assert final.params == count_parameters(CANDIDATES[1].architecture)
    assert final.folder is not None and read_run(final.folder / "result.json") == final
    assert [line["label"] for line in ledger(files, retraining.plan)] == ["0007 with dropout 0.1"]


def test_dropouts_that_were_tried_are_not_tried_again(retrain_dropouts: Callable[..., Retraining]) -> None:
    ranking = retrain_dropouts(SimulatedFleet(2, dropping)).choose(CANDIDATES)
    fleet = SimulatedFleet(1, dropping)
    assert retrain_dropouts(fleet).choose(CANDIDATES) == ranking
    assert jobs(fleet) == []


def test_a_trial_keeps_its_own_runs_beside_those_with_another_dropout(
    retrain_dropouts: Callable[..., Retraining], files: StudyFiles
) -> None:
    changed = with_dropout(CANDIDATES[1], 0.1)
    views = [retrain_dropouts(SimulatedFleet(1, saving)).finish([each], 2) for each in (changed, CANDIDATES[1])]
    fleet = SimulatedFleet(1, saving)
    assert retrain_dropouts(fleet).finish([changed], 2) == views[0]
    assert jobs(fleet) == []
    assert sorted(read_runs(files), key=lambda run: (run.label, run.seed)) == [*views[1], *views[0]]


def test_of_equal_dropouts_the_trials_own_is_kept(retrain_dropouts: Callable[..., Retraining]) -> None:
    ranking = retrain_dropouts(SimulatedFleet(1, lambda job, epoch: 0.5)).choose([with_dropout(CANDIDATES[0], 0.1)])
    assert ranking[0][0].architecture.stages[0].dropout == 0.1


def test_a_dropout_that_cannot_be_trained_is_told_and_left_out(retrain_dropouts: Callable[..., Retraining]) -> None:
    def curve(job: Job, epoch: int) -> float | Failed:
        return Failed("loss is nan") if job.label == "0007 with dropout 0.1 seed 1" else dropping(job, epoch)

    notes: list[str] = []
    ranking = retrain_dropouts(SimulatedFleet(1, curve), notes).choose(CANDIDATES)
    assert [candidate.identity.label for candidate, _ in ranking][:2] == ["0007", "0003"]
    assert "0007 with dropout 0.1" not in [candidate.identity.label for candidate, _ in ranking]
    assert notes == ["0007 with dropout 0.1 seed 1: failed, and is left out: loss is nan"]


def test_a_finalist_that_cannot_be_trained_for_longer_is_told_and_left_out_and_does_not_stand_in_the_way(
    retrain_dropouts: Callable[..., Retraining],
) -> None:
    def curve(job: Job, epoch: int) -> float | Failed:
        return Failed("training loss is nan in epoch 2") if job.label.startswith("0007 seed") else dropping(job, epoch)

    for _ in range(2):  # it fails again, for its seeds are fixed
        notes: list[str] = []
        ranking = retrain_dropouts(SimulatedFleet(1, curve), notes).choose(CANDIDATES)
        labels = [candidate.identity.label for candidate, _ in ranking]
        assert labels[0].startswith("0003") and "0007" not in labels
        assert notes == [
            f"0007 seed {seed}: failed, and is left out: training loss is nan in epoch 2" for seed in (0, 1)
        ]


def test_where_every_finalist_fails_there_is_no_winner(retrain_dropouts: Callable[..., Retraining]) -> None:
    fleet = SimulatedFleet(1, lambda job, epoch: Failed("training loss is nan in epoch 1"))
    with pytest.raises(TrainingError, match=r"^no finalist could be trained; the lines above say why$"):
        retrain_dropouts(fleet).choose(CANDIDATES)


def test_a_final_run_with_another_dropout_may_not_fail(retrain_dropouts: Callable[..., Retraining]) -> None:
    fleet = SimulatedFleet(1, lambda job, epoch: Failed("loss is nan"))
    with pytest.raises(TrainingError, match=r"^0007 with dropout 0\.1 seed 0 failed: loss is nan$"):
        retrain_dropouts(fleet).finish([with_dropout(CANDIDATES[1], 0.1)], 1)


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
    expected = [(each.identity.label, seed) for each in CANDIDATES for seed in (0, 1)]
    assert [(view.label, view.seed) for view in views] == expected


def test_final_jobs_keep_their_weights_and_know_the_limit(
    retrain: Callable[..., Retraining], files: StudyFiles
) -> None:
    fleet = SimulatedFleet(1, saving)
    views = retrain(fleet).finish(CANDIDATES[:1], 2)
    assert [(job.purpose, job.max_params, job.keep) for job in jobs(fleet)] == [
        ("final", 6_000, files.full_run("final", Identity(trial=3), views[0].key, seed)) for seed in (0, 1)
    ]
    assert [view.folder for view in views] == [job.keep for job in jobs(fleet)]
    assert {job.key for job in jobs(fleet)} == {view.key for view in views} and views[0].key.startswith("full-3ep-")


def test_all_candidates_are_trained_with_the_same_seeds_apart_from_the_finalists(
    retrain: Callable[..., Retraining],
) -> None:
    fleet = SimulatedFleet(1, saving)
    retraining = retrain(fleet)
    retraining.choose(CANDIDATES)
    retraining.finish(CANDIDATES, 2)
    labels = [candidate.identity.label for candidate in CANDIDATES]
    seeds = {
        purpose: [{job.seed for job in jobs(fleet) if job.purpose == purpose and job.label.startswith(label)}
                  for label in labels]
        for purpose in ("finalist", "final")
    }  # fmt: skip
    assert seeds["finalist"] == [{run_seed(5, 0), run_seed(5, 1)}] * 3
    assert seeds["final"][0] == seeds["final"][1] == seeds["final"][2]
    assert not seeds["final"][0] & seeds["finalist"][0]


def test_a_result_holds_all_there_is_to_tell(retrain: Callable[..., Retraining], files: StudyFiles) -> None:
    (view,) = retrain().finish(CANDIDATES[:1], 1)
    assert view.folder is not None
    values = json.loads((view.folder / "result.json").read_text())
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
    told: list[tuple[str, int]] = []
    retraining = retrain(on_epoch=lambda job, measurement: told.append((job.label, measurement.epoch)))
    retraining.finish(CANDIDATES[:1], 2)
    assert told == [(f"0003 seed {seed}", epoch) for seed in (0, 1) for epoch in (1, 2, 3)]


def test_results_that_are_there_are_not_trained_again(retrain: Callable[..., Retraining], files: StudyFiles) -> None:
    first = retrain()
    ranking, views = first.choose(CANDIDATES), first.finish(CANDIDATES[:1], 2)
    fleet = SimulatedFleet(1, saving)
    again = retrain(fleet)
    assert again.choose(CANDIDATES) == ranking
    assert again.finish(CANDIDATES[:1], 2) == views
    assert jobs(fleet) == []
    assert len(ledger(files, first.plan)) == 2


def test_a_result_from_before_a_recipe_had_a_field_is_still_the_same(
    retrain: Callable[..., Retraining], files: StudyFiles
) -> None:
    (view,) = retrain().finish(CANDIDATES[:1], 1)
    (path,) = files.folder.glob("retrain/*/*/*/result.json")
    values = json.loads(path.read_text())
    assert values["recipe_values"].pop("ema_window") == 0.0 and values["recipe_values"].pop("halve_batch") is False
    path.write_text(json.dumps(values))
    fleet = SimulatedFleet(1, saving)
    assert retrain(fleet).finish(CANDIDATES[:1], 1) == [view]
    assert jobs(fleet) == []


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
        retrain(SimulatedFleet(1, curve)).finish(CANDIDATES, 2)
    assert [(run.label, run.seed) for run in read_runs(files)] == [("0003", 0), ("0003", 1), ("0007", 0)]


def test_a_guess_that_misses_the_limit_of_latency_is_left_out_with_a_note(
    retrain: Callable[..., Retraining], files: StudyFiles
) -> None:
    guess = replace(CANDIDATES[1], identity=Identity(baseline="guess-1"), max_latency=0.005)

    def curve(job: Job, epoch: int) -> float | TooSlow:
        return TooSlow(0.02) if job.max_latency is not None else saving(job, epoch)

    fleet = SimulatedFleet(2, curve)
    notes: list[tuple[str, str]] = []
    ended: list[tuple[str, bool]] = []
    retraining = retrain(
        fleet,
        on_note=lambda job, line: notes.append((job.label, line)),
        on_end=lambda job, view: ended.append((job.label, view is not None)),
    )
    views = retraining.finish([CANDIDATES[0], guess], 2)
    assert [(view.label, view.seed) for view in views] == [("0003", 0), ("0003", 1)]
    reason = "latency = 20 ms, with no other worker computing: the limit is 5 ms"
    assert notes == [("guess-1 seed 0", f"is not trained: {reason}")]
    assert sorted(ended) == [
        ("0003 seed 0", True),
        ("0003 seed 1", True),
        ("guess-1 seed 0", False),
        ("guess-1 seed 1", False),
    ]
    assert {job.max_latency for job in jobs(fleet) if job.label.startswith("0003")} == {None}
    assert {run.label for run in read_runs(files)} == {"0003"} and len(ledger(files, retraining.plan)) == 2
    with pytest.raises(TrainingError, match=f"^guess-1: {reason}$"):
        retrain(SimulatedFleet(1, curve)).finish([guess], 1)


def test_weights_of_the_wrong_size_are_no_result_but_the_opening_is_told(
    retrain: Callable[..., Retraining], files: StudyFiles
) -> None:
    def curve(job: Job, epoch: int) -> float:
        assert job.keep is not None
        write_weights(job.keep, job.architecture, offset=(1,))
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


class WatchedFleet(SimulatedFleet):
    """Notes what stands in the ledger when the test set is opened; a coordinator ends there if it `is_killed`."""

    def __init__(self, read: Callable[[], list[dict[str, Any]]], is_killed: bool = False) -> None:
        super().__init__(1, saving)
        self.read, self.is_killed = read, is_killed
        self.at_openings: list[list[dict[str, Any]]] = []

    def receive(self, timeout: float) -> tuple[Worker, Message] | None:
        received = super().receive(timeout)
        if received is not None and isinstance(received[1], Finished) and received[1].test is not None:
            self.at_openings.append(self.read())
            if self.is_killed:
                raise SystemExit("killed")
        return received


def test_the_line_stands_in_the_ledger_before_the_test_set_is_opened(
    retrain: Callable[..., Retraining], files: StudyFiles, make_plan: Callable[..., Plan]
) -> None:
    fleet = WatchedFleet(lambda: ledger(files, make_plan(seed=5)))
    retrain(fleet).finish(CANDIDATES[:1], 2)
    told = [[(line["seed"], line["accuracy"]) for line in lines] for lines in fleet.at_openings]
    assert told == [[(0, None)], [(0, 0.9), (1, None)]]


def test_an_opening_whose_run_was_killed_is_told_and_so_is_the_next(
    retrain: Callable[..., Retraining], files: StudyFiles, make_plan: Callable[..., Plan]
) -> None:
    fleet = WatchedFleet(lambda: ledger(files, make_plan(seed=5)), is_killed=True)
    with pytest.raises(SystemExit, match="killed"):
        retrain(fleet).finish(CANDIDATES[:1], 1)
    assert read_runs(files) == []
    assert [line["accuracy"] for line in ledger(files, make_plan(seed=5))] == [None]
    retrain().finish(CANDIDATES[:1], 1)
    assert [line["accuracy"] for line in ledger(files, make_plan(seed=5))] == [None, 0.9]


def test_a_run_that_ends_before_its_last_epoch_leaves_the_test_set_closed(
    retrain: Callable[..., Retraining], files: StudyFiles
) -> None:
    fleet = SimulatedFleet(1, lambda job, epoch: Failed("training loss is nan") if epoch == 3 else 0.5)
    retraining = retrain(fleet)
    with pytest.raises(TrainingError):
        retraining.finish(CANDIDATES[:1], 1)
    assert ledger(files, retraining.plan) == []


def test_no_test_set_is_opened_that_cannot_be_logged(retrain: Callable[..., Retraining], files: StudyFiles) -> None:
    files.studies.mkdir()
    (files.studies / "test-ledger").write_text("a file where the folder should be")
    fleet = WatchedFleet(list)
    with pytest.raises(StorageError, match="cannot write"):
        retrain(fleet).finish(CANDIDATES[:1], 1)
    assert fleet.at_openings == []


def test_runs_with_a_holdout_validate_and_are_kept_apart(retrain: Callable[..., Retraining], files: StudyFiles) -> None:
    (whole,) = retrain().finish(CANDIDATES[:1], 1)
    fleet = SimulatedFleet(1, saving)
    (held,) = retrain(fleet).finish(CANDIDATES[:1], 1, holdout=True)
    assert [job.holdout for job in jobs(fleet)] == [True]
    assert (whole.holdout, held.holdout) == (False, True)
    assert whole.history[-1].validation_accuracy is None
    assert held.history[-1].validation_accuracy == pytest.approx(0.9)
    assert held.folder is not None and held.folder.parent.name.startswith("full-3ep-holdout-")
    assert sorted(run.holdout for run in read_runs(files)) == [False, True]


def test_a_run_is_reused_only_by_who_asks_for_the_same_holdout(retrain: Callable[..., Retraining]) -> None:
    for holdout in (False, True):
        retrain().finish(CANDIDATES[:1], 1, holdout)
    fleets = {holdout: SimulatedFleet(1, saving) for holdout in (False, True)}
    again = [retrain(fleet).finish(CANDIDATES[:1], 1, holdout)[0].holdout for holdout, fleet in fleets.items()]
    assert (again, [jobs(fleet) for fleet in fleets.values()]) == ([False, True], [[], []])


def test_a_recipe_that_needs_the_validation_split_is_trained_once_however_it_is_asked(
    retrain: Callable[..., Retraining],
) -> None:
    watching = candidate(3, 8, FULL.model_copy(update={"keep_best": True}))
    (first,) = retrain().finish([watching], 1)
    fleet = SimulatedFleet(1, saving)
    assert retrain(fleet).finish([watching], 1, holdout=True) == [first]
    assert jobs(fleet) == []


def test_recipes_of_one_name_are_told_apart(retrain: Callable[..., Retraining]) -> None:
    (one,) = retrain().finish([candidate(3, 8)], 1)
    (other,) = retrain().finish([candidate(3, 8, FULL.model_copy(update={"lr": 0.05}))], 1)
    assert (one.recipe, one.epochs) == (other.recipe, other.epochs)
    assert one.recipe_digest != other.recipe_digest


def test_results_of_earlier_versions_are_read(retrain: Callable[..., Retraining], files: StudyFiles) -> None:
    (view,) = retrain().finish(CANDIDATES[:1], 1)
    assert view.folder is not None
    path = view.folder / "result.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({name: values[name] for name in values if name not in ADDED}))
    assert read_runs(files) == [view]


@pytest.mark.parametrize("content", ["{", "", "[]", "{}", '{"label": "0003"}'])
def test_a_damaged_result_is_put_aside_and_trained_again(
    retrain: Callable[..., Retraining], files: StudyFiles, content: str
) -> None:
    (view,) = retrain().finish(CANDIDATES[:1], 1)
    assert view.folder is not None
    (view.folder / "result.json").write_text(content)
    notes: list[str] = []
    retraining = retrain(on_note=lambda job, text: notes.append(f"{job.label}: {text}"))
    aside = view.folder.with_name("seed-0.aside-1")
    assert retraining.finish(CANDIDATES[:1], 1) == [view]
    told = f"0003 seed 0: the result in {view.folder} is not one of this run; all that is there is now in {aside}"
    assert notes == [told]
    assert (aside / "result.json").read_text() == content and (aside / "weights.safetensors").is_file()
    results = read_results(files)
    assert results.runs == (view,)
    assert len(results.unread) == 1 and results.unread[0].startswith(f"{aside / 'result.json'}: cannot be read (")


def weights(view: RunView) -> bytes:
    assert view.folder is not None
    return (view.folder / "weights.safetensors").read_bytes()


def test_a_short_retraining_leaves_a_long_one_alone(retrain: Callable[..., Retraining], files: StudyFiles) -> None:
    """As filed: three seeds of six epochs, then one seed of one epoch."""
    long, short = (candidate(3, 8, FULL.model_copy(update={"epochs": epochs})) for epochs in (6, 1))
    kept = retrain().finish([long], 3)
    before = [weights(view) for view in kept]
    (view,) = retrain().finish([short], 1)
    assert [weights(view) for view in kept] == before
    assert sorted(read_runs(files), key=lambda run: (-run.epochs, run.seed)) == [*kept, view]
    fleet = SimulatedFleet(1, saving)
    assert retrain(fleet).finish([long], 3) == kept
    assert jobs(fleet) == []


def test_baselines_of_one_recipe_name_finalists_and_audits_are_kept_apart_too(
    retrain: Callable[..., Retraining], files: StudyFiles
) -> None:
    recipes = [FULL, FULL.model_copy(update={"epochs": 1}), FULL.model_copy(update={"lr": 0.05})]
    network = CANDIDATES[0].architecture
    for recipe in recipes:
        retrain().finish([Candidate(Identity(baseline="resnet20-b"), network, recipe, None)], 1)
        retrain().choose([candidate(3, 8, recipe)])
        retrain().audit([candidate(3, 8, recipe)], 1)
    runs = read_results(files).runs
    folders = {run.folder for run in runs}
    assert len(runs) == len(folders) == 3 * (1 + 2 + 1)
    for purpose, number in (("final", 1), ("finalist", 2), ("proxy", 1)):
        of_purpose = [run for run in runs if run.purpose == purpose]
        assert [run.recipe_values for run in of_purpose].count(recipes[1].model_dump(mode="json")) == number
        assert len({run.way for run in of_purpose}) == 3


def test_a_result_of_the_earlier_layout_is_the_run_that_it_says(
    retrain: Callable[..., Retraining], files: StudyFiles
) -> None:
    """Before, a run lay in retrain/0003/seed-0 whatever its recipe was."""
    (view,) = retrain().finish(CANDIDATES[:1], 1)
    assert view.folder is not None
    earlier = files.folder / "retrain" / "0003" / "seed-0"
    view.folder.rename(earlier)
    fleet = SimulatedFleet(1, saving)
    (again,) = retrain(fleet).finish(CANDIDATES[:1], 1)
    assert (again, again.folder, jobs(fleet)) == (view, earlier, [])
    (other,) = retrain().finish([candidate(3, 8, FULL.model_copy(update={"epochs": 1}))], 1)
    assert read_run(earlier / "result.json") == view and other.folder != earlier


@pytest.mark.parametrize(
    "damage", [Path.unlink, lambda path: path.write_bytes(b"cut"), lambda path: path.write_bytes(b"")]
)
def test_a_run_whose_weights_are_gone_is_trained_again_where_it_lies(
    retrain: Callable[..., Retraining], files: StudyFiles, damage: Callable[[Path], Any]
) -> None:
    first = retrain().finish(CANDIDATES[:1], 2)
    assert first[1].folder is not None
    path = first[1].folder / "weights.safetensors"
    damage(path)
    notes: list[str] = []
    fleet = SimulatedFleet(1, saving)
    retraining = retrain(fleet, on_note=lambda job, text: notes.append(f"{job.label}: {text}"))
    assert retraining.finish(CANDIDATES[:1], 2) == first
    assert [job.label for job in jobs(fleet)] == ["0003 seed 1"]
    assert len(notes) == 1 and notes[0].startswith(f"0003 seed 1: {path}: ") and notes[0].endswith("trained again")
    assert path.is_file() and read_results(files) == (tuple(first), ())


def hardware(device: str, precision: Precision) -> Callable[[], SimulatedFleet]:
    """Hires a worker on a device on which 'auto' stands for a precision."""
    return lambda: SimulatedFleet(1, saving, device=device, precision=precision)


def test_auto_is_one_precision_for_all_runs_of_a_study(files: StudyFiles, make_plan: Callable[..., Plan]) -> None:
    """The precision of the search, not what each worker finds fastest; the recipe stays as it was asked for."""
    plan = make_plan(seed=5).with_circumstances(precision="fp16")
    (view,) = Retraining(plan, files, hardware("NVIDIA H100", "bf16"), "GPU", Observer()).finish(CANDIDATES[:1], 1)
    assert (view.precision, view.recipe_values["precision"]) == ("fp16", "auto")
    asked = candidate(3, 8, FULL.model_copy(update={"precision": "fp32"}))
    (other,) = Retraining(plan, files, hardware("NVIDIA H100", "bf16"), "GPU", Observer()).finish([asked], 1)
    assert (other.precision, other.recipe_values["precision"]) == ("fp32", "fp32")
    assert other.way != view.way and other.way.recipe == view.way.recipe and other.folder != view.folder


def test_where_all_is_trained_no_worker_is_started(files: StudyFiles, make_plan: Callable[..., Plan]) -> None:
    plan = make_plan(seed=5).with_circumstances(precision="fp32")

    def nobody() -> SimulatedFleet:
        raise AssertionError("a worker was started")

    first = Retraining(plan, files, hardware("CPU", "fp32"), "CPU", Observer())
    runs, ranking = first.finish(CANDIDATES, 2), first.choose(CANDIDATES)
    again = Retraining(plan, files, nobody, "CPU", Observer())
    assert (again.finish(CANDIDATES, 2), again.choose(CANDIDATES)) == (runs, ranking)


def test_the_precision_of_a_search_that_the_device_lacks_is_one_line(
    files: StudyFiles, make_plan: Callable[..., Plan]
) -> None:
    plan = make_plan(seed=5).with_circumstances(precision="fp16")
    retraining = Retraining(plan, files, hardware("CPU, 2 threads", "fp32"), "CPU", Observer())
    with pytest.raises(
        TrainingError, match=r"^precision = fp16, that of the study's search: needs a CUDA device; give"
    ):
        retraining.finish(CANDIDATES[:1], 1)


def test_without_a_search_the_first_precision_is_kept_in_the_plan(
    files: StudyFiles, make_plan: Callable[..., Plan]
) -> None:
    Retraining(make_plan(seed=5), files, hardware("NVIDIA H100", "bf16"), "GPU", Observer()).finish(CANDIDATES[:1], 1)
    assert Plan.load(files).precision == "bf16"
    later = Retraining(Plan.load(files), files, hardware("NVIDIA H100", "fp32"), "GPU", Observer())
    views = later.finish(CANDIDATES[:1], 2)
    assert [view.precision for view in views] == ["bf16", "bf16"] and len({view.way for view in views}) == 1


def test_a_fixed_precision_of_the_search_is_that_of_auto(files: StudyFiles, make_plan: Callable[..., Plan]) -> None:
    plan = make_plan(seed=5, recipe=Recipe(name="quick", epochs=4, batch_size=16, precision="fp16"))
    (view,) = Retraining(plan, files, hardware("NVIDIA H100", "bf16"), "GPU", Observer()).finish(CANDIDATES[:1], 1)
    assert view.precision == "fp16" and not files.plan.exists()


def test_seeds_of_another_kind_of_device_are_other_runs(files: StudyFiles, make_plan: Callable[..., Plan]) -> None:
    plan = make_plan(seed=5).with_circumstances(precision="fp32")
    ways, notes = [], []
    observer = Observer(on_note=lambda job, text: notes.append(text))
    for device in ("NVIDIA H100", "NVIDIA H200", "CPU, 2 threads", "CPU, 4 threads"):
        views = Retraining(plan, files, hardware(device, "fp32"), device_class(device), observer).finish(
            CANDIDATES[:1], 1
        )
        ways.append(views[0].way.device)
    assert ways == ["GPU", "GPU", "CPU", "CPU"]
    assert notes == ["was trained on a GPU before, and is now on a CPU; numbers of the two are not compared"]
    assert sorted(run.device for run in read_runs(files)) == ["CPU, 2 threads", "NVIDIA H100"]


def test_the_winner_is_the_one_whose_dropout_the_report_chooses(
    retrain_dropouts: Callable[..., Retraining], files: StudyFiles
) -> None:
    """One rule, also where a dropout ties with the trial's own, or has but one of its seeds."""

    def tied(job: Job, epoch: int) -> float | Failed:
        if job.label == "0007 with dropout 0.2 seed 1":
            return Failed("loss is nan")
        return 0.9 if job.label.startswith("0007 with dropout 0.2") else 0.5

    for recipe, curve in ((FULL, dropping), (FULL.model_copy(update={"lr": 0.05}), tied)):
        ranking = retrain_dropouts(SimulatedFleet(1, curve)).choose([candidate(3, 8, recipe), candidate(7, 16, recipe)])
        round = [run for _, finalist in ranking for run in finalist.network.runs]
        winner = ranking[0][0].identity
        assert winner.trial is not None
        chosen = chosen_dropout(round, winner.trial)
        assert (chosen.identity if chosen else winner) == winner
        assert standings(alike(round), {3: 0, 7: 1})[0].identity == winner


def test_finalists_that_keep_their_best_weights_are_ranked_by_them(retrain: Callable[..., Retraining]) -> None:
    best = FULL.model_copy(update={"keep_best": True})

    def curve(job: Job, epoch: int) -> float:
        peaks = job.architecture.stages[0].width == 16
        return {1: 0.5, 2: 0.9 if peaks else 0.6, 3: 0.4 if peaks else 0.7}[epoch]

    steady, peaked = candidate(3, 8, best), candidate(7, 16, best)
    ranking = retrain(SimulatedFleet(1, curve)).choose([steady, peaked])
    assert [(each.identity.trial, finalist.mean) for each, finalist in ranking] == [(7, 0.9), (3, 0.7)]
    last = retrain(SimulatedFleet(1, curve)).choose([candidate(3, 8), candidate(7, 16)])
    assert [(each.identity.trial, finalist.mean) for each, finalist in last] == [(3, 0.7), (7, 0.4)]


def by_width(job: Job, epoch: int) -> float:
    """Wider is better, but the first seed flatters width 20."""
    width, seed = job.architecture.stages[0].width, int(job.label.split()[-1])
    return 0.3 + width / 1_000 + (0.03 if (width, seed) == (20, 0) else 0.0)


def test_all_of_many_finalists_have_a_seed_and_the_leaders_a_second(
    retrain: Callable[..., Retraining], files: StudyFiles
) -> None:
    recipe = FULL.model_copy(update={"epochs": 30})
    many = [candidate(trial, 4 * (trial + 1), recipe) for trial in range(9)]
    fleet = SimulatedFleet(2, by_width)
    ranking = retrain(fleet).choose(many)
    assert [each.identity.trial for each, _ in ranking] == [8, 4, 7]
    assert all(each.recipe.epochs == 30 for each, _ in ranking)
    asked = [tuple(map(int, job.label.split()[::2])) for job in jobs(fleet)]
    assert {pair for pair in asked if pair[1] == 0} == {(trial, 0) for trial in range(9)}
    assert sorted(pair for pair in asked if pair[1] == 1) == [(4, 1), (7, 1), (8, 1)]
    assert {job.recipe.epochs for job in jobs(fleet)} == {12}  # of trials of 4
    again = SimulatedFleet(2, by_width)
    assert retrain(again).choose(many) == ranking
    assert jobs(again) == []
    assert unfinished_round(read_runs(files)) is None


def test_a_finalist_with_all_seeds_of_an_earlier_round_may_win_and_is_the_winner_of_the_page_too(
    retrain: Callable[..., Retraining], files: StudyFiles
) -> None:
    def lucky_later(job: Job, epoch: int) -> float:
        return 0.9 if job.label == "0000 seed 1" else by_width(job, epoch)

    many = [candidate(trial, 4 * (trial + 1)) for trial in range(9)]
    retrain(SimulatedFleet(2, lucky_later)).choose(many[:2])
    fleet = SimulatedFleet(2, lucky_later)
    ranking = retrain(fleet).choose(many)
    assert [each.identity.trial for each, _ in ranking] == [0, 8, 4, 7, 1]
    assert {job.label[:4] for job in jobs(fleet) if job.label.endswith("1")} == {"0004", "0007", "0008"}
    assert standings(alike(read_runs(files)), {})[0] == ranking[0][1]


def test_a_round_of_many_is_unfinished_until_its_leaders_have_both_seeds(
    retrain: Callable[..., Retraining], files: StudyFiles
) -> None:
    retrain(SimulatedFleet(2, by_width)).choose([candidate(trial, 4 * (trial + 1)) for trial in range(5)])
    runs = read_runs(files)
    only = [run for run in runs if (run.label, run.seed) != ("0003", 1)]
    assert unfinished_round(only) == "2 of the 3 that need them, of 5 finalists begun, have all of 2 seeds"


def test_a_finished_round_of_few_is_unfinished_once_a_better_finalist_has_begun(
    retrain: Callable[..., Retraining], files: StudyFiles
) -> None:
    many = [candidate(trial, 4 * (trial + 1)) for trial in range(9)]
    retrain(SimulatedFleet(2, by_width)).choose(many[:3])
    few = read_runs(files)
    assert unfinished_round(few) is None
    retrain(SimulatedFleet(2, by_width)).choose(many)
    begun = [*few, *(run for run in read_runs(files) if (run.label, run.seed) == ("0008", 0))]
    assert unfinished_round(begun) == "2 of the 3 that need them, of 4 finalists begun, have all of 2 seeds"


@pytest.mark.parametrize(
    ("epochs", "searched", "expected"), [(60, 8, 24), (20, 8, 20), (5, 8, 5), (1, 8, 1), (300, 8, 24)]
)
def test_finalists_are_trained_three_times_as_long_as_trials(epochs: int, searched: int, expected: int) -> None:
    assert finalist_epochs(epochs, searched) == expected
