"""What a search says: one trial of one epoch, and networks of any size."""

import io

import pytest
from optuna.trial import TrialState
from rich.console import Console

from search.cli.logs import NoLog
from search.cli.progress import SearchProgress
from search.protocol import Timed
from search.recipes import FAST, FULL
from search.run.interruption import Interruption
from studies import make_architecture


@pytest.fixture
def said() -> io.StringIO:
    return io.StringIO()


def progress(said: io.StringIO, num_trials: int, epochs: int) -> SearchProgress:
    recipe = FAST.model_copy(update={"epochs": epochs})
    return SearchProgress(
        "headline", num_trials, recipe, FULL, 32, Console(file=said, width=200), NoLog(), Interruption()
    )


def test_one_trial_of_one_epoch_is_singular(said: io.StringIO) -> None:
    shown = progress(said, 1, 1)
    shown.timed((make_architecture(),), Timed((0.5,)))
    shown.ended(0, TrialState.PRUNED, 0.5, None)
    shown.resumed(1, 0.5)
    assert said.getvalue().splitlines() == [
        "1 random design (26.7M MACs) takes 0.5 s an epoch",
        "expect about 0.5 s on one worker for 1 trial of 1 epoch, less what pruning saves, and 30.0 s to retrain it "
        "for 60 epochs",
        "trial 0 pruned after 0 epochs: validation accuracy 50.00%",
        "headline",
        "the study has 1 trained trial already",
    ]


def test_networks_and_epochs_of_any_size_are_said_without_exponents(said: io.StringIO) -> None:
    shown = progress(said, 4, 12)
    shown.timed((make_architecture(1), make_architecture(1_024, 40)), Timed((0.00001234, 3_521.4)))
    designs, expected, *_ = said.getvalue().splitlines()
    assert designs == "2 random designs (130k to 2.31T MACs) take 0.0000123 to 3,521 s an epoch"
    assert " for 4 trials of 12 epochs, " in expected and "to retrain one of them for 60 epochs" in expected
