"""The report of a load: rows per city, what was left out, and what to do about it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from kalshi_ingest.archive.queries.contradicted import Contradicted
from kalshi_ingest.archive.queries.load import Loaded
from kalshi_ingest.domain.cities import CITIES
from kalshi_ingest.ingest.run_log import Entry
from kalshi_ingest.postgres.ingestion_log import SeriesCount
from kalshi_ingest.text_table import table

_NAMED = 20
"""Contradicted markets of a city that are shown; `status --run` and `coverage` name the others."""
_CITIES = frozenset(city.key for city in CITIES)


@dataclass(slots=True)
class LoadResult:
    loaded: dict[str, Loaded] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    """City → why nothing of it was written."""

    def as_text(self) -> str:
        rows = [
            (label, city.markets, city.trades, city.candles_1m, city.candles_5m, city.proved)
            for label, city in self.loaded.items()
        ]
        sums = [sum(column) for column in list(zip(*rows, strict=True))[1:]]
        header = ("city", "new markets", "new trades", "new 1m", "new 5m", "newly proved")
        parts = [table(header, rows, total=("total", *sums))] if rows else []
        for label, city in self.loaded.items():
            parts += _contradictions(label, city.contradicted)
        if self.failed:
            parts += ["\nnot loaded (nothing of it was written):"]
            parts += [f"  {label}: {reason}" for label, reason in self.failed.items()]
        return "\n".join(parts)

    @property
    def whole(self) -> bool:
        return not self.failed and not any(city.contradicted for city in self.loaded.values())


def _contradictions(label: str, markets: Sequence[Contradicted]) -> Iterator[str]:
    if markets:
        yield f"\n{label}: markets in which the archive contradicts the database or itself (nothing of them was taken):"
    for market in markets[:_NAMED]:
        kept = "what the database holds is proved and stays" if market.proved else "the exchange has to decide"
        yield f"  {market.ticker}: trade {market.trade_id} has other values; {kept}"
    if len(markets) > _NAMED:
        yield f"  and {len(markets) - _NAMED:,} more"
    days = [market.event_date for market in markets if not market.proved]
    if days:
        option = "--city" if label in _CITIES else "--series"
        yield f"To ask the exchange: kalshi-ingest backfill --start {min(days)} --end {max(days)} {option} {label}"


def entries_of(loaded: Loaded, series_tickers: Sequence[str]) -> dict[str, Entry]:
    """For the ingestion log: partial when nothing of some markets was taken.

    An archive's city is one series, the first of `series_tickers`, and what it counts is that series'.
    """
    failed = {each.ticker: f"the archive has trade {each.trade_id} with other values" for each in loaded.contradicted}
    partial = None
    if failed:
        first, reason = next(iter(failed.items()))
        partial = f"{len(failed)} markets contradict the archive; the first: {first}: {reason}"
    entries = {ticker: Entry(failed=failed, partial=partial) for ticker in series_tickers}
    counts = SeriesCount(loaded.markets, loaded.trades, loaded.candles_1m, loaded.candles_5m)
    return entries | {series_tickers[0]: Entry(counts, failed, partial=partial)}
