"""ONNX files: what they compute and what they weigh. Few, for each takes seconds to write."""

from math import prod
from pathlib import Path

import numpy as np
import onnx
import pytest
from deployable import MEAN, NETWORKS, STD, trained

from models.architecture import Architecture
from models.build import build
from models.count import count_parameters
from models.int8 import count_int8_bytes
from search.errors import TrainingError
from search.space.draws import Draws
from search.space.limits import Limits
from search.space.space import Task, load_space
from search.trained_network import FLOAT_FILE, INT8_FILE, OnnxExport, TrainedNetwork, WriteOnnx
from search.training.deployed import Deployed
from search.training.onnx_export import require_same, write_onnx
from search.training.onnx_files import bytes_of_numbers, open_file, write_float, write_int8

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (300, 8, 8, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, OnnxExport]:
    """A folder with the files of a network of gates, depthwise convolutions and SiLU, and what was measured."""
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("onnx")
    module = trained(NETWORKS["inverted"])
    save_file(module.state_dict(), folder / "weights.safetensors")
    np.save(folder / "images.npy", IMAGES)
    np.save(folder / "labels.npy", np.arange(300) % 10)
    network = TrainedNetwork(NETWORKS["inverted"], folder / "weights.safetensors", MEAN, STD, "fp32")
    images = folder / "images.npy"
    return folder, write_onnx(WriteOnnx(network, folder, images, folder / "labels.npy", images))


@pytest.mark.slow
def test_the_files_compute_what_torch_does(exported: tuple[Path, OnnxExport]) -> None:
    import torch

    folder, result = exported
    images = IMAGES.transpose(0, 3, 1, 2)
    with torch.no_grad():
        expected = Deployed(trained(NETWORKS["inverted"]), MEAN, STD)(torch.tensor(images)).numpy()
    for number in (1, 7, 300):  # any batch
        logits = open_file(folder / FLOAT_FILE)(images[:number])
        np.testing.assert_allclose(logits, expected[:number], rtol=1e-4, atol=1e-4)
    rough = open_file(folder / INT8_FILE)(images)
    assert 0 < np.abs(rough - expected).max() < 0.2 * np.abs(expected).max()
    assert 0 < result.difference < 1e-4 and (result.num_images, result.num_calibration) == (300, 300)
    accuracies = [float((logits.argmax(axis=1) == np.arange(300) % 10).mean()) for logits in (expected, rough)]
    assert [file.accuracy for file in result.files] == pytest.approx(accuracies)
    assert result.opset == onnx.load(folder / FLOAT_FILE).opset_import[0].version


@pytest.mark.slow
def test_what_is_said_of_a_file_is_true_of_it(exported: tuple[Path, OnnxExport]) -> None:
    folder, result = exported
    for file in result.files:
        tensors = onnx.load(folder / file.name).graph.initializer
        assert file.num_bytes == (folder / file.name).stat().st_size
        kind = onnx.TensorProto
        kinds = {kind.FLOAT: 4, kind.INT32: 4, kind.INT8: 1, kind.UINT8: 1}
        sizes = [kinds[one.data_type] * prod(one.dims) for one in tensors if one.data_type in kinds]
        assert file.number_bytes == sum(sizes) and len(tensors) - len(sizes) <= 1  # the axes of means, in int64
    assert result.files[1].number_bytes == count_int8_bytes(NETWORKS["inverted"])


def random_designs() -> dict[str, Architecture]:
    designs = {}
    for name in ("resnet", "modern", "tiny"):
        draws = Draws.weighed(load_space(name), Task(16, 3, 10), Limits(8_000))
        designs[name] = draws.draw(np.random.default_rng(3))
    return designs | {name: NETWORKS[name] for name in ("pooled", "preactivated")}


@pytest.mark.slow
def test_the_bytes_of_a_file_are_known_before_it_is_written(tmp_path: Path) -> None:
    """Without training, so that biases are zero and tensors are equal, which the exporter would make less of."""
    for name, design in random_designs().items():
        write_float(Deployed(build(design).eval(), MEAN, STD), (3, 16, 16), tmp_path / "float")
        write_int8(tmp_path / "float", tmp_path / "int8", RNG.integers(0, 256, (4, 3, 16, 16), dtype=np.uint8))
        assert bytes_of_numbers(tmp_path / "int8") == count_int8_bytes(design), name
        assert bytes_of_numbers(tmp_path / "float") <= 4 * count_parameters(design) + 8 * 3, name


def test_logits_that_differ_by_more_than_rounding_fail() -> None:
    logits = RNG.normal(size=(20, 10)).astype(np.float32)
    assert require_same(logits, logits + np.float32(1e-6)) < 1e-5
    other = logits.copy()
    other[3, 4] += 20
    with pytest.raises(TrainingError, match=r"differ from torch's by up to 20.* the class of 1 of 20 images"):
        require_same(logits, other)
    with pytest.raises(TrainingError):
        require_same(logits, logits * np.float32(np.nan))
