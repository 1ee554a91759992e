"""What an answer vouches for: a cache may stand before the exchange, and then the answer is as old as its copy."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_HITS = "x-kalshi-cache-hits"
"""Seen on answers of the exchange's own cache, which need not carry an `Age`."""
_MAX_AGE = re.compile(r"(?:^|[\s,])(?:s-maxage|max-age)\s*=\s*\"?(\d{1,6})")
_LONGEST = 3_600.0
"""Seconds. A cache that claims to keep market data for longer than this is not believed."""


@dataclass(frozen=True, slots=True)
class Made:
    """When an answer was made, and how long the same request would bring the same answer. Seconds unless said."""

    at_us: int
    """In the exchange's time, microseconds: what existed before this moment is in the answer, unless it came late."""
    age: float = 0.0
    """How long before it was asked for it may have been made."""
    kept: float = 0.0
    """How long after its arrival a cache repeats it; 0 when that is not known."""

    def and_(self, other: "Made") -> "Made":
        """What both together vouch for."""
        return Made(min(self.at_us, other.at_us), max(self.age, other.age), max(self.kept, other.kept))


@dataclass(frozen=True, slots=True)
class Copy:
    """What the headers of an answer tell about a cache, seconds."""

    age: float = 0.0
    """How old the answer may be on leaving the cache."""
    kept: float = 0.0
    """How long the same request is answered with it from then on; 0 when that is not known."""
    longest: float = 0.0
    """How long the cache keeps an answer; 0: no cache is known to stand there."""
    restamped: bool = False
    """The `Date` tells when the answer was made or when it was repeated, not what time it is."""


def copy_of(headers: Mapping[str, str]) -> Copy:
    """An `Age` counts as told, a second up: it is rounded down. Without one the cache's own header makes the answer as
    old as it may become. `max-age` alone is advice to caches and shows none."""
    longest = min(_LONGEST, max((float(each) for each in _MAX_AGE.findall(_text(headers, "Cache-Control"))), default=0))
    told = _text(headers, "Age")
    if told.isascii() and told.isdecimal():
        age = min(_LONGEST, float(told))
        longest = max(longest, age)
        return Copy(age + 1, longest - age, longest, restamped=True)
    if _HITS in headers:
        return Copy(longest, 0.0, longest)
    return Copy()


def _text(headers: Mapping[str, str], name: str) -> str:
    return headers.get(name, "").strip().lower()
