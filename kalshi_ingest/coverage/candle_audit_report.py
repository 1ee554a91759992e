"""What an audit found, for a person and as JSON."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from kalshi_ingest.domain.audit import CANDLE, Comparison, Difference
from kalshi_ingest.domain.model import Tier, to_datetime

_LISTED = 20


@dataclass(frozen=True, slots=True)
class Audited:
    ticker: str
    series_ticker: str
    tier: Tier
    comparison: Comparison


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The outcome of an audit; markets are in order of their tickers."""

    asked: int
    seed: int
    eligible: int
    """Markets that the sample was taken from: complete ones with trades."""
    audited: Sequence[Audited]
    not_audited: Sequence[tuple[str, str]]
    """(ticker, why the exchange's candles could not be had)."""
    requests: int

    @property
    def minutes(self) -> int:
        """Minutes compared: those that either side calls traded."""
        return sum(market.comparison.minutes for market in self.audited)

    @property
    def equal(self) -> int:
        return sum(market.comparison.equal for market in self.audited)

    @property
    def passed(self) -> bool:
        """True when something was compared, nothing differs, and no market of the sample was left out."""
        return self.minutes > 0 and self.equal == self.minutes and not self.not_audited

    def differences(self) -> Iterator[tuple[str, Difference]]:
        """(ticker, difference), by ticker and time."""
        for market in self.audited:
            for difference in market.comparison.differences:
                yield market.ticker, difference

    def as_dict(self) -> dict[str, object]:
        """For JSON: every difference, numbers as exact decimal strings, minutes in UTC."""
        return {
            "passed": self.passed,
            "asked": self.asked,
            "seed": self.seed,
            "eligible": self.eligible,
            "markets": len(self.audited),
            "markets_by_tier": dict(sorted(self._by_tier().items())),
            "markets_by_series": dict(sorted(Counter(market.series_ticker for market in self.audited).items())),
            "minutes": self.minutes,
            "equal": self.equal,
            "differences": [_as_dict(ticker, difference) for ticker, difference in self.differences()],
            "not_audited": [{"ticker": ticker, "reason": reason} for ticker, reason in self.not_audited],
            "requests": self.requests,
        }

    def as_text(self) -> str:
        """For a person: the counts, and the first twenty of what is wrong."""
        if not self.audited and not self.not_audited:
            return "Candles against the exchange's own: no complete market with trades to compare."
        tiers = self._by_tier()
        lines = [
            f"Candles against the exchange's own, seed {self.seed}: {len(self.audited):,} of {self.eligible:,} "
            f"complete markets with trades ({tiers['live']:,} live, {tiers['historical']:,} historical), "
            f"{self.minutes:,} traded minutes compared, {self.equal:,} equal."
        ]
        found = [_in_words(ticker, difference) for ticker, difference in self.differences()]
        lines += _listed("differences", found)
        lines += _listed("not audited", [f"{ticker}: {reason}" for ticker, reason in self.not_audited])
        return "\n".join(lines)

    def _by_tier(self) -> Counter[str]:
        return Counter(market.tier.value for market in self.audited)


def _listed(what: str, items: Sequence[str]) -> list[str]:
    if not items:
        return []
    cut = f", the first {_LISTED}" if len(items) > _LISTED else ""
    return [f"{what} ({len(items):,}{cut}):", *(f"  {item}" for item in items[:_LISTED])]


def _in_words(ticker: str, difference: Difference) -> str:
    ours, theirs = _value(difference, difference.ours), _value(difference, difference.theirs)
    where = f"{ticker} {to_datetime(difference.start_us):%Y-%m-%d %H:%M}"
    if difference.field != CANDLE:
        return f"{where}: {difference.field} is {ours} here, {theirs} there"
    if ours is None:
        return f"{where}: no candle here, {theirs} contracts there"
    return f"{where}: {ours} contracts here, no trade there"


def _as_dict(ticker: str, difference: Difference) -> dict[str, object]:
    return {
        "ticker": ticker,
        "minute": to_datetime(difference.start_us).isoformat(),
        "field": difference.field,
        "ours": _value(difference, difference.ours),
        "theirs": _value(difference, difference.theirs),
    }


def _value(difference: Difference, number: int | None) -> str | None:
    """Dollars for a price, contracts for a volume and for a whole candle."""
    if number is None:
        return None
    return str(Decimal(number).scaleb(-2 if difference.field in (CANDLE, "volume") else -6))
