"""Training tests use one thread: their networks gain nothing from a second."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def cuda() -> torch.device:
    """The first GPU; tests that need one are skipped without."""
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA GPU")
    return torch.device("cuda", 0)
