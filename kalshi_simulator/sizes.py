"""How many contracts the trades of a market are for: one long roll of counts that every market enters elsewhere.

Markets that share a template share the times of day and the prices of their trades. Their counts are their own, so no
two of them list the same trades, and it costs neither memory nor time: a page is a slice of the roll.
"""

from __future__ import annotations

from array import array
from functools import cache

from kalshi_simulator.seeds import stream
from kalshi_simulator.wire import count_text

LENGTH = 32_768
"""Counts on the roll; behind the last one the first follows again."""


class SizeRoll:
    """Counts in hundredths of a contract: median about 22 contracts, long tail, about half with a fraction."""

    def __init__(self) -> None:
        rng = stream("sizes of trades")
        counts = [max(1, int(100 * rng.lognormvariate(3.1, 1.5))) for _ in range(LENGTH)]
        counts = [count if rng.random() < 0.49 else max(100, count - count % 100) for count in counts]
        self._texts = [count_text(count).encode() for count in counts]
        self._sums = array("q", [0])
        for count in counts:
            self._sums.append(self._sums[-1] + count)

    def texts(self, start: int, stop: int) -> list[bytes]:
        """The counts from place `start` up to `stop` (exclusive), as the exchange writes them."""
        place, wanted = start % LENGTH, stop - start
        found = self._texts[place : place + wanted]
        while len(found) < wanted:
            found += self._texts[: wanted - len(found)]
        return found

    def volume(self, start: int, stop: int) -> int:
        """Their sum, hundredths of a contract."""
        return self._until(stop) - self._until(start)

    def _until(self, place: int) -> int:
        rounds, rest = divmod(place, LENGTH)
        return rounds * self._sums[-1] + self._sums[rest]


@cache
def size_roll() -> SizeRoll:
    """The roll, made once per process."""
    return SizeRoll()
