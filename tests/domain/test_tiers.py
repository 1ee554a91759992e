"""Which tiers are asked."""

from datetime import UTC, date, datetime, timedelta

import pytest

from kalshi_ingest.domain.model import Cutoff, Tier, Unit, tiers_of

BORDER = datetime(2026, 7, 4, tzinfo=UTC)
INSTANT = timedelta(microseconds=1)
HOUR = timedelta(hours=1)


def unit(open_time: datetime, close_time: datetime) -> Unit:
    return Unit("KXHIGHCHI-26JUL04-B80.5", "KXHIGHCHI", date(2026, 7, 4), open_time, close_time, True, 0)


@pytest.mark.parametrize(
    ("opens", "closes", "expected"),
    [
        (BORDER, BORDER + HOUR, (Tier.LIVE,)),
        (BORDER - INSTANT, BORDER + HOUR, (Tier.LIVE, Tier.HISTORICAL)),
        (BORDER - HOUR, BORDER, (Tier.LIVE, Tier.HISTORICAL)),
        (BORDER - HOUR, BORDER - INSTANT, (Tier.HISTORICAL,)),
    ],
)
def test_a_tier_is_asked_when_a_trade_of_the_markets_life_can_lie_in_it(
    opens: datetime, closes: datetime, expected: tuple[Tier, ...]
) -> None:
    # Trades decide, not settlement: the markets' own border is far away here.
    assert tiers_of(unit(opens, closes), Cutoff(markets=BORDER + 100 * HOUR, trades=BORDER)) == expected


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        (BORDER - INSTANT, (Tier.LIVE, Tier.HISTORICAL)),
        (BORDER, (Tier.LIVE,)),
        (BORDER + HOUR, (Tier.LIVE,)),
        (BORDER - 3 * HOUR, (Tier.LIVE, Tier.HISTORICAL)),
    ],
)
def test_only_what_was_created_since_decides_where_the_beginning_is_held(
    since: datetime, expected: tuple[Tier, ...]
) -> None:
    market = unit(BORDER - 2 * HOUR, BORDER + 2 * HOUR)
    assert tiers_of(market, Cutoff(markets=BORDER, trades=BORDER), since) == expected


def test_a_market_that_closed_before_the_border_is_historical_whatever_is_asked_for() -> None:
    market = unit(BORDER - 2 * HOUR, BORDER - HOUR)
    cutoff = Cutoff(markets=BORDER, trades=BORDER)
    assert tiers_of(market, cutoff, BORDER - 90 * timedelta(minutes=1)) == (Tier.HISTORICAL,)
    late = unit(BORDER + HOUR, BORDER + 2 * HOUR)
    assert tiers_of(late, cutoff, BORDER - HOUR) == (Tier.LIVE,), "its first trade cannot be older than it"
