"""Keep what a study really trained, for benchmarks that train nothing: `python benchmarks/recording.py STUDIES NAME`.

The study must have been searched with `--sampler random --pruner none`, so that its designs are uniform draws and every
curve is whole. Some of its designs, evenly spaced by accuracy, are trained again with other seeds on the same split:
they tell the noise between seeds. The result is benchmarks/recorded.json.gz.
"""

import gzip
import json
import os
import sys
from pathlib import Path

from search.files import StudyFiles
from search.protocol import Finished, Job, Measurement, Ready
from search.run.plans import open_study_data
from search.study.plan import Plan, run_seed
from search.study.reading import read_view
from search.study.view import TrialView
from search.workers.local import LocalFleet
from search.workers.machine import Machine

RECORDED = Path(__file__).with_name("recorded.json.gz")
NUM_REPEATED = 12
NUM_SEEDS = 2
FIRST_SEED = 10_000


def main(studies: str, name: str) -> None:
    files = StudyFiles(Path(studies), name)
    plan, view = Plan.load(files), read_view(files)
    trials = [trial for trial in view.trials if trial.state == "complete"]
    designs = [
        {
            "architecture": trial.architecture.to_dict(),
            "params": trial.params,
            "macs": trial.macs,
            "seconds": round(trial.seconds, 2),
            "curve": [epoch.validation_accuracy for epoch in trial.history],
        }
        for trial in trials
    ]
    record = {
        "asked": dict(view.asked),
        "versions": dict(view.versions),
        "designs": designs,
        "repeats": repeats(plan, files, trials),
    }
    with gzip.GzipFile(RECORDED, "wb", mtime=0) as file:
        file.write(json.dumps(record).encode())
    print(f"{len(designs)} designs in {RECORDED}")


def repeats(plan: Plan, files: StudyFiles, trials: list[TrialView]) -> list[dict[str, object]]:
    """Further runs of some designs: the index of the design and its curve."""
    order = sorted(range(len(trials)), key=lambda index: trials[index].value or 0.0)
    chosen = [order[round(step * (len(order) - 1) / (NUM_REPEATED - 1))] for step in range(NUM_REPEATED)]
    setup = Machine("cpu").setup(open_study_data(plan), plan.question.seed)
    fleet, found = LocalFleet(setup, 1, Path(os.devnull)), []
    try:
        received = fleet.receive(600)
        assert received is not None and isinstance(received[1], Ready)
        worker, _ = received
        for index in chosen:
            for seed in range(NUM_SEEDS):
                recipe = plan.question.recipe.model_copy(update={"precision": plan.circumstances.precision})
                torch_seed = run_seed(plan.question.seed, FIRST_SEED + seed)
                worker.start(Job("repeat", trials[index].architecture, recipe, torch_seed, "search", None))
                curve: list[float | None] = []
                while not isinstance(message := fleet.receive(3_600)[1], Finished):  # type: ignore[index]
                    assert isinstance(message, Measurement), message
                    curve.append(message.validation_accuracy)
                found.append({"design": index, "curve": curve})
                print(f"design {index}: {trials[index].value} and {curve[-1]}", flush=True)
    finally:
        fleet.close()
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
