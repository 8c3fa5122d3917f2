"""Secrets that must be repeated once more, but never lie readable in the database.

HMAC-SHA256 in counter mode under the service's pepper (the construction of NIST SP 800-108), with
an id that is never used twice as the nonce. Integrity is not needed: a key has its own checksum.
"""

from __future__ import annotations

from core.services.keys import digest

_BLOCK = 32


def seal(nonce: str, secret: str) -> str:
    """Return the secret as hex that only this service can read."""
    return _mixed(nonce, secret.encode()).hex()


def unseal(nonce: str, sealed: str) -> str:
    """Return the secret."""
    return _mixed(nonce, bytes.fromhex(sealed)).decode()


def _mixed(nonce: str, data: bytes) -> bytes:
    blocks = range(-(-len(data) // _BLOCK))
    stream = b"".join(bytes.fromhex(digest(f"seal:{nonce}:{block}")) for block in blocks)
    return bytes(a ^ b for a, b in zip(data, stream, strict=False))
