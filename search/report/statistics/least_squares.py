"""The coefficients of a linear fit, with Student's intervals."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Coefficient:
    """A coefficient, its standard error, and the degrees of freedom of the fit."""

    value: float
    error: float
    freedom: int

    def half_width(self, level: float) -> float:
        """Half of the interval that leaves the truth out with a probability of `level`."""
        return float(stdtrit(self.freedom, 1 - level / 2)) * self.error


def coefficients(x: Values, y: Values) -> list[Coefficient] | None:
    """How y (n,) rises with each column of x (n, k) while the others stay, beside a constant.

    None where the columns do not tell themselves apart, or no freedom is left to show the noise.
    """
    number, columns = x.shape
    freedom = number - columns - 1
    if freedom < 1:
        return None
    # Centred and scaled, so that whether columns depend on each other is seen whatever their units.
    centred = x - x.mean(axis=0)
    scale = np.sqrt((centred**2).sum(axis=0))
    if not scale.all() or np.linalg.matrix_rank(centred / scale, tol=1e-6) < columns:
        return None
    scaled = centred / scale
    inverse = np.linalg.inv(scaled.T @ scaled)
    fit = inverse @ scaled.T @ (y - y.mean())
    residual = y - y.mean() - scaled @ fit
    errors = np.sqrt(np.diag(inverse) * (residual @ residual) / freedom)
    return [
        Coefficient(float(value), float(error), freedom)
        for value, error in zip(fit / scale, errors / scale, strict=True)
    ]
