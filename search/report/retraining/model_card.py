"""The card of an exported network: what it is, how it was trained, how good it is, and what it was not tested for."""

import html
import re
from statistics import fmean, stdev
from typing import Any

from models.baselines import BASELINES, find_baseline
from search.files import StudyFiles
from search.report.notation import count, design, interval, percent, plural
from search.report.statistics.significance import CONFIDENCE, half_width
from search.space.guesses import first_guesses, guesses, is_guess
from search.space.limits import Limits, used
from search.study.later import SPLITS
from search.study.ledger import Ledger
from search.study.onnx_results import measured_on
from search.study.plan import Data, Plan
from search.study.trained import TrainedRun
from search.study.view import RunView
from search.trained_network import FLOAT_FILE, OnnxExport

MAX_CLASSES = 20

CARD = """# {title}

A residual network, {origin}, trained by `nas` in the study `{study}`. All numbers are those that its training
wrote down.

| | |
| --- | --- |
| architecture | {design} |
| parameters | {params} |
| multiply-accumulates | {macs} for one image of {size} by {size} pixels |
| takes | uint8 images (N, {channels}, {size}, {size}), by `preprocess` in model.py |
| classes | {classes} |

## How it was trained

| | |
| --- | --- |
| data | {data}, fingerprint `{fingerprint}` |
| images | {images} |
| recipe | {recipe}, {epochs} |
| these weights | seed {seed} of {seeds}, trained on {device} at {precision}, {time} |
| versions | {versions} |

## How good it is

Test accuracy on {data}: {accuracy}. The weights in this folder, those of the first seed, have {own}.
{corrupted}
{openings}

## How to use it

Needs torch alone. In this folder:

```python
import model, torch

network = model.load()
with torch.inference_mode():
    logits = network(model.preprocess(images))  # images: uint8 (N, {channels}, {size}, {size})
names = [model.CLASSES[label] for label in logits.argmax(dim=1)]
```
{onnx}
## What it was not tested for

- Images from elsewhere: other cameras, places, times or ways of cutting them out; `nas evaluate` tests it on yours.
- Images of none of its classes: it still names one of them.
- {damage}
- Whether its probabilities are calibrated, and whether it serves some groups of people worse than others.
- Other precisions{quantised} and other hardware.
"""

ONNX = """
## As ONNX

| file | bytes | of these, numbers | accuracy |
| --- | ---: | ---: | ---: |
{files}

Normalisation is inside: the files take uint8 images (N, {channels}, {size}, {size}), of any number N, and give logits.
The accuracies are on {images}, by onnxruntime. Numbers are weights, biases, scales and zero points; the rest of a file
is its graph. {calibration}Opset {opset}, written by {producer}. The logits of `{float_file}` differ from torch's by at
most {difference:.1g} on these images.

```python
import onnxruntime

session = onnxruntime.InferenceSession("{name}")
(logits,) = session.run(None, {{"images": images}})  # images: uint8 (N, {channels}, {size}, {size}), a NumPy array
```
"""


def model_card(files: StudyFiles, plan: Plan, runs: list[TrainedRun], onnx: OnnxExport | None = None) -> str:
    """The card of the first of `runs`, which differ in their seeds alone, in Markdown; with what was measured of the
    ONNX files beside it, if there are any.

    Raises:
        StorageError: the test ledger cannot be read.
    """
    run, data, limits = runs[0], plan.question.data, plan.question.all_limits
    view = run.view
    kept = f", the weights of epoch {view.kept_epoch}" if view.kept_epoch is not None else ""
    return CARD.format(
        title=f"{run.name[0].upper()}{run.name[1:]}: {count(view.params)} parameters, {_text(data.name)}",
        origin=_origin(view, plan),
        study=files.name,
        design=design(view.architecture),
        params=_params(view, limits),
        macs=count(view.macs),
        size=data.image_size,
        channels=data.channels,
        classes=_classes(data.classes),
        data=_text(data.name),
        fingerprint=data.fingerprint,
        images=_images(view),
        recipe=_text(view.recipe),
        epochs=plural(view.epochs, "epoch") + kept + (f", {_text(view.teaching.words)}" if view.teaching else ""),
        seed=view.seed,
        seeds=len(runs),
        device=_text(view.device),
        precision=view.precision,
        time=_text(run.values.get("time", "")),
        versions=_versions(run.values.get("versions")),
        accuracy=_accuracy([trained.view.test_accuracy for trained in runs]),
        own=percent(view.test_accuracy),
        corrupted=_corrupted(runs),
        damage=_untested_damage(runs),
        openings=_openings(files, plan, view.label),
        onnx=_onnx(onnx, data) if onnx is not None else "",
        quantised="" if onnx is not None and len(onnx.files) > 1 else ", quantised weights",
    )


def _onnx(onnx: OnnxExport, data: Data) -> str:
    rows = [
        f"| `{file.name}` | {count(file.num_bytes)} | {count(file.number_bytes)} | {percent(file.accuracy)} |"
        for file in onnx.files
    ]
    calibration = ""
    if onnx.num_calibration:
        images = plural(onnx.num_calibration, "training image")
        calibration = f"The int8 file takes the ranges of its feature maps from {images}. "
    return ONNX.format(
        files="\n".join(rows),
        channels=data.channels,
        size=data.image_size,
        images=measured_on(onnx),
        calibration=calibration,
        opset=onnx.opset,
        producer=_text(onnx.producer),
        float_file=FLOAT_FILE,
        difference=onnx.difference,
        name=onnx.files[-1].name,
    )


def _origin(view: RunView, plan: Plan) -> str:
    identity, question = view.identity, plan.question
    if identity.baseline is not None:
        return "a guess, without a search" if is_guess(identity.baseline) else "designed by hand"
    if identity.dropout is None and question.warm_start:  # a search begins with networks that it has not found
        task, limits, own = question.data.task, question.all_limits, view.architecture.canonical()
        if own in first_guesses(guesses(question.space, task, limits), task, limits).values():
            return "a guess, which a search was begun with"
        if any(find_baseline(name, task.in_channels, task.num_classes).canonical() == own for name in BASELINES):
            return "designed by hand, and among the first trials of a search"
    return "found by search" + (", here with another dropout than it had there" if identity.dropout is not None else "")


def _params(view: RunView, limits: Limits) -> str:
    if view.params > limits.max_params:
        return f"{count(view.params)}, over the study's budget of {count(limits.max_params)}: a reference"
    share, limit = used(view.architecture, limits.max_params, limits.max_int8_bytes)
    return f"{count(view.params)}, {percent(share, 1)} of {limit}" + (": a reference" if share > 1 else "")


def _classes(classes: tuple[str, ...]) -> str:
    named = ", ".join(map(_text, classes[:MAX_CLASSES]))
    rest = f" and {len(classes) - MAX_CLASSES} more, see `CLASSES` in model.py" if len(classes) > MAX_CLASSES else ""
    return f"{len(classes)}: {named}{rest}"


def _images(view: RunView) -> str:
    if view.holdout or any(epoch.validation_accuracy is not None for epoch in view.history):
        return "the training split; the validation images were held out"
    return "the training and validation images"


def _accuracy(accuracies: list[float | None]) -> str:
    """Mean and interval over seeds."""
    values = [value for value in accuracies if value is not None]
    if len(values) < 2:
        return f"{percent(values[0] if values else None)} (one seed, so no interval)"
    mean, half = fmean(values), half_width(stdev(values), len(values))
    return (
        f"{percent(mean)} in the mean of {len(values)} seeds, {CONFIDENCE:.0%} interval {interval(mean, half)}, which "
        "covers training with other seeds, not another search"
    )


def _corrupted(runs: list[TrainedRun]) -> str:
    """A paragraph on what was measured on corrupted images, a sentence for each split; empty where nothing was."""
    sentences = []
    for split in SPLITS:
        measured = [one for run in runs for one in run.view.robustness if one.split == split]
        if measured:
            seen = ", which it was trained on" if any(one.seen for one in measured) else ""
            named = dict.fromkeys(name for one in measured for name in one.corruptions)
            sentences.append(
                f"On the {split} images{seen}, under corruptions ({', '.join(named)}) of three strengths, the accuracy "
                f"falls from {percent(fmean(one.clean for one in measured))} to "
                f"{percent(fmean(one.mean for one in measured))} in the mean ({plural(len(measured), 'seed')})."
            )
    return f"\n{' '.join(sentences)}\n" if sentences else ""


def _untested_damage(runs: list[TrainedRun]) -> str:
    if any(run.view.robustness for run in runs):
        return "Damage of other kinds or degrees than named above, and images made to mislead it."
    return "Noise, damage and images made to mislead it; `nas evaluate --corrupted` tests it under noise and damage."


def _openings(files: StudyFiles, plan: Plan, label: str) -> str:
    """How often the test set was looked at: the more often, the less its accuracies mean."""
    entries = Ledger(files, plan.question.data.ledger_name).entries()
    own = sum(entry.study == files.name and entry.label == label for entry in entries)
    times = plural(len(entries), "time")
    return f"The test set had been opened {times} by the day of this export, {own} of them for this network."


def _versions(versions: Any) -> str:
    pairs = versions.items() if isinstance(versions, dict) else ()
    return ", ".join(f"{_text(name)} {_text(version)}" for name, version in pairs) or "not recorded"


def _text(value: Any) -> str:
    """A user's text as one piece of a line of Markdown, without markup."""
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", html.escape(" ".join(str(value).split()), quote=False))
