"""The ledger of device time: every second in one row."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from search.report.time_ledger import pace, saved_seconds, time_ledger_frame, time_ledger_table, time_sentence
from search.study.view import StudyView

Make = Callable[..., Any]
Study = Callable[..., StudyView]


@pytest.fixture
def everything(trial: Make, run: Make, study: Study) -> StudyView:
    """Every outcome once or twice; of 1,000 seconds on the search's workers 130 were no trial's."""
    trials = (
        trial(0, 0.9, seconds=100.0),
        trial(1, 0.9, seconds=200.0, lost_seconds=40.0),
        trial(2, 0.5, "pruned", seconds=60.0, num_epochs=2),
        trial(3, None, "failed", seconds=30.0, reason="out of memory"),
        trial(4, None, "failed", seconds=20.0, reason="latency = 9 ms: the limit is 5 ms", too_slow=True),
        trial(5, 0.5, "running", seconds=420.0),
    )
    runs = (run("0001", 0, 0.9, "finalist", seconds=300.0), run("0001", 0, 0.93, seconds=600.0))
    proxy = (run("0001", 0, 0.9, "proxy", seconds=100.0),)
    return study(trials=trials, runs=runs, proxy=proxy, worker_seconds=1_000.0)


def test_every_outcome_has_its_row_and_all_add_up_to_the_time_there_was(everything: StudyView) -> None:
    frame = time_ledger_frame(everything)
    rows = {row["outcome"]: (row["count"], row["seconds"]) for row in frame.to_dict("records")}
    assert rows.pop("overhead")[1] == 130.0
    assert rows == {
        "trained to the end": (2, 300.0),
        "pruned": (1, 60.0),
        "failed": (1, 30.0),
        "too slow, not trained": (1, 20.0),
        "not over yet": (1, 420.0),
        "lost in interruptions": (1, 40.0),
        "retraining: finalists": (1, 300.0),
        "retraining: final training and test": (1, 600.0),
        "retraining: proxy runs at full length": (1, 100.0),
    }
    assert frame["seconds"].sum() == 1_000.0 + 300.0 + 600.0 + 100.0
    assert frame["share"].sum() == pytest.approx(1)
    assert frame["share"].tolist() == [seconds / 2_000 for seconds in frame["seconds"]]


def test_what_did_not_occur_has_no_row(trial: Make, study: Study) -> None:
    frame = time_ledger_frame(study(trials=(trial(0, 0.9, seconds=50.0),), worker_seconds=50.0))
    assert frame["outcome"].tolist() == ["trained to the end", "overhead"]
    assert frame["seconds"].tolist() == [50.0, 0.0]


def test_the_pace_counts_the_images_of_full_batches_and_six_operations_for_each_mac(trial: Make, study: Study) -> None:
    trials = (
        trial(0, 0.9, num_epochs=2, seconds=9.0, macs=10**6, batch_size=64),
        trial(1, 0.9, num_epochs=1, seconds=9.0, macs=4 * 10**6, batch_size=64),
        trial(2, None, "failed", num_epochs=1, seconds=9.0),
    )
    view = study(trials=trials, num_train=1_000, peak=1e12)
    seconds = sum(epoch.seconds for one in trials[:2] for epoch in one.history)
    rate, share = pace(view) or (0.0, None)
    assert rate == pytest.approx(960 * 3 / seconds)
    assert share == pytest.approx(6 * 960 * (2 * 10**6 + 4 * 10**6) / seconds / 1e12)
    assert f"Trials were trained at {rate:,.0f} images a second, " in time_sentence(time_ledger_frame(view), view)
    on_cpu = study(trials=trials, num_train=1_000)
    assert (pace(on_cpu) or (0.0, 0.0))[1] is None and "GPU" not in time_sentence(time_ledger_frame(on_cpu), on_cpu)
    assert pace(study(trials=trials)) is None, "an older study did not record how many images it has"


def test_a_smaller_image_takes_operations_by_its_pixels_and_pruning_saves_the_longer_epochs(
    trial: Make, study: Study
) -> None:
    pruned = trial(0, 0.5, "pruned", num_epochs=2, seconds=5.0, macs=10**6, batch_size=64)
    seconds = sum(epoch.seconds for epoch in pruned.history)
    view = study(trials=(pruned,), num_train=1_000, peak=1e12, pixels=(0.25, 0.25, 1.0, 1.0, 1.0))
    assert (pace(view) or (0.0, None))[1] == pytest.approx(6 * 960 * 2 * 10**6 / 4 / seconds / 1e12)
    assert saved_seconds(view) == pytest.approx((2 + 3 * 4) * seconds / 2 - 5.0)


def test_an_overhead_that_was_not_recorded_is_not_invented(trial: Make, study: Study) -> None:
    view = study(trials=(trial(0, 0.9, seconds=50.0),))
    assert time_ledger_frame(view)["outcome"].tolist() == ["trained to the end"]
    assert time_sentence(time_ledger_frame(view), view) == (
        "Device time 50.0 s: 100% trained to the end. No trial was pruned. The overhead of the search was not recorded."
    )


def test_the_table_ends_with_the_total(everything: StudyView) -> None:
    table = time_ledger_table(time_ledger_frame(everything))
    assert table.heads == ("Outcome", "Trials or runs", "Device time", "Share")
    assert table.rows[0] == ("trained to the end", "2", "5 min", "15.0%")
    assert table.rows[-1] == ("total", "\N{EN DASH}", "33 min 20 s", "100.0%")
    assert [row[1] for row in table.rows if row[0] == "overhead"] == ["\N{EN DASH}"]


def test_pruning_saved_the_epochs_it_left_out_at_the_trials_own_pace(trial: Make, study: Study) -> None:
    """Of 5 epochs of 2 s the first measured two and took 5 s with the third it was in; the second has no history."""
    first = trial(0, 0.5, "pruned", num_epochs=2, seconds=5.0)
    second = trial(1, 0.5, "pruned", num_epochs=1, seconds=3.0, history=())
    assert [epoch.seconds for epoch in first.history] == [2.0, 2.0]
    assert saved_seconds(study(trials=(first, trial(2, 0.9, seconds=11.0)))) == 5 * 2.0 - 5.0
    assert saved_seconds(study(trials=(second,))) == 5 * 3.0 - 3.0
    view = study(trials=(first, second), worker_seconds=10.0)
    assert time_sentence(time_ledger_frame(view), view) == (
        "Device time 10.0 s: 80% pruned and 20% overhead. Pruning 2 trials saved about 17.0 s, an estimate by the pace "
        "of each."
    )


def test_nothing_is_saved_where_nothing_was_pruned(everything: StudyView, study: Study, trial: Make) -> None:
    assert saved_seconds(study(trials=(trial(0, 0.9), trial(1, None, "failed")))) == 0
    assert saved_seconds(everything) == 0  # its pruned trial took longer than five of its epochs


def test_an_empty_study_has_an_empty_ledger(study: Study) -> None:
    frame = time_ledger_frame(study())
    assert isinstance(frame, pd.DataFrame) and frame.empty
    assert list(frame.columns) == ["outcome", "count", "seconds", "share"]
    assert time_sentence(frame, study()) == "No device time is recorded."
    assert len(time_ledger_table(frame).rows) == 1
