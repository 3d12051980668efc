"""What a search says: one trial of one epoch, and networks of any size."""

import io

import pytest
from optuna.trial import TrialState
from rich.console import Console

from search.cli.progress import SearchProgress
from search.recipes import FAST, FULL
from search.run.cost_estimate import Forecast
from search.run.interruption import Interruption
from search.run.time_budget import Choice
from search.study.plan import PrunerName
from search.tracking.trackers import Trackers

NO_LOG = Trackers((), lambda: pytest.fail("nobody asks for the study"), pytest.fail)


@pytest.fixture
def said() -> io.StringIO:
    return io.StringIO()


def progress(said: io.StringIO, num_trials: int, epochs: int, pruner: PrunerName = "none") -> SearchProgress:
    recipe = FAST.model_copy(update={"epochs": epochs, "batch_size": 512})
    return SearchProgress(
        "headline", num_trials, recipe, FULL, pruner, Console(file=said, width=200), NO_LOG, Interruption()
    )


def test_one_trial_of_one_epoch_is_singular(said: io.StringIO) -> None:
    shown = progress(said, 1, 1)
    shown.timed(Forecast((26_700_000,), (0.5,), 0.0, 0.5, 1), 1)
    shown.ended(0, TrialState.PRUNED, 0.5, None)
    shown.resumed(1, 0.5)
    assert said.getvalue().splitlines() == [
        "1 random design (26.7M MACs) takes 0.5 s an epoch",
        "expect about 0.5 s on 1 worker for 1 trial of 1 epoch and 30.0 s to retrain it for 60 epochs",
        "trial 0 pruned after 0 epochs: validation accuracy 50.00%",
        "headline",
        "the study has 1 trained trial already",
    ]


def test_networks_and_epochs_of_any_size_are_said_without_exponents(said: io.StringIO) -> None:
    shown = progress(said, 4, 12)
    shown.timed(Forecast((130_000, 2_310_000_000_000), (0.00001234, 3_521.4), 0.0, 1_000.0, 2), 4)
    designs, expected, *_ = said.getvalue().splitlines()
    assert designs == "2 random designs (130k to 2.31T MACs) take 0.0000123 to 3,521 s an epoch"
    assert (
        " on 2 workers for 4 trials of 12 epochs and " in expected
        and "to retrain one of them for 60 epochs" in expected
    )


def test_what_is_trained_on_and_how_long_it_takes_is_said_before_the_first_trial(said: io.StringIO) -> None:
    shown = progress(said, 100, 8, "asha")
    shown.ready("NVIDIA H200", "bf16", "CPU, 2 threads")
    shown.resumed(40, 0.5)
    shown.timed(Forecast((10**6, 10**7, 10**8), (0.4, 1.0, 3.0), 0.6, 1.5, 4), 60)
    lines = said.getvalue().splitlines()
    assert lines[:2] == [
        "training on NVIDIA H200, precision bf16, batches of 512",
        "warning: trials before were trained on CPU, 2 threads; precision and batches stay as they were",
    ]
    assert lines[-1] == (
        "expect about 2 min 9 s on 4 workers for 60 trials of 8 epochs, pruned by asha, and 1 min 31 s to retrain one "
        "of them for 60 epochs"
    )


def test_what_a_search_by_time_chose_is_said_before_what_that_takes(said: io.StringIO) -> None:
    shown = progress(said, 100, 8, "asha")
    shown.num_trials = None
    shown.chosen(Choice(84, 5, 3, 1800.0, 1790.0))
    shown.timed(Forecast((10**6, 10**7, 10**8), (0.4, 1.0, 3.0), 0.6, 20.0, 1), 84)
    lines = said.getvalue().splitlines()
    assert lines[0] == "30 min: about 84 trials of 5 epochs, by the timing of 3 designs"
    assert " for 84 trials of 5 epochs, pruned by asha, and " in lines[2]
    assert len(lines) == 3, "nobody who gave the time is told how to make it shorter"
    shown.ended(0, TrialState.COMPLETE, 0.5, None)
    assert shown.num_trials == 84
