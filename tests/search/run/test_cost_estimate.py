"""What a search will take, by a few designs that were timed."""

from typing import Any

import numpy as np
import pytest
from simulation import SimulatedFleet, SimulatedWorker

from models.architecture import Architecture, Stage, Stem
from models.count import count_macs, count_parameters
from search.protocol import Failed, Ready, Timed, Timing
from search.recipe import Recipe
from search.run.cost_estimate import Forecast, forecast, random_designs
from search.space.draws import Draws
from search.space.limits import Limits
from search.space.space import Task, load_space
from search.workers.crew import Crew

SIZE = 8
DESIGNS = [Architecture(Stem(4), (Stage("basic", 1, width),)) for width in range(4, 64, 4)]
MACS = [count_macs(design, SIZE) for design in DESIGNS]
SECONDS = 1e-6  # an epoch takes as many for each multiply-accumulate


class TimedFleet(SimulatedFleet):
    """Workers whose designs take time in proportion; the first answers are failures, as many as there are reasons."""

    def __init__(self, num_workers: int, reasons: list[str]) -> None:
        self.reasons = reasons
        self.timings: list[Timing] = []
        super().__init__(num_workers, lambda job, epoch: 0.5)

    def _new_worker(self) -> SimulatedWorker:
        fleet = self

        class TimedWorker(SimulatedWorker):
            def start(self, task: Any) -> None:
                fleet.timings.append(task)
                seconds = tuple(SECONDS * count_macs(design, SIZE) for design in task.architectures)
                fleet.post(1.0, self, Failed(fleet.reasons.pop(0)) if fleet.reasons else Timed(seconds, 0.25))

        worker = TimedWorker(self)
        self.post(0.0, worker, Ready("simulated", "fp32", {}))
        return worker


def foresee(fleet: TimedFleet, designs: list[Architecture] = DESIGNS) -> tuple[Forecast | None, list[str]]:
    crew, reasons = Crew(fleet, lambda: fleet.now), []
    while not crew.is_complete:
        crew.receive()
    recipe = Recipe(name="test", epochs=4)
    made = forecast(crew, designs, SIZE, lambda timed: Timing(timed, recipe), reasons.append, lambda: False)
    return made, reasons


@pytest.mark.parametrize("num_workers", [1, 3])
def test_designs_from_each_third_give_the_mean_of_all(num_workers: int) -> None:
    fleet = TimedFleet(num_workers, [])
    made, reasons = foresee(fleet)
    assert made is not None and reasons == [] and made.num_workers == num_workers == len(fleet.timings)
    assert made.macs == (MACS[2], MACS[7], MACS[12]) and made.setup == 0.25
    assert made.mean_seconds == pytest.approx(SECONDS * np.mean(MACS))
    assert made.seconds_per_mac == pytest.approx(SECONDS)


def test_a_search_takes_its_trials_shared_by_the_workers_less_what_pruning_saves() -> None:
    made = Forecast((10, 20), (1.0, 2.0), setup=0.5, mean_seconds=3.0, num_workers=2)
    assert made.of_search(10, 4, "none") == pytest.approx(10 * (0.5 + 12) / 2)
    assert made.of_search(10, 4, "asha") == pytest.approx(10 * (0.5 + 8) / 2)
    assert made.of_search(10, 1, "asha") == pytest.approx(10 * 3.5 / 2), "one epoch cannot be pruned"
    assert made.of_search(1, 4, "none") == made.of_training(4) == 12.5, "one trial has one worker"


def test_where_designs_cannot_be_timed_others_are_and_in_the_end_none() -> None:
    fleet = TimedFleet(1, ["out of memory"] * 2)
    made, reasons = foresee(fleet)
    assert made is not None and reasons == ["out of memory"] * 2
    assert len({design for timing in fleet.timings for design in timing.architectures}) == 9
    assert foresee(TimedFleet(1, ["out of memory"] * 3)) == (None, ["out of memory"] * 3)
    assert foresee(TimedFleet(1, []), []) == (None, [])


def test_one_worker_that_can_time_is_enough() -> None:
    made, reasons = foresee(TimedFleet(3, ["out of memory"]))
    assert made is not None and reasons == []


@pytest.mark.parametrize("num_designs", [1, 2, 4])
def test_few_designs_are_timed_once_each(num_designs: int) -> None:
    fleet = TimedFleet(1, [])
    made, _ = foresee(fleet, DESIGNS[:num_designs])
    assert made is not None and len(made.macs) == min(3, num_designs)
    assert made.mean_seconds == pytest.approx(SECONDS * np.mean(MACS[:num_designs]))


def test_random_designs_are_different_within_the_limits_and_rise_in_cost() -> None:
    limits = Limits(50_000)
    designs = random_designs(Draws(load_space(), Task(SIZE, 1, 10), limits), 0, SIZE)
    costs = [count_macs(design, SIZE) for design in designs]
    assert len(set(designs)) == len(designs) > 50 and costs == sorted(costs)
    assert max(map(count_parameters, designs)) <= 50_000
