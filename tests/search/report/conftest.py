"""The builders of `studies`, and odd studies, as fixtures."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from models.architecture import Architecture, Stage, Stem
from search.identity import Identity
from search.space.audit import Audit
from search.space.audit import audit as count_space
from search.space.limits import Limits
from search.space.profile import Profile, profile
from search.space.space import Task, load_space
from search.study.view import LedgerEntry, RunView, StudyView, TrialView
from studies import (
    CLASSES,
    IMAGE_SIZE,
    make_architecture,
    make_confusion,
    make_realistic,
    make_run,
    make_search,
    make_trial,
    make_view,
)


@pytest.fixture
def trial() -> Callable[..., TrialView]:
    return make_trial


@pytest.fixture
def run() -> Callable[..., RunView]:
    return make_run


@pytest.fixture
def final() -> Callable[..., RunView]:
    """A final run of a trial with a dropout."""

    def make(
        number: int, dropout: float | None = None, seed: int = 0, accuracy: float = 0.9, **changes: Any
    ) -> RunView:
        network = make_architecture(dropout=dropout or 0.0)
        label = Identity(trial=number, dropout=dropout).label
        return make_run(label, seed, accuracy, architecture=network, **changes)

    return make


@pytest.fixture
def study() -> Callable[..., StudyView]:
    return make_view


@pytest.fixture
def architecture() -> Callable[..., Architecture]:
    return make_architecture


@pytest.fixture
def search() -> Callable[..., tuple[TrialView, ...]]:
    return make_search


@pytest.fixture(scope="session")
def realistic() -> StudyView:
    return make_realistic()


@pytest.fixture
def errors() -> Callable[..., tuple[tuple[int, ...], ...]]:
    return make_confusion


HOSTILE = "</script><img src=x onerror=alert(1)>"


@pytest.fixture
def hostile() -> StudyView:
    """A study in which everything that users name is markup."""
    trials = (make_trial(1, 0.9), make_trial(2, None, "failed", reason=HOSTILE), make_trial(3, 0.8, baseline=HOSTILE))
    runs = (
        make_run("0001", 0, 0.9, confusion=make_confusion(0.9), recipe=HOSTILE, device=HOSTILE),
        make_run(HOSTILE, 0, 0.8, confusion=make_confusion(0.8)),
    )
    return make_view(
        data=HOSTILE, classes=(HOSTILE, "<b>bold</b>", "&amp;", "a & b", *"efghij"), trials=trials, runs=runs,
        asked=((HOSTILE, HOSTILE),), versions=((HOSTILE, HOSTILE),), plan=HOSTILE, commands=(HOSTILE,),
        ledger=(LedgerEntry("2026-11-20T10:05:00Z", HOSTILE, HOSTILE, 0, 0.9),),
    )  # fmt: skip


@pytest.fixture
def odd_studies() -> dict[str, StudyView]:
    """Studies that have little or nothing to show, by what is odd in them."""
    study, trial, run = make_view, make_trial, make_run
    tiny = Architecture(Stem(8, kernel=7, padding=0), (Stage("basic", 1, 8),))
    return {
        "no trial": study(asked=(), versions=()),
        "none finished": study(trials=(trial(0, None, "running"),)),
        "all failed": study(trials=tuple(trial(n, None, "failed", reason=None) for n in range(3))),
        "all pruned": study(trials=tuple(trial(n, 0.4, "pruned") for n in range(3))),
        "one trial": study(trials=(trial(0),)),
        "one epoch": study(trials=(trial(0, num_epochs=1), trial(1, 0.2, "pruned", num_epochs=1))),
        "no values": study(trials=(trial(0, None), trial(1, float("nan"), "pruned"), trial(2, None, "pruned"))),
        "no history": study(trials=(trial(0, history=()),), runs=(run("0000", 0, 0.9, history=()),)),
        "no budget used": study(trials=tuple(trial(n, 0.5) for n in range(20))),
        "an image too small": study(image_size=2, trials=(trial(0, architecture=tiny),)),
        "a run without a test": study(trials=(trial(0),), runs=(run("0000", 0, None),)),
        "only baselines": study(runs=(run("resnet20-b", 0, 0.9),)),
        "only finalists": study(trials=(trial(0),), runs=(run("0000", 0, 0.9, "finalist"),)),
        "an unknown finalist": study(trials=(trial(0),), runs=(run("0009", 0, 0.9, "finalist"),)),
        "a perfect test": study(trials=(trial(0),), runs=(run("0000", 0, 1.0, confusion=((5, 0), (0, 5))),)),
        "an empty test": study(trials=(trial(0),), runs=(run("0000", 0, 0.0, confusion=((0, 0), (0, 0))),)),
        "zero accuracy": study(trials=(trial(0, 0.0),), runs=(run("0000", 0, 0.0),)),
        "an audit of one": study(trials=(trial(0),), proxy=(run("0000", 0, 0.9, "proxy"),)),
        "an opening without a result": study(ledger=(LedgerEntry("2026-11-20T10:05:00Z", "other", "0003", 0, None),)),
    }


@pytest.fixture(scope="session")
def audit() -> Audit:
    """What 5,000,000 parameters leave of the default space."""
    return count_space(load_space(), Task(IMAGE_SIZE, 3, len(CLASSES)), Limits(5_000_000))


@pytest.fixture(scope="session")
def draws() -> Profile | None:
    """What random designs of at most 5,000,000 parameters look like."""
    return profile(load_space(), Task(IMAGE_SIZE, 3, len(CLASSES)), Limits(5_000_000), number=100)


class Sections(NamedTuple):
    """The sections of the page, by their ids: those of every study, and those that need something to show."""

    always: tuple[str, ...]
    sometimes: tuple[str, ...]


@pytest.fixture(scope="session")
def sections() -> Sections:
    always = (
        "summary leaderboard accuracy history curves importances parallel networks retraining comparisons errors time "
        "ledger plan"
    )
    return Sections(tuple(always.split()), ("space", "proxy"))
