"""A search by time chooses how many trials of which length it trains, and ends when it should."""

from collections.abc import Callable
from typing import Any

import pytest
from optuna.trial import TrialState
from simulation import SimulatedFleet, SimulatedWorker

from models.count import count_macs
from search.errors import InputError, RecipeError
from search.protocol import Failed, Job, Resumed, Timed, Timing
from search.recipe import Recipe
from search.run.cost_estimate import Forecast
from search.run.time_budget import ENOUGH_TRIALS, TIME_IS_OVER, TimeBudget, choose
from search.space.space import Space

Search = Callable[..., Any]
TRAINED = (TrialState.COMPLETE, TrialState.PRUNED)
SECONDS = 5e-5  # an epoch takes as many for each multiply-accumulate, when a design is timed


class TimedFleet(SimulatedFleet):
    """Workers on which designs take time in proportion to their cost, and trials `factor` times what was timed."""

    def __init__(
        self, num_workers: int = 1, factor: float = 1.0, seconds: float = SECONDS, refuses: bool = False, **options: Any
    ) -> None:
        self.seconds, self.refuses = seconds, refuses
        length = lambda job, epoch: factor * seconds * count_macs(job.architecture, 8)  # noqa: E731
        super().__init__(num_workers, options.pop("curve", lambda job, epoch: 0.1 * epoch), length=length, **options)

    def _new_worker(self) -> SimulatedWorker:
        fleet = self

        class TimedWorker(SimulatedWorker):
            def start(self, task: Any) -> None:
                if not isinstance(task, Timing):
                    super().start(task)
                    return
                self.now = fleet.now
                seconds = tuple(fleet.seconds * count_macs(design, 8) for design in task.architectures)
                fleet.post(1.0, self, Failed("untimed") if fleet.refuses else Timed(seconds, 0.1))

        worker = TimedWorker(self, now=self.now)
        self.post(2.0, worker, self.ready)
        return worker


def by_time(seconds: float, may_shorten: bool = True) -> Callable[[Callable[[], float]], TimeBudget]:
    return lambda clock: TimeBudget(seconds, 0.0, may_shorten, clock)


def falling_late(job: Job, epoch: int) -> float:
    """Of every three trials one is good."""
    return 0.9 if int(job.label.removeprefix("trial ")) % 3 == 0 else 0.1 + 0.0001 * len(job.label)


# The choice.

ONE = Forecast((100,), (1.0,), setup=0.0, mean_seconds=1.0, num_workers=1)
FOUR = Forecast((100,), (1.0,), setup=0.0, mean_seconds=1.0, num_workers=4)


@pytest.mark.parametrize(
    ("forecast", "seconds", "epochs", "may_shorten", "choice"),
    [
        (ONE, 800, 8, True, (100, 8)),
        (ONE, 240, 8, True, (30, 8)),  # just enough
        (ONE, 239, 8, True, (34, 7)),
        (ONE, 120, 8, True, (30, 4)),
        (ONE, 60, 8, True, (20, 3)),  # no shorter than a third
        (ONE, 10, 8, True, (3, 3)),
        (ONE, 7, 8, True, (2, 3)),
        (ONE, 2, 8, True, (0, 3)),
        (ONE, 60, 8, False, (7, 8)),  # the length was given
        (FOUR, 60, 8, True, (30, 8)),
        (FOUR, 2.9, 8, True, (0, 3)),  # one trial takes three seconds, on however many workers
        (FOUR, 3, 8, True, (4, 3)),
        (ONE, 20, 1, True, (20, 1)),
    ],
)
def test_trials_are_as_long_as_asked_for_where_enough_of_them_fit(
    forecast: Forecast, seconds: float, epochs: int, may_shorten: bool, choice: tuple[int, int]
) -> None:
    num_trials, length = choose(forecast, seconds, epochs, "none", may_shorten)
    assert (num_trials, length) == choice
    assert not num_trials or forecast.of_search(num_trials, length, "none") <= seconds
    if length == epochs and may_shorten and epochs > 1:
        assert num_trials >= ENOUGH_TRIALS


def test_pruning_leaves_time_for_more_trials() -> None:
    assert choose(ONE, 800, 8, "asha") == (150, 8)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("seconds", "now", "message"),
    [
        (30.0, 10.0, "time = 30s: too short for three trials, which take about 100 s here"),
        (120.0, 100.0, "time = 2m: too short for three trials, which take about 4 min here"),
        (5400.0, 5390.0, "time = 90m: too short for three trials, which take about 92 min here"),
        (3600.0, 3600.0, "time = 1h: too short for three trials: it was over before the first could begin"),
    ],
)
def test_a_time_too_short_for_three_trials_is_refused_in_one_line(seconds: float, now: float, message: str) -> None:
    clock = Clock()
    budget = TimeBudget(seconds, 0.0, clock=clock)
    clock.now = now
    forecast = Forecast((100,), (10.0,), setup=0.0, mean_seconds=10.0, num_workers=1)
    with pytest.raises(InputError) as caught:
        budget.choose(forecast, 8, "none")
    assert str(caught.value) == message


def test_what_fits_is_told_by_what_trials_have_taken_so_far() -> None:
    clock = Clock()
    budget = TimeBudget(1000.0, 0.0, clock=clock)
    budget.choose(ONE, 10, "none")
    clock.now = 960.0
    assert budget.fits(100) and not budget.fits(700)
    for epoch in range(1, 11):
        budget.note(0, 100, 5.0 * epoch)  # five times the forecast
    assert budget.fits(100) and not budget.fits(200), "about 50 s; then 100 s"
    clock.now = 999.0
    assert not budget.fits(100) and budget.fits(1)


def test_short_epochs_on_smaller_images_do_not_promise_a_short_trial() -> None:
    recipe = Recipe.model_validate({"name": "test", "epochs": 10, "small_images": {"epochs": 0.5, "size": 0.5}})
    budget = TimeBudget(1000.0, 0.0, clock=Clock())
    budget.choose(ONE, 10, "none")
    whole = budget._expected(100, 10)
    for epoch in range(1, 6):  # as long as the forecast says for epochs of a quarter of the pixels
        seconds = sum(map(recipe.time_of, range(1, epoch + 1))) * whole / 10
        budget.note(0, 100, seconds, recipe.time_of(epoch))
    assert budget._expected(100, 10) == pytest.approx(whole)


def test_without_a_forecast_trials_that_were_trained_tell_what_fits() -> None:
    clock = Clock()
    budget = TimeBudget(1000.0, 0.0, clock=clock)
    assert budget.choose(None, 10, "none") is None
    clock.now = 900.0
    assert budget.fits(100) and not budget.is_far_off([])
    for epoch in range(1, 11):
        budget.note(0, 100, 30.0 * epoch)
    assert budget.fits(30) and not budget.fits(100)


# Whole searches, in virtual time.


@pytest.mark.parametrize("factor", [0.5, 2.0])
@pytest.mark.parametrize(("num_workers", "pruner"), [(1, "asha"), (4, "none")])
@pytest.mark.slow
def test_a_search_ends_within_a_tenth_however_wrong_its_forecast_is(
    search: Search, factor: float, num_workers: int, pruner: str
) -> None:
    seconds, plan, num_before = 200.0 / num_workers, None, 0
    for is_new in (True, False):
        fleet = TimedFleet(num_workers, factor, curve=falling_late)
        found = search(None, fleet=fleet, plan=plan, time_budget=by_time(seconds, is_new), pruner=pruner)
        assert 0.9 * seconds <= fleet.now <= 1.1 * seconds
        assert found.outcome.early_stop is None and found.outcome.num_unfinished == 0
        assert len(found.of(*TRAINED)) == len(found.trials) == found.outcome.num_trained > num_before
        assert plan is None or found.plan.question == plan.question
        assert [choice.seconds for choice in found.diary.choices] == [seconds]
        plan, num_before = found.plan, found.outcome.num_trained


def test_a_search_by_time_says_what_it_chose_and_trains_trials_of_that_length(search: Search) -> None:
    fleet = TimedFleet()
    found = search(None, fleet=fleet, time_budget=by_time(60.0))
    (choice,), (forecast, num_ahead) = found.diary.choices, found.diary.forecasts[0]
    assert (choice.seconds, choice.seconds_left, choice.num_timed) == (60.0, 57.0, 3)
    assert choice.num_trials == num_ahead == forecast.num_trials_in(57.0, choice.epochs, "none")
    assert choice.epochs == found.plan.question.recipe.epochs == 2  # of 4
    assert {len(trial.intermediate_values) for trial in found.trials} == {2}
    assert 54 <= fleet.now <= 66 and found.outcome.early_stop is None


def test_a_given_length_is_kept_and_only_the_number_chosen(search: Search) -> None:
    fleet = TimedFleet()
    found = search(None, fleet=fleet, time_budget=by_time(100.0, may_shorten=False))
    assert found.diary.choices[0].epochs == found.plan.question.recipe.epochs == 4
    assert {len(trial.intermediate_values) for trial in found.trials} == {4}
    assert 90 <= fleet.now <= 110


@pytest.mark.parametrize(("seconds", "message"), [(4.0, "which take about"), (1.0, "it was over before the first")])
def test_a_search_by_too_short_a_time_begins_no_trial(search: Search, seconds: float, message: str) -> None:
    fleet = TimedFleet()
    with pytest.raises(InputError, match=rf"^time = {seconds:g}s: too short for three trials.*{message}"):
        search(None, fleet=fleet, time_budget=by_time(seconds))
    assert fleet.starts == []


def test_a_trial_that_is_far_slower_than_the_others_is_kept_when_the_time_is_over(search: Search) -> None:
    fleet = TimedFleet()
    usual = fleet.length
    fleet.length = lambda job, epoch: usual(job, epoch) if job.label != "trial 3" else 20.0
    found = search(None, fleet=fleet, plan=None, time_budget=by_time(60.0, may_shorten=False))
    assert found.outcome.early_stop == TIME_IS_OVER and found.outcome.num_unfinished == 1
    assert [trial.number for trial in found.of(TrialState.RUNNING)] == [3]
    later = TimedFleet()
    again = search(None, fleet=later, plan=found.plan, time_budget=by_time(60.0, may_shorten=False))
    assert later.workers[0].jobs[0].label == "trial 3"  # type: ignore[attr-defined]
    assert again.outcome.early_stop is None and again.of(TrialState.RUNNING) == []


def test_a_trial_that_is_paused_in_time_is_told_as_unfinished_too(search: Search) -> None:
    fleet = TimedFleet(seconds=SECONDS / 10)
    usual = fleet.length
    fleet.length = lambda job, epoch: usual(job, epoch) if job.label != "trial 0" else 1.3
    recipe = Recipe(name="long", epochs=90, batch_size=16)
    found = search(None, fleet=fleet, time_budget=by_time(110.0, may_shorten=False), recipe=recipe)
    assert 110 < fleet.now <= 121 and found.outcome.early_stop == TIME_IS_OVER
    assert found.outcome.num_unfinished == len(found.of(TrialState.RUNNING)) == 1


def test_epochs_that_a_checkpoint_repeats_do_not_tell_how_long_epochs_take(search: Search) -> None:
    fleet = TimedFleet(seconds=SECONDS / 10)
    fleet.length = lambda job, epoch: 3.0
    recipe = Recipe(name="long", epochs=20, batch_size=16)
    first = search(None, fleet=fleet, time_budget=by_time(50.0, may_shorten=False), recipe=recipe)
    (paused,) = first.of(TrialState.RUNNING)
    num_repeated = len(paused.intermediate_values)
    assert num_repeated > 10

    def curve(job: Job, epoch: int) -> float:
        if (job.label, epoch) == (f"trial {paused.number}", 1):
            later.post(0.0, later._workers[0], Resumed(num_repeated, ()))
        return 0.01 * epoch

    later, budgets = TimedFleet(seconds=SECONDS / 10, curve=curve), list[TimeBudget]()
    usual = later.length
    later.length = lambda job, epoch: (
        0.0 if job.label == f"trial {paused.number}" and epoch <= num_repeated else usual(job, epoch)
    )
    factory = by_time(100.0, may_shorten=False)

    def keep(clock: Callable[[], float]) -> TimeBudget:
        budgets.append(factory(clock))
        return budgets[0]

    found = search(None, fleet=later, plan=first.plan, time_budget=keep)
    (forecast, _), (budget,) = found.diary.forecasts[0], budgets
    assert (paused.number, f"goes on after epoch {num_repeated}") in found.diary.notes
    macs = forecast.macs[1]
    assert budget._expected(macs, 20) == pytest.approx(forecast.of_design(macs, 20), rel=0.03)


def test_a_gpu_whose_next_design_waits_leaves_none_behind(search: Search) -> None:
    fleet = TimedFleet(peak=1e12)
    found = search(None, fleet=fleet, time_budget=by_time(60.0))
    assert 54 <= fleet.now <= 66
    assert found.outcome.early_stop is None and found.of(TrialState.RUNNING) == []
    assert sum(start.waited == 0 for start in fleet.starts) > 3, "some did wait"


def test_where_no_design_can_be_timed_trials_tell_how_long_they_take(search: Search) -> None:
    fleet = TimedFleet(refuses=True)
    found = search(None, fleet=fleet, time_budget=by_time(100.0))
    assert found.diary.choices == [] and found.diary.untimed_reasons == ["untimed"] * 3
    assert 90 <= fleet.now <= 110 and found.outcome.early_stop is None


def test_a_space_that_is_spent_ends_a_search_before_its_time(search: Search) -> None:
    few = {"stem": {"width": 4}, "num_stages": 1, "stage": {"block": "basic", "depth": [1, 2], "width": [4, 8]}}
    found = search(None, fleet=TimedFleet(), time_budget=by_time(1e4), space=Space.model_validate(few))
    assert found.diary.choices[0].num_trials == len(found.trials) == 4
    assert found.outcome.early_stop == "all 4 designs within the limits have been tried"


def test_designs_for_which_there_was_no_time_were_not_tried(search: Search) -> None:
    depths = [1, 2, 3, 4, 5, 6]
    few = {"stem": {"width": 4}, "num_stages": 1, "stage": {"block": "basic", "depth": depths, "width": [4, 8]}}
    fleet, space = TimedFleet(), Space.model_validate(few)
    found = search(None, fleet=fleet, time_budget=by_time(150.0, may_shorten=False), space=space)
    assert fleet.now < 165 and 3 <= len(found.trials) < 11
    assert found.outcome.early_stop is None, "the time is over, as it was meant to be"
    again = search(None, fleet=TimedFleet(), plan=found.plan, time_budget=by_time(1e4, may_shorten=False))
    assert len(again.of(*TRAINED)) == 11
    assert again.outcome.early_stop == "all 11 designs within the limits have been tried"


def test_failures_of_earlier_runs_do_not_end_a_search_by_time(search: Search) -> None:
    def curve(job: Job, epoch: int) -> float | Failed:
        number = int(job.label.removeprefix("trial "))
        fails = number == 31 if number >= 29 else number % 3 == 2
        return Failed("unlucky") if fails else 0.1 * epoch

    first = search(20, curve)
    assert len(first.of(TrialState.FAIL)) == 9
    fleet = TimedFleet(curve=curve)
    found = search(None, fleet=fleet, plan=first.plan, time_budget=by_time(60.0, may_shorten=False))
    assert found.diary.choices[0].num_trials < 9, "fewer trials than had failed"
    assert 54 <= fleet.now <= 66 and found.outcome.early_stop is None
    assert len(found.of(TrialState.FAIL)) == 10 and found.outcome.num_trained >= 23


def test_a_timeout_ends_a_search_by_time_too(search: Search) -> None:
    fleet = TimedFleet()
    found = search(None, fleet=fleet, timeout=30.0, time_budget=by_time(600.0))
    assert fleet.now < 60 and found.outcome.num_trained == len(found.trials) > 0
    assert found.outcome.early_stop == TIME_IS_OVER


def test_a_length_in_which_a_part_of_the_recipe_would_do_nothing_is_refused_as_it_is_where_it_is_given(
    search: Search,
) -> None:
    recipe = Recipe(name="toy", epochs=8, batch_size=16, small_images={"epochs": 0.15, "size": 0.5})
    fleet = TimedFleet(num_train=80)
    with pytest.raises(RecipeError, match=r"^small_images\.epochs = 0\.15: is none of 3 epochs"):
        search(None, fleet=fleet, recipe=recipe, time_budget=by_time(60))
