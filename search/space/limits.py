"""What a network may cost: numbers as people write them, and the hard limits that every proposal meets."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from fractions import Fraction
from functools import cached_property
from typing import Literal, get_args

from models.architecture import Architecture, ArchitectureError
from models.count import count_macs, count_parameters, peak_activations
from search.errors import InputError

_SUFFIXES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9}
_COUNT = re.compile(r"(\d[\d_]*(?:\.\d+)?(?:e\+?\d{1,2})?)([kmgb]?)", re.IGNORECASE)


def parse_count(text: str, name: str = "budget") -> int:
    """A whole number from 1 to 10^12, written as 5e6, 5M, 500k, 1.5M or 5_000_000.

    Raises:
        InputError: anything else.
    """
    match = _COUNT.fullmatch(text.strip())
    value = 0.0
    if match:
        value = float(match[1].replace("_", "")) * _SUFFIXES[match[2].lower()]
    if not 1 <= value <= 1e12 or abs(value - round(value)) > 1e-6:
        raise InputError(f"{name} = {text!r}: must be a whole number from 1 to 10^12, as in 5e6, 5M, 500k or 5_000_000")
    return round(value)


_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")


def parse_duration(text: str, name: str = "timeout") -> float:
    """Seconds, written as 90s, 30m, 2h, 1d or a bare number of seconds.

    Raises:
        InputError: anything else.
    """
    match = _DURATION.fullmatch(text.strip().lower())
    seconds = float(match[1]) * _SECONDS[match[2]] if match else 0.0
    if seconds <= 0:
        raise InputError(f"{name} = {text!r}: must be a time above zero, as in 90s, 30m or 2h")
    return seconds


def parse_fill(text: str) -> float:
    """A share above 0 and at most 1, written as 0.9 or 90%.

    Raises:
        InputError: anything else.
    """
    fill = parse_share(text)
    if fill is None or not 0 < fill <= 1:
        raise InputError(f"fill = {text!r}: must be above 0 and at most 1, as in 0.9 or 90%")
    return fill


def parse_share(text: str) -> float | None:
    """A number written as 0.9 or 90%, or None."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)(%?)", text.strip())
    return float(Fraction(match[1]) / (100 if match[2] else 1)) if match else None


Precision = Literal["fp32", "fp16", "bf16", "int8", "int4"]
BITS: dict[Precision, int] = {"fp32": 32, "fp16": 16, "bf16": 16, "int8": 8, "int4": 4}

_NAMES = ("macs", "bytes", "activations", "latency")
_BYTES = re.compile(r"(\d[\d_]*(?:\.\d+)?(?:e\+?\d{1,2})?)(k|m|g|ki|mi|gi)?b?", re.IGNORECASE)
_BYTE_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}
_LATENCY = re.compile(r"(\d+(?:\.\d+)?(?:e[+-]?\d{1,2})?)(s|ms|us)", re.IGNORECASE)
_LATENCY_UNITS = {"s": Fraction(1), "ms": Fraction(1, 10**3), "us": Fraction(1, 10**6)}


def in_bytes(number: int, precision: Precision) -> int:
    """Bytes that so many numbers take, rounded up."""
    return -(-number * BITS[precision] // 8)


@dataclass(frozen=True)
class Limits:
    """Hard limits of a network. None is no limit.

    Attributes:
        budget: most trainable parameters.
        macs: most multiply-accumulates for one image.
        bytes: most bytes of weights, at `bytes_precision`: 4 for every parameter in fp32, 2 in fp16 and bf16, 1 in
            int8, a half in int4, rounded up. Parameters are what is counted: BatchNorm's running statistics are left
            out, since they are folded into the convolutions when a network is deployed.
        activations: most bytes of live feature maps for one image, at `activations_precision`; see `models.count`.
        latency: most seconds for one image. It is measured, not counted: nothing here checks it.
        fill: least share of the budget that a network must have; 0 asks for nothing.

    Raises:
        InputError: a fill outside 0 to 1, or limits that contradict each other.
    """

    budget: int
    macs: int | None = None
    bytes: int | None = None
    bytes_precision: Precision = "fp32"
    activations: int | None = None
    activations_precision: Precision = "fp32"
    latency: float | None = None
    fill: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.fill <= 1:
            raise InputError(f"fill = {self.fill}: must be above 0 and at most 1, as in 0.9")
        if self.min_params > self.max_params:
            raise InputError(
                f"fill = {self.fill}: asks for at least {self.min_params:,} parameters, "
                f"but limit {self._bytes_text} leaves at most {self.max_params:,}"
            )

    @cached_property
    def max_params(self) -> int:
        """The most parameters a network may have: what the budget and the limit of bytes leave."""
        if self.bytes is None:
            return self.budget
        return min(self.budget, 8 * self.bytes // BITS[self.bytes_precision])

    @cached_property
    def min_params(self) -> int:
        """The fewest parameters that fill the budget: 0 if nothing is asked."""
        # As a fraction of what was written: 0.9 means nine tenths, not the float beside it.
        return -(-Fraction(str(self.fill)) * self.budget // 1)

    @cached_property
    def max_activations(self) -> int | None:
        """The most numbers in live feature maps."""
        if self.activations is None:
            return None
        return 8 * self.activations // BITS[self.activations_precision]

    @property
    def _bytes_text(self) -> str:
        return f"bytes={self.bytes}@{self.bytes_precision}"

    @property
    def texts(self) -> tuple[str, ...]:
        """The limits beside `params` and `fill` in one canonical form, which `parse_limits` reads."""
        found = [] if self.macs is None else [f"macs={self.macs}"]
        if self.bytes is not None:
            found.append(self._bytes_text)
        if self.activations is not None:
            found.append(f"activations={self.activations}@{self.activations_precision}")
        if self.latency is not None:
            found.append(f"latency={self.latency!r}s")
        return tuple(found)

    def admits(self, architecture: Architecture, image_size: int) -> bool:
        """Whether the network can take images of that size and meets every limit that is counted."""
        if not self.min_params <= count_parameters(architecture) <= self.max_params:
            return False
        try:
            macs = count_macs(architecture, image_size)
            if self.max_activations is not None and peak_activations(architecture, image_size) > self.max_activations:
                return False
        except ArchitectureError:
            return False
        return self.macs is None or macs <= self.macs


def parse_limits(texts: Iterable[str], budget: int, fill: float = 0.0) -> Limits:
    """The budget with limits as people write them: `macs=6e8`, `bytes=300KB@int8`, `activations=1MiB`, `latency=5ms`.

    Sizes are in bytes; KB is 1,000 and KiB 1,024 of them, and so on. The precision is fp32 unless it is given.

    Raises:
        InputError: an unknown or repeated name, a value that does not parse, or limits that contradict each other.
    """
    given: dict[str, str] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        name = name.strip().lower()
        if name not in _NAMES:
            near = get_close_matches(name, _NAMES, n=1) or [", ".join(_NAMES)]
            raise InputError(f"limit = {text!r}: there is no such limit; there is {near[0]}")
        if not separator:
            raise InputError(f"limit = {text!r}: must be name=value, as in macs=6e8, bytes=300KB@int8 or latency=5ms")
        if name in given:
            raise InputError(f"limit {name} = {value!r}: is given twice")
        given[name] = value.strip()
    size, size_precision = _parse_bytes("bytes", given.get("bytes"))
    activations, activations_precision = _parse_bytes("activations", given.get("activations"))
    return Limits(
        budget=budget,
        macs=parse_count(given["macs"], "limit macs") if "macs" in given else None,
        bytes=size,
        bytes_precision=size_precision,
        activations=activations,
        activations_precision=activations_precision,
        latency=_parse_latency(given["latency"]) if "latency" in given else None,
        fill=fill,
    )


def _parse_bytes(name: str, text: str | None) -> tuple[int | None, Precision]:
    if text is None:
        return None, "fp32"
    amount, separator, asked = text.partition("@")
    precision = next((known for known in get_args(Precision) if known == asked.strip().lower()), None)
    if precision is None and separator:
        raise InputError(f"limit {name} = {text!r}: precision must be one of {', '.join(get_args(Precision))}")
    match = _BYTES.fullmatch(amount.strip())
    value = Fraction(match[1].replace("_", "")) * _BYTE_UNITS[(match[2] or "").lower()] if match else Fraction(0)
    if not 1 <= value <= 10**15 or value.denominator != 1:
        raise InputError(f"limit {name} = {text!r}: must be whole bytes, as in 300KB, 1.5MiB or 300KB@int8")
    return int(value), precision or "fp32"


def _parse_latency(text: str) -> float:
    match = _LATENCY.fullmatch(text)
    seconds = float(Fraction(match[1]) * _LATENCY_UNITS[match[2].lower()]) if match else 0.0
    if not 0 < seconds <= 3600:
        raise InputError(f"limit latency = {text!r}: must be a time above zero with its unit, as in 5ms, 800us or 0.1s")
    return seconds
