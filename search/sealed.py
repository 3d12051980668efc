"""Content with its SHA-256 before it: what is damaged is told from what is whole, without knowing what it means."""

import hashlib

_LENGTH = hashlib.sha256().digest_size


def seal(content: bytes) -> bytes:
    return hashlib.sha256(content).digest() + content


def unseal(stored: bytes) -> bytes:
    """The content that was sealed.

    Raises:
        ValueError: it is damaged.
    """
    digest, content = stored[:_LENGTH], stored[_LENGTH:]
    if hashlib.sha256(content).digest() != digest:
        raise ValueError("its content is damaged")
    return content
