"""Export: a trained network as a model.py that needs torch alone, its weights, and its architecture."""

import json
import pprint
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

from models.architecture import Architecture
from search.errors import StorageError, StudyError
from search.files import StudyFiles, write_atomically
from search.study.plan import Plan
from search.study.weights import certify_saved

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


def export(files: StudyFiles, plan: Plan, number: int, output: Path) -> list[Path]:
    """Write model.py, weights.safetensors and architecture.json of a retrained trial to the folder `output`.

    Of several seeds the first is taken: picking the best of them would be picking by the test set.

    Raises:
        StudyError: the trial has not been retrained.
        TrainingError: the weights do not hold the parameters they should.
        StorageError: a file cannot be read or written.
    """
    folder = files.retrained(number, 0)
    if not (folder / "result.json").is_file():
        raise StudyError(f"trial = {number}: has no trained weights; run `nas retrain --trial {number}` first")
    try:
        result: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        architecture = Architecture.from_dict(result["architecture"])
        source = model_source(files, plan, number, architecture, result)
        weights = (folder / "weights.safetensors").read_bytes()
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise StorageError(f"{folder}: cannot be read ({error})") from None
    certify_saved(folder / "weights.safetensors", architecture, plan.question.budget)
    contents: dict[str, str | bytes] = {
        "model.py": source,
        "weights.safetensors": weights,
        "architecture.json": architecture.to_json(indent=1),
    }
    for name, content in contents.items():
        write_atomically(output / name, content)
    return [output / name for name in contents]


def model_source(files: StudyFiles, plan: Plan, number: int, architecture: Architecture, result: dict[str, Any]) -> str:
    """The text of model.py: the project's own blocks, and this network's values."""
    blocks = package_files("models").joinpath("blocks.py").read_text(encoding="utf-8")
    _, _, body = blocks.split('"""', 2)
    data = plan.question.data
    title = f"Trial {number} of study {files.name}: {result['params']:,} parameters, test accuracy "
    title += f"{result['test_accuracy']:.2%} on {data.name}."
    head = HEAD.format(title=title, channels=data.channels, size=data.image_size)
    values = pprint.pformat(architecture.to_dict(), width=110, sort_dicts=False)
    tail = TAIL.format(architecture=values, classes=ascii(tuple(data.classes)), mean=result["mean"], std=result["std"])
    return head + body.lstrip("\n").rstrip("\n") + "\n" + tail
