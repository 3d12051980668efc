"""Sealed content: whole, or known to be damaged."""

import pytest

from search.sealed import seal, unseal


@pytest.mark.parametrize("content", [b"", b"a", bytes(1000)])
def test_sealed_content_comes_back_and_whatever_changes_it_is_noticed(content: bytes) -> None:
    stored = seal(content)
    assert unseal(stored) == content
    for damaged in (b"", stored[:-1], stored + b"\0", stored[1:], bytes([stored[0] ^ 1]) + stored[1:], b"\0" + stored):
        with pytest.raises(ValueError, match=r"^its content is damaged$"):
            unseal(damaged)
