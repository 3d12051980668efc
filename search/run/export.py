"""Export: a trained network as a model.py that needs only torch, its weights, its architecture and its cards."""

import json
import pprint
from collections.abc import Mapping, Sequence
from importlib.resources import files as package_files
from pathlib import Path
from types import MappingProxyType

from models.architecture import Architecture
from search.errors import StorageError
from search.files import StudyFiles, why
from search.study.plan import Plan
from search.study.trained import TrainedRun
from search.writing import write_atomically

HUB_WEIGHTS = "model.safetensors"  # the name by which the hub knows weights

# The title is escaped: it holds names that stand in files, and model.py is a program.
HEAD = '''"""{title}

Needs torch alone. Weights lie beside this file:

    model = load()
    logits = model(preprocess(images))  # images: uint8 (N, {channels}, {size}, {size})
"""

import json
from pathlib import Path
'''

TAIL = '''

ARCHITECTURE: dict[str, Any] = {architecture}
CLASSES = {classes}
MEAN = {mean}
STD = {std}


def build() -> ResNet:
    """The network with random weights."""
    return ResNet(**ARCHITECTURE)


def load(path: str | Path = Path(__file__).with_name("weights.safetensors")) -> ResNet:
    """The trained network, ready for inference."""
    network = build()
    network.load_state_dict(read_safetensors(path))
    return network.eval()


def preprocess(images: Tensor) -> Tensor:
    """uint8 images (N, C, H, W) as the network was trained on them."""
    mean, std = (torch.tensor(values, device=images.device).view(-1, 1, 1) for values in (MEAN, STD))
    return (images.float() / 255 - mean) / std


def read_safetensors(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file: a header's length, a JSON header, and the numbers."""
    dtypes = {{"F32": torch.float32, "I64": torch.int64}}
    content = bytearray(Path(path).read_bytes())
    start = 8 + int.from_bytes(content[:8], "little")
    tensors = {{}}
    for name, entry in json.loads(content[8:start]).items():
        if name != "__metadata__":
            begin, end = (start + offset for offset in entry["data_offsets"])
            numbers = torch.frombuffer(content[begin:end], dtype=dtypes[entry["dtype"]])
            tensors[name] = numbers.reshape(entry["shape"])
    return tensors
'''


def export(
    files: StudyFiles,
    plan: Plan,
    run: TrainedRun,
    card: str,
    output: Path,
    others: Mapping[str, str | bytes] = MappingProxyType({}),
    for_hub: bool = False,
) -> list[Path]:
    """Write model.py, weights.safetensors, architecture.json, MODEL_CARD.md and config.json of a trained network to the
    folder `output`, and other files by their names.

    Args:
        for_hub: write the weights under the hub's name too.

    Raises:
        StorageError: a file cannot be read or written.
    """
    weights = run.network.weights
    try:
        content = weights.read_bytes()
    except OSError as error:
        raise StorageError(f"{weights}: cannot be read ({why(error)})") from None
    contents: dict[str, str | bytes] = {
        "model.py": model_source(files, plan, run),
        "weights.safetensors": content,
        "architecture.json": run.network.architecture.to_json(indent=1),
        "MODEL_CARD.md": card,
        "config.json": config(plan, run),
        **others,
    }
    if for_hub:
        contents[HUB_WEIGHTS] = content
    for name, text in contents.items():
        write_atomically(output / name, text)
    return [output / name for name in contents]


def config(plan: Plan, run: TrainedRun) -> str:
    """The text of config.json: what a program needs to know of the network, under the names that the hub uses."""
    data, network = plan.question.data, run.network
    values = {
        "architectures": ["ResNet"],
        "architecture": network.architecture.to_dict(),
        "image_size": data.image_size,
        "num_channels": data.channels,
        "image_mean": network.mean,
        "image_std": network.std,
        "id2label": dict(enumerate(data.classes)),
        "num_parameters": run.view.params,
    }
    return json.dumps(values, indent=1) + "\n"


def model_source(files: StudyFiles, plan: Plan, run: TrainedRun) -> str:
    """The text of model.py: the project's own blocks, and this network's values."""
    data, network = plan.question.data, run.network
    title = f"{run.name[0].upper()}{run.name[1:]} of study {files.name}: {run.view.params:,} parameters, test accuracy "
    title += f"{run.view.test_accuracy:.2%} on {data.name}."
    title = title.encode("unicode_escape").decode("ascii").replace('"', '\\"')
    return program(title, network.architecture, data.image_size, data.classes, network.mean, network.std)


def program(
    title: str,
    architecture: Architecture,
    image_size: int,
    classes: Sequence[str],
    mean: Sequence[float],
    std: Sequence[float],
) -> str:
    """The text of the model.py of these values; `title` is escaped already."""
    blocks = package_files("models").joinpath("blocks.py").read_text(encoding="utf-8")
    _, _, body = blocks.split('"""', 2)
    head = HEAD.format(title=title, channels=architecture.in_channels, size=image_size)
    values = pprint.pformat(architecture.to_dict(), width=110, sort_dicts=False)
    tail = TAIL.format(architecture=values, classes=ascii(tuple(classes)), mean=tuple(mean), std=tuple(std))
    return head + body.lstrip("\n").rstrip("\n") + "\n" + tail
