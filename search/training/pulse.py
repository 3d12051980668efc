"""What a long task does between two batches."""

import time
from collections.abc import Callable

from torch import nn

from search.protocol import Message, Working
from search.training.quiet import Quiet

SECONDS_BETWEEN_WORDS = 10.0


class Pulse:
    """Lets others on this machine measure, and says now and then that the task goes on."""

    def __init__(self, quiet: Quiet, send: Callable[[Message], None]) -> None:
        self._quiet = quiet
        self._send = send
        self._spoken = time.monotonic()

    def __call__(self) -> None:
        self._quiet.give_way()
        if time.monotonic() - self._spoken >= SECONDS_BETWEEN_WORDS:
            self._spoken = time.monotonic()
            self._send(Working())


def beat(model: nn.Module, pulse: Callable[[], None]) -> None:
    """Have a model call `pulse` before every batch from now on."""
    model.register_forward_pre_hook(lambda *_: pulse())
