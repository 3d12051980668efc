"""Images per second of several ways to do the same, measured in turn so that a change of the machine hits all."""

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median

Epoch = Callable[[], int]  # does one epoch, to its end on the device, and tells how many images it took


def measure(contenders: Mapping[str, Epoch], repeats: int, seconds: float = 0.0) -> dict[str, list[float]]:
    """Images per second of every contender, once a round; before the first round each warms up for one epoch.

    A measurement is of whole epochs, as many as `seconds` take, one at least.
    """
    for epoch in contenders.values():
        epoch()
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, epoch in contenders.items():
            started, num_images, elapsed = time.perf_counter(), 0, 0.0
            while num_images == 0 or elapsed < seconds:
                num_images += epoch()
                elapsed = time.perf_counter() - started
            rates[name].append(num_images / elapsed)
    return rates


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """How many times as fast, round by round."""
    return [one / other for one, other in zip(ours, theirs, strict=True)]


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Median, smallest and largest."""
    middle, low, high = (f"{value:,.{digits}f}" for value in (median(values), min(values), max(values)))
    return f"{middle} ({low} to {high})"


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """In Markdown, the first column to the left and the others to the right."""
    print("\n| " + " | ".join(header) + " |")
    print("| :--- |" + " ---: |" * (len(header) - 1))
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)
