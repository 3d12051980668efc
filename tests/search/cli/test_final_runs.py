"""What is said of a final run: no more than what is there."""

from pathlib import Path

from models.baselines import find_baseline
from search.cli.final_runs import describe
from search.trained_network import AugmentedResult
from studies import make_run, make_view


def test_a_run_is_told_with_its_folder_and_within_what_networks_are_held_to(tmp_path: Path) -> None:
    run = make_run("0042", 1, 0.9, params=1_001, folder=tmp_path, kept_epoch=7)
    said = describe(run, make_view(budget=1_000))
    assert said.startswith("trial 42 seed 1: test accuracy 90.00% with the weights of epoch 7, 1,001 parameters (a ref")
    assert "test-time" not in said
    assert "a reference, over the budget of 1,000" in said and said.endswith(f"; weights in {tmp_path}")


def test_a_network_over_the_limit_on_bytes_is_a_reference_though_it_has_no_more_numbers(tmp_path: Path) -> None:
    view = make_view(budget=280_000, max_int8_bytes=280_000)
    run = make_run("resnet20-b", 1, 0.9, architecture=find_baseline("resnet20-b", 3, 10), folder=tmp_path)
    assert "272,474 parameters (a reference, over 280,000 bytes in int8)" in describe(run, view)
    assert "272,474 parameters (budget 281,000)" in describe(run, make_view(budget=281_000, max_int8_bytes=281_000))


def test_test_time_augmentation_is_named_as_such_beside_the_plain_accuracy(tmp_path: Path) -> None:
    augmented = (AugmentedResult("mirror", 2, 0.92), AugmentedResult("shifts", 6, 0.94))
    said = describe(
        make_run("0042", 1, 0.9, params=1_000, folder=tmp_path, augmented=augmented), make_view(budget=1_000)
    )
    assert said.startswith(
        "trial 42 seed 1: test accuracy 90.00% (94.00% with test-time augmentation, 6 passes an image)"
    )
