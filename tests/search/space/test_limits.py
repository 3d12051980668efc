"""Numbers, times and limits as people write them, and what the limits admit."""

import pytest

from models.architecture import Architecture, Stage, Stem
from models.baselines import BASELINES, find_baseline
from models.count import count_macs, count_parameters, peak_activations
from models.int8 import count_int8_bytes
from search.errors import InputError
from search.space.guesses import guesses
from search.space.limits import (
    Limits,
    Precision,
    in_bytes,
    macs_by_rule,
    macs_choice,
    parse_count,
    parse_duration,
    parse_fill,
    parse_limits,
    short_count,
    used,
)
from search.space.space import Task, load_space


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5e6", 5_000_000),
        ("5E6", 5_000_000),
        ("5e+6", 5_000_000),
        ("5M", 5_000_000),
        ("5m", 5_000_000),
        ("1.5M", 1_500_000),
        ("500k", 500_000),
        ("500K", 500_000),
        ("5_000_000", 5_000_000),
        ("5000000", 5_000_000),
        ("2.5e3", 2_500),
        ("0.5k", 500),
        ("1G", 10**9),
        ("1b", 10**9),
        (" 7 ", 7),
        ("1", 1),
        ("1e12", 10**12),
        ("999999999999", 999_999_999_999),
        ("4_997_194", 4_997_194),
    ],
)
def test_a_count_is_read_in_every_form(text: str, value: int) -> None:
    parsed = parse_count(text)
    assert parsed == value
    assert type(parsed) is int


NO_COUNTS = """
    -5 +5 0.5 1.5 1e-3 1e13 2000G 1e99 1e123 5x 5MM M e6 _5 1,000 0x10 inf nan 1.0000001M five 5e6.5
"""


@pytest.mark.parametrize(
    "text",
    ["", " ", "0", "5 M", "5\n6", *NO_COUNTS.split()],
)
def test_what_is_no_count_is_refused_in_one_line_with_its_name(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_count(text, "limit macs")
    assert str(caught.value).startswith(f"limit macs = {text!r}: must be a whole number from 1 to 10^12")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("90", 90),
        ("30m", 1_800),
        ("2h", 7_200),
        ("2H", 7_200),
        ("1d", 86_400),
        ("1.5h", 5_400),
        ("0.5s", 0.5),
        (" 10s ", 10),
    ],
)
def test_a_duration_is_read_in_every_form(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "0.0h", "-1h", "h", "2 h", "1h30m", "2w", "1e3", "inf", "nan", "two"])
def test_what_is_no_duration_is_refused_in_one_line_with_its_name(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_duration(text)
    assert str(caught.value) == f"timeout = {text!r}: must be a time above zero, as in 90s, 30m or 2h"


# Limits.


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("macs=6e8", "macs=600000000"),
        ("MACS = 600M", "macs=600000000"),
        ("bytes=300KB@int8", "bytes=300000@int8"),
        ("bytes=300kB @ INT8", "bytes=300000@int8"),
        ("bytes=300KiB", "bytes=307200@fp32"),
        ("bytes=1.5MB@fp16", "bytes=1500000@fp16"),
        ("bytes=1.5MiB@bf16", "bytes=1572864@bf16"),
        ("bytes=2g@int4", "bytes=2000000000@int4"),
        ("bytes=4096B", "bytes=4096@fp32"),
        ("bytes=3e5", "bytes=300000@fp32"),
        ("activations=1MiB", "activations=1048576@fp32"),
        ("activations=64KB@int8", "activations=64000@int8"),
        ("latency=5ms", "latency=0.005s"),
        ("latency=0.8 ms".replace(" ", ""), "latency=0.0008s"),
        ("latency=250us", "latency=0.00025s"),
        ("latency=3us", "latency=3e-06s"),
        ("latency=1.5S", "latency=1.5s"),
    ],
)
def test_a_limit_is_read_in_every_form_and_kept_in_one(text: str, canonical: str) -> None:
    limits = parse_limits([text], 10**12)
    assert limits.texts == (canonical,)
    assert parse_limits(limits.texts, 10**12) == limits


def test_limits_stand_in_one_order_whatever_they_are_given_in() -> None:
    texts = ["latency=5ms", "activations=1MB", "bytes=1MB@int8", "macs=6e8"]
    limits = parse_limits(texts, 5_000_000, 0.1)
    assert limits == parse_limits(reversed(texts), 5_000_000, 0.1)
    assert [text.split("=")[0] for text in limits.texts] == ["macs", "bytes", "activations", "latency"]
    assert (limits.budget, limits.fill) == (5_000_000, 0.1)
    assert parse_limits([], 7).texts == ()


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["mac=6e8"], "limit = 'mac=6e8': there is no such limit; there is macs"),
        (["bites=1MB"], "limit = 'bites=1MB': there is no such limit; there is bytes"),
        (["zzz=1"], "limit = 'zzz=1': there is no such limit; there is macs, bytes, activations, latency"),
        (["params=5e6"], "limit = 'params=5e6': there is no such limit; there is macs, bytes, activations, latency"),
        (["=5"], "limit = '=5': there is no such limit; there is macs, bytes, activations, latency"),
        (["macs"], "limit = 'macs': must be name=value, as in macs=6e8, bytes=300KB@int8 or latency=5ms"),
        (["macs=6e8", "macs=7e8"], "limit macs = '7e8': is given twice"),
        (
            ["macs=lots"],
            "limit macs = 'lots': must be a whole number from 1 to 10^12, as in 5e6, 5M, 500k or 5_000_000; or auto, "
            "or none",
        ),
        (["bytes=300XB"], "limit bytes = '300XB': must be whole bytes, as in 300KB, 1.5MiB or 300KB@int8"),
        (["bytes=0"], "limit bytes = '0': must be whole bytes, as in 300KB, 1.5MiB or 300KB@int8"),
        (["bytes=0.5"], "limit bytes = '0.5': must be whole bytes, as in 300KB, 1.5MiB or 300KB@int8"),
        (["bytes=-1KB"], "limit bytes = '-1KB': must be whole bytes, as in 300KB, 1.5MiB or 300KB@int8"),
        (["bytes="], "limit bytes = '': must be whole bytes, as in 300KB, 1.5MiB or 300KB@int8"),
        (["bytes=1MB@int7"], "limit bytes = '1MB@int7': precision must be one of fp32, fp16, bf16, int8, int4"),
        (["bytes=1MB@"], "limit bytes = '1MB@': precision must be one of fp32, fp16, bf16, int8, int4"),
        (["activations=5ms"], "limit activations = '5ms': must be whole bytes, as in 300KB, 1.5MiB or 300KB@int8"),
        (["latency=5"], "limit latency = '5': must be a time above zero with its unit, as in 5ms, 800us or 0.1s"),
        (["latency=0ms"], "limit latency = '0ms': must be a time above zero with its unit, as in 5ms, 800us or 0.1s"),
        (["latency=2h"], "limit latency = '2h': must be a time above zero with its unit, as in 5ms, 800us or 0.1s"),
    ],
)
def test_what_is_no_limit_is_refused_in_one_line(texts: list[str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_limits(texts, 5_000_000)
    assert str(caught.value) == message


@pytest.mark.parametrize(("text", "fill"), [("0.9", 0.9), ("90%", 0.9), ("1", 1.0), (".5", 0.5), ("100%", 1.0)])
def test_a_share_to_fill_is_read_in_every_form(text: str, fill: float) -> None:
    assert parse_fill(text) == fill


@pytest.mark.parametrize("text", ["0", "1.1", "-0.5", "101%", "0%", "half", "", "nan", "1e-1"])
def test_a_share_outside_0_to_1_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_fill(text)
    assert str(caught.value) == f"fill = {text!r}: must be above 0 and at most 1, as in 0.9 or 90%"


@pytest.mark.parametrize("fill", [-0.1, 1.01, float("nan")])
def test_limits_of_a_share_outside_0_to_1_are_refused(fill: float) -> None:
    with pytest.raises(InputError, match=r"^fill = .*: must be above 0 and at most 1"):
        Limits(5_000_000, fill=fill)


@pytest.mark.parametrize(
    ("precision", "number", "size"),
    [("fp32", 3, 12), ("fp16", 3, 6), ("bf16", 3, 6), ("int8", 3, 3), ("int4", 3, 2), ("int4", 4, 2)],
)
def test_the_bytes_of_weights_are_those_of_the_precision_rounded_up(
    precision: Precision, number: int, size: int
) -> None:
    assert in_bytes(number, precision) == size


def test_a_limit_of_bytes_is_a_limit_of_parameters() -> None:
    for precision in ("fp32", "fp16", "bf16", "int8", "int4"):
        for size in (1, 2, 7, 300_000):
            limits = parse_limits([f"bytes={size}@{precision}"], 10**9)
            most = limits.max_params
            assert in_bytes(most, precision) <= size < in_bytes(most + 1, precision)
    assert parse_limits(["bytes=1GB@int8"], 5_000_000).max_params == 5_000_000


def test_what_is_asked_to_be_filled_is_what_was_written() -> None:
    assert Limits(5_000_000, fill=0.9).min_params == 4_500_000
    assert Limits(10, fill=0.3).min_params == 3  # 10 x 0.3 is a little above 3 in floating point
    assert Limits(7, fill=0.5).min_params == 4
    assert Limits(7).min_params == 0


def test_what_is_asked_to_be_filled_is_what_budget_and_bytes_leave() -> None:
    assert parse_limits(["bytes=300KB"], 5_000_000, 0.9).min_params == 67_500
    # An int8 file takes more bytes than a network has parameters, so that its limit is the tighter from here on.
    within = parse_limits(["bytes=300KB@int8"], 300_000, 0.9)
    assert (within.min_params, within.min_int8_bytes) == (0, 270_000)
    beyond = parse_limits(["bytes=300KB@int8"], 299_999, 0.9)
    assert (beyond.min_params, beyond.min_int8_bytes) == (270_000, 0)


def test_a_network_that_uses_all_bytes_fills_them_however_few_its_parameters() -> None:
    narrow = Architecture(Stem(4), (Stage("basic", 3, 4),))
    size = count_int8_bytes(narrow)
    assert count_parameters(narrow) < 0.7 * size
    assert Limits(10**6, bytes=size, bytes_precision="int8", fill=1.0).admits(narrow, 32)
    assert not Limits(10**6, bytes=size + 1, bytes_precision="int8", fill=1.0).admits(narrow, 32)
    assert used(narrow, size, size) == (1.0, f"{size:,} bytes in int8")


NETWORK = Architecture(Stem(16), (Stage("basic", 2, 16), Stage("bottleneck", 1, 32, kernel=5)))


def test_limits_admit_a_network_at_its_own_costs_and_not_below() -> None:
    params, macs, peak = count_parameters(NETWORK), count_macs(NETWORK, 32), peak_activations(NETWORK, 32)
    at = {"budget": params, "macs": macs, "bytes": 4 * params, "activations": 4 * peak}
    assert Limits(**at).admits(NETWORK, 32)
    for name, cost in at.items():
        assert not Limits(**at | {name: cost - 1}).admits(NETWORK, 32)
    assert Limits(**at, fill=1.0).admits(NETWORK, 32)
    assert not Limits(2 * params, fill=0.51).admits(NETWORK, 32)
    assert Limits(**at, latency=1e-9).admits(NETWORK, 32)  # measured elsewhere


def test_no_limits_admit_a_network_that_takes_no_such_images() -> None:
    odd = Architecture(Stem(4), (Stage("basic", 1, 4), Stage("basic", 1, 4, kernel=2)))
    assert Limits(10**9).admits(odd, 16)
    assert not Limits(10**9).admits(odd, 15)


def test_the_rule_for_macs_goes_with_parameters_and_pixels() -> None:
    assert macs_by_rule(5_000_000, 32) == 1_600_000_000
    assert macs_by_rule(5_000_000, 64) == 6_400_000_000
    assert macs_by_rule(20_000, 8) == 400_000
    assert macs_by_rule(1_000_000, 28) == 245_000_000
    assert macs_by_rule(7, 5) == 55  # 54.7
    assert macs_by_rule(1, 1) == 1  # never 0, which would be no limit that can be written
    assert macs_by_rule(10**12, 224) == 10**12
    parse_limits([f"macs={macs_by_rule(10**12, 224)}"], 10**12)


def test_the_rule_keeps_all_networks_of_reports() -> None:
    networks = {name: find_baseline(name, 3, 10) for name, made in BASELINES.items() if "report" in made.origin}
    within = {name: network for name, network in networks.items() if count_parameters(network) <= 5_000_000}
    over = [name for name, network in within.items() if count_macs(network, 32) > macs_by_rule(5_000_000, 32)]
    assert len(within) == 15 and over == []


@pytest.mark.parametrize(("budget", "size"), [(20_000, 8), (100_000, 16), (300_000, 16), (5_000_000, 32)])
def test_the_rule_keeps_the_network_that_anybody_would_guess(budget: int, size: int) -> None:
    task = Task(size, 1 if size == 8 else 3, 10)  # the digits are grey
    largest = guesses(load_space(), task, Limits(budget))["guess-1"]
    assert guesses(load_space(), task, Limits(budget, macs=macs_by_rule(budget, size)))["guess-1"] == largest


def test_what_is_said_of_macs_is_told_apart_and_auto_is_no_limit_yet() -> None:
    assert macs_choice([]) is macs_choice(["bytes=1MB"]) is None
    assert [macs_choice([f"MACs = {text}"]) for text in ("Auto", "none", "6e8")] == ["auto", "none", "6e8"]
    assert parse_limits(["macs=auto"], 7) == parse_limits(["macs=NONE"], 7) == parse_limits([], 7)
    with pytest.raises(InputError, match=r"^limit macs = 'none': is given twice$"):
        parse_limits(["macs=auto", "macs=none"], 7)


@pytest.mark.parametrize("number", [1, 999, 1_500, 20_000, 187_500, 1_234_567, 5_000_000, 750_000_000, 1_600_000_000])
def test_a_short_count_is_read_as_the_number_it_stands_for(number: int) -> None:
    assert parse_count(short_count(number)) == number
