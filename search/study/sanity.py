"""A check that tells a broken training from a poor one: the loss of the first batch."""

from math import log

FIRST_LOSS_FACTOR = 2.0


def first_loss_warning(first_loss: float | None, num_classes: int) -> str | None:
    """A warning about the loss of the very first batch; None if it is as expected.

    A network that knows nothing gives every class the same probability and has a loss of ln(classes). Those of
    models/baselines.py begin at 1.0 to 1.7 times that. Less than half or more than twice of it hints at wrong labels,
    at images on a wrong scale or at an initialisation that is too large.
    """
    if first_loss is None:
        return None
    expected = log(num_classes)
    if expected / FIRST_LOSS_FACTOR <= first_loss <= expected * FIRST_LOSS_FACTOR:
        return None
    return (
        f"the first batch had a loss of {first_loss:.2f}, where about ln({num_classes}) = {expected:.2f} is to be "
        "expected: check labels, normalisation and initialisation"
    )
