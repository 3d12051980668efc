"""`nas evaluate`: which images it takes, and what it says of corrupted ones. Real runs: test_trained_runs.py."""

from pathlib import Path
from typing import Any

import pytest

from search.cli.evaluate import corrupted_values, corruption_rows, fall_sentence, overlap_warnings, parse_images
from search.errors import InputError
from search.run.evaluation import Evaluation
from search.trained_network import CorruptedResult
from search.trained_network import TestResult as Result

NAMES = ("noise", "blur")


def result(clean: float, *accuracies: float) -> Result:
    """Two corruptions of three strengths."""
    pairs = [(name, strength) for name in NAMES for strength in (1, 2, 3)]
    corrupted = tuple(CorruptedResult(*pair, value) for pair, value in zip(pairs, accuracies, strict=True))
    return Result(0.1, clean, ((1,),), corrupted=corrupted)


def evaluation(**changes: Any) -> Evaluation:
    results = ((0, result(0.9, 0.8, 0.7, 0.6, 0.9, 0.8, 0.7)), (1, result(0.8, 0.6, 0.5, 0.4, 0.7, 0.6, 0.5)))
    values = {"split": "test", "overlap": None, "results": results} | changes
    return Evaluation("toy", "ab" * 32, ("a",), ledgers=(Path("toy.jsonl"),), **values)


def test_falls_are_means_over_strengths_corruptions_and_seeds() -> None:
    noise, blur, both = corruption_rows(evaluation().robustness)
    assert [row["corruption"] for row in (noise, blur, both)] == ["noise", "blur", "all"]
    assert [noise[name] for name in list(noise)[1:]] == pytest.approx([0.7, 0.6, 0.5, 0.6, 0.25])
    assert [blur[name] for name in list(blur)[1:]] == pytest.approx([0.8, 0.7, 0.6, 0.7, 0.15])
    assert [both[name] for name in list(both)[1:]] == pytest.approx([0.75, 0.65, 0.55, 0.65, 0.2])
    said = "corrupted images: accuracy 65.00% in the mean of 6 (2 corruptions), 20.00 points below the clean ones"
    assert fall_sentence(evaluation().robustness) == said
    values = corrupted_values(evaluation())
    assert values is not None and [values[name] for name in ("clean", "mean", "fall")] == pytest.approx(
        [0.85, 0.65, 0.2]
    )
    assert [(run["seed"], run["corruptions"]["blur"]) for run in values["runs"]] == [
        (0, (0.9, 0.8, 0.7)), (1, (0.7, 0.6, 0.5)),
    ]  # fmt: skip


def test_without_corruptions_there_are_no_rows() -> None:
    plain = evaluation(results=((0, Result(0.1, 0.9, ((1,),))),))
    assert corruption_rows(plain.robustness) == [] and corrupted_values(plain) is None


def test_a_network_that_was_trained_on_the_validation_images_is_said_to_be() -> None:
    (warning,) = overlap_warnings(evaluation(split="validation", seen=True))
    assert warning.startswith(
        "the network was trained on these images, so its accuracies are too high; `nas retrain --ho"
    )
    assert overlap_warnings(evaluation(split="validation", seen=False)) == []


@pytest.mark.parametrize(
    ("options", "split"),
    [
        (("digits", None, False, None), "test"),
        ((None, "validation", False, "shifts"), "validation"),
        ((None, None, True, None), "test"),
        (("digits", None, True, None), "test"),
    ],
)
def test_images_are_those_of_data_or_of_a_split(options: tuple[Any, ...], split: str) -> None:
    assert parse_images(*options) == split


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((None, None, False, None), "evaluate: give --data, or --split test or validation for the study's own images"),
        ((None, None, False, "mirror"), "evaluate: give --data, or --split test or validation for the study's own"),
        (("digits", "test", False, None), "split = test: is of the study's own images; leave out --data or --split"),
        ((None, "train", True, None), "split = 'train': must be one of test, validation"),
        ((None, "test", True, "mirror"), "tta = mirror: corrupted images are tested without; leave out --tta or"),
    ],
)
def test_other_images_are_one_line(options: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_images(*options)
    assert str(caught.value).startswith(message)
