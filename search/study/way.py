"""How a network was trained: what must be equal before two numbers are averaged, compared or ranked."""

import json
from hashlib import sha256
from typing import Any, Literal, NamedTuple

from models.architecture import Architecture
from search.identity import Identity

DeviceClass = Literal["CPU", "GPU"]
Select = Literal["clean", "robust"]


class Way(NamedTuple):
    """What decides a training but for network and seed.

    Attributes:
        recipe: a digest of all values of the recipe, its length too, but for the precision.
        holdout: the validation split was left out though the recipe does not need it.
        precision: in which it was trained, whatever the recipe says.
        select: what finalists are ranked by, validation images as they are or corrupted ones; others are 'clean'.
        teaching: the digest of what teachers taught it; empty without a teacher.
    """

    recipe: str
    holdout: bool
    precision: str
    device: DeviceClass
    select: Select = "clean"
    teaching: str = ""


def recipe_digest(values: dict[str, Any]) -> str:
    """A digest of a recipe, which tells recipes of one name apart. 'auto' is no precision, so it is left out."""
    rest = {name: value for name, value in values.items() if name != "precision"}
    return sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()[:12]


def device_class(device: str) -> DeviceClass:
    """Of a device by the name that a worker gives it. Numbers of one kind of GPU are compared with those of another."""
    return "CPU" if device.upper().startswith("CPU") else "GPU"


def run_key(recipe: str, epochs: int, identity: Identity, architecture: Architecture, way: Way) -> str:
    """The name of a training of a network, as of its folder: full-40ep-dropout-0.1-holdout-3f9a1c77.

    The digest at its end is of the network and of the way, so that no two have the same. A way without a teacher or a
    choice by corrupted images is known as it was before there were such.
    """
    words = [recipe, f"{epochs}ep"]
    if identity.dropout is not None:
        words.append(f"dropout-{str(identity.dropout).removesuffix('.0')}")
    if way.holdout:
        words.append("holdout")
    words += [way.select] if way.select != "clean" else []
    words += ["taught"] if way.teaching else []
    later = (way.select, way.teaching)
    parts = way if later != ("clean", "") else way[: -len(later)]
    digest = sha256(json.dumps([architecture.to_json(), *parts]).encode()).hexdigest()[:8]
    return "-".join([*words, digest])
