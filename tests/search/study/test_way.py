"""How a training is known: by its digest, which stays what it was before there were teachers."""

import json
from hashlib import sha256

from models.architecture import Architecture, Stage, Stem
from search.identity import Identity
from search.study.way import Way, run_key

NETWORK = Architecture(Stem(4), (Stage("basic", 1, 8),))


def test_a_key_without_a_teacher_is_what_it_always_was() -> None:
    way = Way("3f9a1c77aaaa", True, "bf16", "GPU")
    digest = sha256(json.dumps([NETWORK.to_json(), "3f9a1c77aaaa", True, "bf16", "GPU"]).encode()).hexdigest()[:8]
    assert run_key("full", 40, Identity(trial=3), NETWORK, way) == f"full-40ep-holdout-{digest}"


def test_every_teaching_has_a_key_of_its_own() -> None:
    ways = [Way("3f9a1c77aaaa", False, "bf16", "GPU", teaching=teaching) for teaching in ("", "abc", "def")]
    keys = [run_key("full", 40, Identity(trial=3), NETWORK, way) for way in ways]
    assert len(set(keys)) == 3 and [key.startswith("full-40ep-taught-") for key in keys] == [False, True, True]
