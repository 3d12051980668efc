"""What is said of a final run: no more than what is there."""

from pathlib import Path

from search.cli.final_runs import describe
from search.trained_network import AugmentedResult
from studies import make_run


def test_a_run_is_told_with_its_folder_and_within_what_networks_are_held_to(tmp_path: Path) -> None:
    run = make_run("0042", 1, 0.9, params=1_001, folder=tmp_path, kept_epoch=7)
    said = describe(run, 1_000)
    assert said.startswith("trial 42 seed 1: test accuracy 90.00% with the weights of epoch 7, 1,001 parameters (a ref")
    assert "test-time" not in said
    assert "a reference, over the budget of 1,000" in said and said.endswith(f"; weights in {tmp_path}")


def test_test_time_augmentation_is_named_as_such_beside_the_plain_accuracy(tmp_path: Path) -> None:
    augmented = (AugmentedResult("mirror", 2, 0.92), AugmentedResult("shifts", 6, 0.94))
    said = describe(make_run("0042", 1, 0.9, params=1_000, folder=tmp_path, augmented=augmented), 1_000)
    assert said.startswith(
        "trial 42 seed 1: test accuracy 90.00% (94.00% with test-time augmentation, 6 passes an image)"
    )
