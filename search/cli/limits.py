"""What may be built: the options for the search space and the limits."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search.cli.paths import path_option

if TYPE_CHECKING:
    from search.space.limits import Limits

SpaceFile = Annotated[
    Path | None, path_option("--space", "Search space: resnet (the default), modern, tiny, or a YAML file.")
]
LimitTexts = Annotated[
    list[str] | None,
    typer.Option("--limit", help="Another limit: macs=auto|none|6e8, bytes=300KB@int8, activations=1MiB, latency=5ms."),
]


def parse_all_limits(
    budget: str, limits: Sequence[str] | None, fill: str | None, image_size: int | None = None
) -> "Limits":
    """The budget, the other limits, and the least share to use of what they leave (none by default).

    Args:
        image_size: in pixels, for the rule of `--limit macs=auto`; None where that is settled later.

    Raises:
        InputError: one of them does not parse.
    """
    from search.space.limits import macs_by_rule, macs_choice, parse_count, parse_fill, parse_limits

    texts = limits or ()
    parsed = parse_limits(texts, parse_count(budget), 0.0 if fill is None else parse_fill(fill))
    if image_size is None or macs_choice(texts) != "auto":
        return parsed
    return replace(parsed, macs=macs_by_rule(parsed.max_params, image_size))
