"""Which candles the pages of a walk allow to be written."""

from datetime import UTC, date, datetime

from kalshi_ingest.domain.model import Tier, Unit
from kalshi_ingest.domain.walk import Walk
from kalshi_ingest.exchange.caching import Made
from kalshi_ingest.ingest.page_age import PageAge

DAY = date(2025, 7, 1)
AT_US = 1_751_371_200_000_000


def closed(*pages: Made | None, settled: bool = False) -> int | None:
    """The moment up to which candles may be written after these pages of a market."""
    opens, closes = datetime(2025, 6, 30, 14, tzinfo=UTC), datetime(2025, 7, 2, 4, 59, tzinfo=UTC)
    unit = Unit("KXHIGHCHI-25JUL01-B85.5", "KXHIGHCHI", DAY, opens, closes, settled, None)
    walk = Walk(unit, [Tier.LIVE], None)
    shown = PageAge(walk, None)
    for made in pages:
        shown.take(walk, made)
    return shown.closed_us


def test_a_candle_waits_for_two_seconds_after_its_end_and_for_the_oldest_page() -> None:
    assert closed(Made(AT_US)) == AT_US - 2_000_000
    assert closed(Made(AT_US), Made(AT_US - 60_000_000), Made(AT_US)) == AT_US - 62_000_000


def test_without_an_answer_no_candle_may_be_written() -> None:
    assert closed(None) == 0


def test_of_a_settled_market_every_candle_may_be_written() -> None:
    assert closed(Made(AT_US), settled=True) is None
