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
from models.int8 import count_int8_bytes
from search.errors import InputError

_LARGEST = 10**12
_SUFFIXES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9}
_COUNT = re.compile(r"(\d[\d_]*(?:\.\d+)?(?:e\+?\d{1,2})?)([kmgb]?)", re.IGNORECASE)


def parse_count(text: str, name: str = "budget") -> int:
    """A whole number from 1 to 10^12, from text like 5e6, 5M, 500k, 1.5M or 5_000_000.

    Raises:
        InputError: the text is anything else; the message calls it `name`.
    """
    match = _COUNT.fullmatch(text.strip())
    value = 0.0
    if match:
        value = float(match[1].replace("_", "")) * _SUFFIXES[match[2].lower()]
    if not 1 <= value <= _LARGEST or abs(value - round(value)) > 1e-6:
        raise InputError(f"{name} = {text!r}: must be a whole number from 1 to 10^12, as in 5e6, 5M, 500k or 5_000_000")
    return round(value)


def short_count(number: int) -> str:
    """A count as `parse_count` reads it, to the digit: 5000000 as 5M, 20000 as 20k, anything else in full."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number % (size // 10) == 0 and number >= size:
            whole, tenth = divmod(number * 10 // size, 10)
            return f"{whole}.{tenth}{unit}" if tenth else f"{whole}{unit}"
    return str(number)


_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")


def parse_duration(text: str, name: str = "timeout") -> float:
    """Seconds, from text like 90s, 30m, 2h, 1d or a bare number of seconds.

    Raises:
        InputError: the text is anything else; the message calls it `name`.
    """
    match = _DURATION.fullmatch(text.strip().lower())
    seconds = float(match[1]) * _SECONDS[match[2]] if match else 0.0
    if seconds <= 0:
        raise InputError(f"{name} = {text!r}: must be a time above zero, as in 90s, 30m or 2h")
    return seconds


_SHARE = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(%?)")


def parse_fill(text: str) -> float:
    """A share above 0 and at most 1, from text like 0.9 or 90%.

    Raises:
        InputError: the text is anything else.
    """
    match = _SHARE.fullmatch(text.strip())
    fill = float(Fraction(match[1]) / (100 if match[2] else 1)) if match else 0.0
    if not 0 < fill <= 1:
        raise InputError(f"fill = {text!r}: must be above 0 and at most 1, as in 0.9 or 90%")
    return fill


Precision = Literal["fp32", "fp16", "bf16", "int8", "int4"]
BITS: dict[Precision, int] = {"fp32": 32, "fp16": 16, "bf16": 16, "int8": 8, "int4": 4}

HOW_LATENCY_IS_MEASURED = (
    "one image at a time on the device that trains, the median of up to 50 runs after a warm-up, while no other worker "
    "of nas on that machine computes"
)
MACS_PER_PARAMETER = 320  # of the budget, at 32x32 pixels
_NAMES = ("macs", "bytes", "activations", "latency")
_BYTES = re.compile(r"(\d[\d_]*(?:\.\d+)?(?:e\+?\d{1,2})?)(k|m|g|ki|mi|gi)?b?", re.IGNORECASE)
_BYTE_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}
_LATENCY = re.compile(r"(\d+(?:\.\d+)?(?:e[+-]?\d{1,2})?)(s|ms|us)", re.IGNORECASE)
_LATENCY_UNITS = {"s": Fraction(1), "ms": Fraction(1, 10**3), "us": Fraction(1, 10**6)}


def in_bytes(number: int, precision: Precision) -> int:
    """The bytes that `number` numbers take at a precision, rounded up."""
    return -(-number * BITS[precision] // 8)


@dataclass(frozen=True)
class Limits:
    """Hard limits on a network. None means no limit.

    Attributes:
        budget: the most trainable parameters.
        macs: the most multiply-accumulates for one image.
        bytes: the most bytes of weights at `bytes_precision`, rounded up: 4 per parameter in fp32, 2 in fp16 and bf16,
            half of one in int4. Only parameters count: BatchNorm's running statistics do not, since they are folded
            into the convolutions when a network is deployed. In int8 they are those of the file that `nas export`
            writes: weights, biases, scales and zero points, see `models.int8`.
        bytes_precision: the precision of the weights.
        activations: the most bytes of live feature maps for one image, at `activations_precision`; see `models.count`.
        activations_precision: the precision of the feature maps.
        latency: the most seconds for one image. It is measured by workers, and not checked here.
        fill: the least share that a network must use of the parameters that budget and bytes leave or, where bytes in
            int8 are limited to no more than the budget, of these bytes; 0 requires nothing.

    Raises:
        InputError: the fill is outside 0 to 1.
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

    @cached_property
    def max_params(self) -> int:
        """The most parameters a network may have within the budget and the limit on bytes. In int8 few of so many are
        within the limit, for `max_int8_bytes` are at least as many as parameters."""
        if self.bytes is None:
            return self.budget
        return min(self.budget, 8 * self.bytes // BITS[self.bytes_precision])

    @property
    def max_int8_bytes(self) -> int | None:
        """The most bytes of an int8 file's numbers; None without such a limit."""
        return self.bytes if self.bytes_precision == "int8" else None

    @property
    def is_of_int8_bytes(self) -> bool:
        """Whether bytes of an int8 file are what is used up, since every network has more of them than parameters."""
        return self.max_int8_bytes is not None and self.max_int8_bytes <= self.budget

    @cached_property
    def min_params(self) -> int:
        """The fewest parameters a network must have; 0 if `fill` requires none."""
        return 0 if self.is_of_int8_bytes else self._filled

    @cached_property
    def min_int8_bytes(self) -> int:
        """The fewest bytes a network must take in an int8 file; 0 if `fill` requires none."""
        return self._filled if self.is_of_int8_bytes else 0

    @property
    def _filled(self) -> int:
        # As a fraction of the decimal that was written: 0.9 means nine tenths, not the nearest float.
        return -(-Fraction(str(self.fill)) * self.max_params // 1)

    @cached_property
    def max_activations(self) -> int | None:
        """The most numbers in live feature maps; None without a limit on activations."""
        if self.activations is None:
            return None
        return 8 * self.activations // BITS[self.activations_precision]

    @property
    def texts(self) -> tuple[str, ...]:
        """The limits other than budget and fill in one canonical form, which `parse_limits` reads."""
        texts = [] if self.macs is None else [f"macs={self.macs}"]
        if self.bytes is not None:
            texts.append(f"bytes={self.bytes}@{self.bytes_precision}")
        if self.activations is not None:
            texts.append(f"activations={self.activations}@{self.activations_precision}")
        if self.latency is not None:
            texts.append(f"latency={self.latency!r}s")
        return tuple(texts)

    def has_room_for(self, architecture: Architecture) -> bool:
        """Whether the network is within the budget and the limit on bytes."""
        if count_parameters(architecture) > self.max_params:
            return False
        return self.max_int8_bytes is None or count_int8_bytes(architecture) <= self.max_int8_bytes

    def is_filled_by(self, architecture: Architecture) -> bool:
        """Whether the network uses as much as `fill` requires."""
        if self.is_of_int8_bytes:
            return not self.min_int8_bytes or count_int8_bytes(architecture) >= self.min_int8_bytes
        return count_parameters(architecture) >= self.min_params

    def admits(self, architecture: Architecture, image_size: int) -> bool:
        """Whether the network takes images of `image_size` pixels and meets every limit but latency."""
        if not self.has_room_for(architecture) or not self.is_filled_by(architecture):
            return False
        try:
            macs = count_macs(architecture, image_size)
            if self.max_activations is not None and peak_activations(architecture, image_size) > self.max_activations:
                return False
        except ArchitectureError:
            return False
        return self.macs is None or macs <= self.macs


def macs_by_rule(max_params: int, image_size: int, per_parameter: int = MACS_PER_PARAMETER) -> int:
    """The most multiply-accumulates for one image that go with a number of parameters and an image size in pixels.

    Without such a limit the best network within a budget tends to be the one that computes most: convolutions at full
    resolution cost few parameters and much time, to train as well as to use. `MACS_PER_PARAMETER` are twice as many as
    ResNet-8 has, the smallest of its family, and all networks made by hand for CIFAR-10 and 5 million parameters keep
    to them. A convolution's multiply-accumulates go with the pixels, and so does the rule.
    """
    by_rule = round(per_parameter * max_params * Fraction(image_size, 32) ** 2)
    return min(max(1, by_rule), _LARGEST)


def used(architecture: Architecture, max_params: int, max_int8_bytes: int | None) -> tuple[float, str]:
    """The share that a network uses of the budget or of the limit on an int8 file's bytes, whichever is tighter, and
    which of them it is."""
    share = count_parameters(architecture) / max_params, f"the budget of {max_params:,}"
    if max_int8_bytes is None:
        return share
    of_bytes = count_int8_bytes(architecture) / max_int8_bytes, f"{max_int8_bytes:,} bytes in int8"
    return of_bytes if max_params == max_int8_bytes else max(share, of_bytes)


def short_words(number: int) -> str:
    """As `short_count` has it, but with thousands apart where it is given in full."""
    short = short_count(number)
    return f"{number:,}" if short == str(number) else short


def macs_words(macs: int, max_params: int, image_size: int) -> str:
    """A limit on multiply-accumulates as people read it: 800M MACs, and whether it is the rule's."""
    text = f"{short_words(macs)} MACs"
    if macs != macs_by_rule(max_params, image_size):
        return text
    at = "" if image_size == 32 else " at 32x32 pixels"
    return f"{text} ({MACS_PER_PARAMETER} for each of {max_params:,} parameters{at}, --limit macs=none lifts it)"


def fill_words(limits: Limits) -> str:
    """What `fill` is a share of, as people read it."""
    if limits.is_of_int8_bytes:
        return f"the {limits.bytes:,} bytes in int8"
    return "the budget" if limits.max_params == limits.budget else f"the {limits.max_params:,} that bytes leave"


def macs_choice(texts: Iterable[str]) -> str | None:
    """What limits say of multiply-accumulates: auto, none or a number as it was written; None if they say nothing.

    Raises:
        InputError: a name is unknown or repeated.
    """
    return _by_name(texts).get("macs")


def parse_limits(texts: Iterable[str], budget: int, fill: float = 0.0) -> Limits:
    """A budget and limits from texts like `macs=6e8`, `bytes=300KB@int8`, `activations=1MiB` and `latency=5ms`.

    Sizes are in bytes; KB is 1,000 of them and KiB 1,024, and so on. The precision is fp32 unless it is given.
    `macs=none` and `macs=auto` are no limit here: what the second stands for is settled by the images and the space.

    Raises:
        InputError: a name is unknown or repeated, or a value does not parse.
    """
    given = _by_name(texts)
    size, size_precision = _parse_bytes("bytes", given.get("bytes"))
    activations, activations_precision = _parse_bytes("activations", given.get("activations"))
    return Limits(
        budget=budget,
        macs=_parse_macs(given.get("macs", "none")),
        bytes=size,
        bytes_precision=size_precision,
        activations=activations,
        activations_precision=activations_precision,
        latency=_parse_latency(given["latency"]) if "latency" in given else None,
        fill=fill,
    )


def _by_name(texts: Iterable[str]) -> dict[str, str]:
    """The value of each limit as it was written; `auto` and `none` in small letters."""
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
        value = value.strip()
        given[name] = value.lower() if value.lower() in ("auto", "none") else value
    return given


def _parse_macs(text: str) -> int | None:
    if text in ("auto", "none"):
        return None
    try:
        return parse_count(text, "limit macs")
    except InputError as error:
        raise InputError(f"{error}; or auto, or none") from None


def _parse_bytes(name: str, text: str | None) -> tuple[int | None, Precision]:
    """Bytes, or None without a text, and their precision."""
    if text is None:
        return None, "fp32"
    amount, separator, given = text.partition("@")
    precision = next((known for known in get_args(Precision) if known == given.strip().lower()), None)
    if precision is None and separator:
        raise InputError(f"limit {name} = {text!r}: precision must be one of {', '.join(get_args(Precision))}")
    match = _BYTES.fullmatch(amount.strip())
    value = Fraction(match[1].replace("_", "")) * _BYTE_UNITS[(match[2] or "").lower()] if match else Fraction(0)
    if not 1 <= value <= 10**15 or value.denominator != 1:
        raise InputError(f"limit {name} = {text!r}: must be whole bytes, as in 300KB, 1.5MiB or 300KB@int8")
    return int(value), precision or "fp32"


def _parse_latency(text: str) -> float:
    """Seconds."""
    match = _LATENCY.fullmatch(text)
    seconds = float(Fraction(match[1]) * _LATENCY_UNITS[match[2].lower()]) if match else 0.0
    if not 0 < seconds <= 3600:
        raise InputError(f"limit latency = {text!r}: must be a time above zero with its unit, as in 5ms, 800us or 0.1s")
    return seconds
