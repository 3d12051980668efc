"""What is said of a final run: no more than what is there."""

from pathlib import Path

from search.cli.final_runs import describe
from studies import make_run


def test_a_run_is_told_with_its_folder_and_within_what_networks_are_held_to(tmp_path: Path) -> None:
    run = make_run("0042", 1, 0.9, params=1_001, folder=tmp_path, kept_epoch=7)
    said = describe(run, 1_000)
    assert said.startswith("trial 42 seed 1: test accuracy 90.00% with the weights of epoch 7, 1,001 parameters (a ref")
    assert "a reference, over the budget of 1,000" in said and said.endswith(f"; weights in {tmp_path}")
