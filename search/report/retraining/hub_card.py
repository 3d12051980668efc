"""The README.md of an exported network: its card with the header that the Hugging Face hub reads."""

from typing import Any

import yaml

from search.files import StudyFiles
from search.report.notation import count
from search.study.plan import Plan
from search.study.trained import TrainedRun

# What the hub calls data sets that a study takes by name. Others have no page there that is known.
ON_THE_HUB = {
    "cifar10": "uoft-cs/cifar10",
    "cifar100": "uoft-cs/cifar100",
    "fashion-mnist": "zalando-datasets/fashion_mnist",
    "svhn": "ufldl-stanford/svhn",
}
LOADING = """import sys; from huggingface_hub import snapshot_download
sys.path.insert(0, snapshot_download("USER/NAME")); import model; network = model.load()"""

HEADER = """---
{header}---

> **From the hub.** This runs the model.py of this repository, which needs torch alone; `nas verify net`, after
> `hf download USER/NAME --local-dir net`, says whether it is what `nas export` writes. {license}
>
> ```python
{loading}
> ```

"""


def hub_card(files: StudyFiles, plan: Plan, run: TrainedRun, card: str, license: str | None = None) -> str:
    """A card with the header that the hub reads: library, tags, data and the test accuracy of the weights.

    Args:
        license: as the hub names it; which one is for the user to say.
    """
    data = plan.question.data
    dataset = ON_THE_HUB.get(data.name)
    result = {
        "task": {"type": "image-classification", "name": "Image classification"},
        "dataset": {"name": data.name, "type": dataset or data.name, "split": "test"},
        "metrics": [
            {"type": "accuracy", "value": run.view.test_accuracy, "name": f"Test accuracy, seed {run.view.seed}"}
        ],
    }
    header: dict[str, Any] = {
        **({"license": license} if license is not None else {}),
        "library_name": "pytorch",
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "neural-architecture-search", "resnet", "budget-nas"],
        **({"datasets": [dataset]} if dataset else {}),
        "metrics": ["accuracy"],
        "model-index": [
            {"name": f"{run.name} of study {files.name}, {count(run.view.params)} parameters", "results": [result]}
        ],
    }
    text = yaml.safe_dump(header, sort_keys=False, allow_unicode=True, width=120)
    loading = "\n".join(f"> {line}" for line in LOADING.splitlines())
    words = (
        f"License: {license}." if license is not None else "No license was chosen; `nas export --license` states one."
    )
    return HEADER.format(header=text, loading=loading, license=words) + card
