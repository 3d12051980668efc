"""Networks with BatchNorm folded away against the same with it."""

import pytest
import torch
from deployable import MEAN, NETWORKS, STD, trained
from torch import nn

from search.training.deployed import Deployed


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_without_batch_norm_computes_the_same(name: str) -> None:
    module = trained(NETWORKS[name])
    images = torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8)
    deployed = Deployed(module, MEAN, STD)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in deployed.modules())
    assert any(isinstance(part, nn.BatchNorm2d) for part in module.modules())  # the one it was made from keeps its own
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (MEAN, STD))
    with torch.no_grad():
        expected = module((images.float() / 255 - mean) / std)
        torch.testing.assert_close(deployed(images), expected, rtol=1e-4, atol=1e-5)
    assert expected.std() > 0.01
