"""A market as a walk has to know it, told from its ticker alone."""

from datetime import UTC, datetime, time, timedelta

from kalshi_ingest.domain.model import Unit
from kalshi_ingest.domain.tickers import parse_market_ticker


def unit_of(ticker: str) -> Unit:
    """A settled market that trades from the day before its event date until the day after."""
    parsed = parse_market_ticker(ticker)
    noon = datetime.combine(parsed.event_date, time(12), tzinfo=UTC)
    series = parsed.event_ticker.partition("-")[0]
    day = timedelta(days=1)
    return Unit(ticker, series, parsed.event_date, noon - day, noon + day, True, None)
