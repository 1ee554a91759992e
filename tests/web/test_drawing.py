"""Words, numbers and scales: exact up to the drawing, round on the clock of the city."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from kalshi_ingest.web.formatting import age, bin_name, cents, moment, outcome, plain
from kalshi_ingest.web.pace import RecentPace
from kalshi_ingest.web.queries import HeldBin, HeldCandle
from kalshi_ingest.web.scales import PriceScale, TimeScale

CHICAGO = ZoneInfo("America/Chicago")


def candle(start: datetime, low: str, high: str, minutes: int = 5) -> HeldCandle:
    return HeldCandle(
        start,
        start + timedelta(minutes=minutes),
        Decimal(low),
        Decimal(high),
        Decimal(low),
        Decimal(high),
        Decimal(1),
        1,
    )


def market(strike: str | None, floor: str | None = None, cap: str | None = None, **changes: str | None) -> HeldBin:
    return HeldBin(
        ticker="KXHIGHCHI-25JUL20-B81.5",
        event_ticker="KXHIGHCHI-25JUL20",
        series_ticker="KXHIGHCHI",
        event_date=date(2025, 7, 20),
        title=changes.get("title") or "",
        strike_type=strike,
        floor_strike=Decimal(floor) if floor else None,
        cap_strike=Decimal(cap) if cap else None,
        status=changes.get("status") or "open",
        result=changes.get("result"),
        settlement_value=Decimal(value) if (value := changes.get("settlement_value")) else None,
        contracts=None,
        last_price=None,
        last_trade_at=None,
    )


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-3, "0.0 s"),
        (0.44, "0.4 s"),
        (12.4, "12 s"),
        (119, "119 s"),
        (121, "2 min"),
        (7100, "118 min"),
        (7200, "2 h"),
        (7500, "2 h 5 min"),
        (172800, "2 days"),
        (200000, "2 days 7 h"),
    ],
)
def test_ages(seconds: float, said: str) -> None:
    assert age(seconds) == said


def test_prices_and_counts_are_exact() -> None:
    assert cents(Decimal("0.410000")) == "41 ¢"
    assert cents(Decimal("0.415000")) == "41.5 ¢"
    assert cents(Decimal("0.000001")) == "0.0001 ¢"
    assert cents(Decimal("1.000000")) == "100 ¢"
    assert plain(Decimal("1234567890123.10")) == "1,234,567,890,123.1"
    assert plain(Decimal("100.00")) == "100"
    assert plain(Decimal("0.00")) == "0"


@pytest.mark.parametrize(
    ("held", "name"),
    [
        (market("between", "43", "44"), "43 to 44°"),
        (market("between", "-2", "-1"), "-2 to -1°"),
        (market("less", cap="43"), "≤ 42°"),
        (market("less", cap="43.5"), "< 43.5°"),
        (market("greater", "80"), "≥ 81°"),
        (market("greater", "80.5"), "> 80.5°"),
        (market(None, title="Will it rain?"), "Will it rain?"),
        (market("structured"), "KXHIGHCHI-25JUL20-B81.5"),
    ],
)
def test_bins_by_what_is_in_them(held: HeldBin, name: str) -> None:
    assert bin_name(held) == name


def test_what_became_of_a_market() -> None:
    assert outcome(market(None)) == "open"
    assert outcome(market(None, status="settled", result="yes", settlement_value="1")) == "yes"
    assert outcome(market(None, status="settled", result="scalar", settlement_value="0.4")) == "scalar 40 ¢"


def test_a_moment_of_another_day_names_the_day() -> None:
    now = datetime(2025, 7, 20, 4, 30, tzinfo=UTC)  # still the 19th in Chicago
    assert moment(datetime(2025, 7, 20, 4, 29, 5, tzinfo=UTC), CHICAGO, now) == "23:29:05 CDT"
    assert moment(datetime(2025, 7, 19, 4, 29, 5, tzinfo=UTC), CHICAGO, now) == "Fri 18 Jul 23:29:05 CDT"


@pytest.mark.parametrize(
    ("low", "high", "bottom", "top"),
    [
        ("0.38", "0.61", "35", "65"),
        ("0.01", "0.99", "0", "100"),
        ("0.50", "0.50", "46", "54"),
        ("0.01", "0.01", "0", "4"),
        ("1", "1", "96", "100"),
    ],
)
def test_the_price_scale_is_round_and_stays_within_a_dollar(low: str, high: str, bottom: str, top: str) -> None:
    scale = PriceScale.of([candle(datetime(2025, 7, 20, tzinfo=UTC), low, high)])
    assert (scale.low, scale.high) == (Decimal(bottom), Decimal(top))
    assert 0 <= scale.share(Decimal(high)) <= scale.share(Decimal(low)) <= 1
    assert 3 <= len(list(scale.ticks())) <= 8


def test_times_are_round_on_the_citys_clock_on_a_day_of_25_hours() -> None:
    start = datetime(2025, 11, 2, 4, 40, tzinfo=UTC)
    scale = TimeScale.of([candle(start, "0.1", "0.2"), candle(start + timedelta(hours=26), "0.1", "0.2")])
    named = [(f"{when:%H:%M}", name) for when, name in scale.ticks(CHICAGO)]
    assert named == [
        ("05:00", "Sun 2 Nov"),
        ("12:00", "06:00"),
        ("18:00", "12:00"),
        ("00:00", "18:00"),
        ("06:00", "Mon 3 Nov"),
    ]


def test_a_single_candle_does_not_fill_the_chart() -> None:
    scale = TimeScale.of([candle(datetime(2025, 7, 20, 12, tzinfo=UTC), "0.1", "0.2")])
    assert scale.last - scale.first == timedelta(hours=3)
    assert scale.share(scale.first) == 0
    assert scale.share(scale.last) == 1


def test_the_pace_is_of_the_last_minute() -> None:
    pace = RecentPace()
    assert pace.per_second is None
    for second in range(0, 200, 2):
        pace.note(float(second), 1000 + second * (50 if second < 100 else 3))
    assert pace.per_second == 3
