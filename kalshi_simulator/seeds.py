"""Seeded randomness that does not depend on the order of questions.

Every draw comes from a stream named by the world's seed and by what is drawn, so a market looks the same
in a short and in a long world, and one more draw somewhere changes nothing elsewhere.
"""

from __future__ import annotations

import hashlib
import random


def stream(*name: object) -> random.Random:
    """A generator of its own for this name; text seeds go through SHA-512, the same on every machine."""
    return random.Random("|".join(map(str, name)))


def digest(size: int, *name: object) -> str:
    """`size` hex digits that belong to this name."""
    text = "|".join(map(str, name)).encode()
    return hashlib.blake2b(text, digest_size=(size + 1) // 2).hexdigest()[:size]
