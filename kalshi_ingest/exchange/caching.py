"""What an answer proves: behind a cache it is as old as its copy."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kalshi_ingest.http.server_clock import told_age

_HITS = "x-kalshi-cache-hits"
"""Seen on answers of the exchange's own cache, which need not carry an `Age`."""
_MAX_AGE = re.compile(r"(?:^|[\s,])(?:s-maxage|max-age)\s*=\s*\"?(\d{1,6})")
_REPORTED = 15.0
"""Seconds for which the exchange's own cache keeps an answer, where it does not say for how long."""
_LONGEST = 3_600.0
"""Seconds. A cache that claims to keep market data for longer counts as one that keeps them for so long."""
_SEEN_SECONDS = 600.0
"""A cache that no answer shows for so long is taken to be gone."""


@dataclass(frozen=True, slots=True)
class Made:
    """When an answer was made, and how long the same request would bring the same answer. Seconds unless said."""

    at_us: int
    """In the exchange's time, microseconds: what existed before this moment is in the answer, unless it came late."""
    age: float = 0.0
    """How long before it was asked for it may have been made."""
    kept: float = 0.0
    """How long after its arrival a cache repeats it; 0 when that is not known."""
    longest: float = 0.0
    """For how long a cache keeps such an answer; 0: none is known to stand there."""

    def and_(self, other: "Made") -> "Made":
        """What both together prove."""
        return Made(
            min(self.at_us, other.at_us),
            max(self.age, other.age),
            max(self.kept, other.kept),
            max(self.longest, other.longest),
        )


@dataclass(frozen=True, slots=True)
class Copy:
    """What the headers of an answer tell about a cache, seconds."""

    age: float = 0.0
    """How old the answer may be on leaving the cache."""
    kept: float = 0.0
    """How long the same request is answered with it from then on; 0 when that is not known."""
    longest: float = 0.0
    """How long the cache keeps an answer; 0: no cache is known to stand there."""

    @property
    def date_is_old(self) -> float:
        """By how much its `Date` may lie in the past: it is of the answer's making or of its repetition."""
        return max(self.longest, self.age)


def copy_of(headers: Mapping[str, str]) -> Copy:
    """An `Age` counts as told, a second up: it is rounded down. Without one the exchange's own header makes the answer
    as old as it may become. `max-age` alone is advice to caches and shows none."""
    control = headers.get("Cache-Control", "").lower()
    stated = [min(_LONGEST, float(each)) for each in _MAX_AGE.findall(control)]
    age = told_age(headers)
    if age is not None:
        longest = max([*stated, min(_LONGEST, age - 1)])
        return Copy(age, max(0.0, longest - age + 1), longest)
    if _HITS in headers and "no-store" not in control:
        longest = max(stated, default=_REPORTED)
        return Copy(longest, 0.0, longest)
    return Copy()


class KnownCache:
    """For how long a cache repeats answers, as far as those of the last minutes tell."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock`: a steady one, seconds."""
        self._clock = clock
        self._seconds, self._seen_at = 0.0, float("-inf")

    @property
    def seconds(self) -> float:
        """The longest of the last minutes; 0: no cache is known."""
        return self._seconds if self._clock() - self._seen_at < _SEEN_SECONDS else 0.0

    def shown(self, made: Made) -> None:
        """Take in an answer. One that is kept for less says nothing about the longest."""
        if made.longest > 0 and made.longest >= self.seconds:
            self._seconds, self._seen_at = made.longest, self._clock()
