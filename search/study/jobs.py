"""What a worker is given to do for a trial."""

import numpy as np

from models.architecture import Architecture
from search.files import StudyFiles
from search.protocol import Job
from search.study.plan import Plan


def trial_job(plan: Plan, files: StudyFiles, number: int, architecture: Architecture) -> Job:
    """The training of a trial by the study's recipe and limits, in the precision that the study began with."""
    question, precision = plan.question, plan.circumstances.precision
    recipe = question.recipe.model_copy(update={"precision": precision}) if precision else question.recipe
    return Job(
        f"trial {number}",
        architecture,
        recipe,
        run_seed(question.seed, number),
        "search",
        question.all_limits.most_params,
        max_latency=question.all_limits.latency,
        checkpoints=files.trial(number),
    )


def run_seed(seed: int, number: int) -> int:
    """The seed of a run's initial weights, order of images and augmentation, from the study's seed."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
