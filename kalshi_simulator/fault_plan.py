"""Decides which request meets which fault."""

from __future__ import annotations

from collections import Counter
from itertools import accumulate

from kalshi_simulator.faults import Faults
from kalshi_simulator.seeds import stream
from kalshi_simulator.stats import Stats

_RANDOM = {
    "error_500": 4,
    "error_500_html": 2,
    "error_502": 3,
    "error_503": 3,
    "error_503_html": 2,
    "too_many": 2,
    "cut": 3,
    "cut_body": 2,
    "slow_body": 1,
    "truncated_json": 2,
    "html_200": 1,
}
_KINDS = tuple(_RANDOM)
_WEIGHTS = tuple(accumulate(_RANDOM.values()))


class FaultPlan:
    """Random and targeted faults; counts what was committed."""

    def __init__(self, faults: Faults, stats: Stats) -> None:
        self.faults = faults
        self._stats = stats
        self._rng = stream(faults.seed, "faults")
        self._fired: Counter[str] = Counter()

    def random_kind(self) -> str | None:
        """The transport fault of the next request, or None for a good answer."""
        if self.faults.error_rate <= 0 or self._rng.random() >= self.faults.error_rate:
            return None
        return self._rng.choices(_KINDS, cum_weights=_WEIGHTS)[0]

    def targeted(self, ticker: str | None) -> str | None:
        """The fault that a ticker's trades still have to show."""
        kind = self.faults.targeted.get(ticker) if ticker is not None else None
        if kind is None or ticker is None:
            return None
        allowed = 1 if kind == "short_answer" and self.faults.times is None else self.faults.times
        return None if allowed is not None and self._fired[ticker] >= allowed else kind

    def commit(self, kind: str, ticker: str | None = None) -> None:
        """A fault was really shown; only then does it count."""
        self._stats.faults[kind.partition(":")[0]] += 1
        if ticker is not None:
            self._fired[ticker] += 1
