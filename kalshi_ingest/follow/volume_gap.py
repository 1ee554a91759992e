"""The difference between the exchange's own volume of a market and the sum of its trades, and when it is explained.

Pure. Contracts are hundredths, moments seconds on the steady clock, those in `_us` the exchange's time in microseconds.
"""

import math
from dataclasses import dataclass

WHOLE_SECONDS = 60.0
"""Between two walks over everything that look for the same missing trades."""
_WHOLE_WALKS = 3
_STOOD_SECONDS = 300.0
"""A volume that exceeds its trades is attributed to the exchange's own books once the difference has stood still for so
long, over so many walks over everything, while other trades of the series were shown."""
_MOST = 0.02
"""And only up to this share of the volume. The one case recorded is 0.2 %."""


@dataclass(slots=True)
class Difference:
    """What the walks of one market say of it, a walk at a time.

    Trades may be missing because an answer is stale or lies: a difference that is new, grows or is large, pages that
    hold less than is stored, and a series none of whose trades move on explain nothing.
    """

    explained: int = 0
    """By how much the volume exceeds its trades (below 0: falls short of them) for good, as it seems."""
    before: int = 0
    """What the last walk left."""
    whole_at: float = -math.inf
    """When the last walk over everything ended."""
    _listed: int | None = None
    """The volume that the last walk knew."""
    _since: float = -math.inf
    """When a walk left the present difference first."""
    _since_us: int = 0
    _whole_walks: int = 0
    """Walks over everything since that found no more and were shown all that is stored."""

    def record_walk(self, deficit: int, listed: int | None, now: float, began_us: int) -> None:
        """A walk that began at `began_us` left this deficit against the volume `listed`."""
        if deficit != self.before:
            self._since, self._since_us, self._whole_walks = now, began_us, 0
        elif deficit < 0 and listed != self._listed:
            self.explained = deficit  # the volume goes with the trades, at a distance
        self.before, self._listed = deficit, listed

    def record_full_walk(self, now: float, *, whole: bool, alive_us: int) -> None:
        """That walk asked for everything; `whole`: its pages held all that is stored, `alive_us`: the newest trade of
        the series."""
        self.whole_at = now
        self._whole_walks += whole
        stood = self._whole_walks >= _WHOLE_WALKS and now - self._since >= _STOOD_SECONDS
        if stood and 0 < self.before <= (self._listed or 0) * _MOST and alive_us > self._since_us:
            self.explained = self.before

    def is_searched(self, deficit: int) -> bool:
        """Whether everything was asked for since the difference is this one."""
        return deficit == self.before and self.whole_at >= self._since
