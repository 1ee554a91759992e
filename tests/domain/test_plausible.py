"""The bounds of what can be: nothing honest lies outside them, nothing absurd inside."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pytest

from kalshi_ingest.domain import plausible
from kalshi_ingest.domain.plausible import cleaned, is_event_date, is_strike, market_moments, trade_moments
from kalshi_ingest.domain.tickers import check_market_ticker, event_date_of
from kalshi_ingest.errors import BadPayload
from tests.support import recorded

DAY = date(2025, 11, 14)
OPENS, CLOSES = datetime(2025, 11, 13, 15, tzinfo=UTC), datetime(2025, 11, 15, 5, 59, tzinfo=UTC)
ABSURD = [
    datetime.min.replace(tzinfo=UTC),
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(2020, 12, 31, tzinfo=UTC),
    datetime(2099, 1, 1, tzinfo=UTC),
    datetime.max.replace(tzinfo=UTC),
]


@pytest.mark.parametrize("moment", ABSURD, ids=str)
def test_an_absurd_moment_fits_no_market_and_no_trade(moment: datetime) -> None:
    first, last = market_moments(DAY)
    assert not first <= moment <= last
    for hours in ((OPENS, CLOSES), (moment, CLOSES), (OPENS, moment)):
        first, last = trade_moments(DAY, *hours)
        assert not first <= moment <= last


@pytest.mark.parametrize("moment", [*ABSURD, OPENS - timedelta(days=400), CLOSES + timedelta(days=400)], ids=str)
def test_a_wrong_row_of_the_market_never_makes_its_honest_trades_fail(moment: datetime) -> None:
    for hours in ((moment, CLOSES), (OPENS, moment), (moment, moment)):
        first, last = trade_moments(DAY, *hours)
        assert first <= OPENS < CLOSES <= last


def test_a_market_that_trades_for_years_may_do_so() -> None:
    listed = datetime(2023, 1, 10, tzinfo=UTC)
    first, last = trade_moments(DAY, listed, CLOSES)
    assert first <= listed < CLOSES <= last
    first, last = trade_moments(DAY, OPENS, OPENS + timedelta(days=200))
    assert last >= OPENS + timedelta(days=200)


@recorded.needs_recorded
def test_every_recorded_market_and_trade_lies_well_inside() -> None:
    trades = 0
    for _, day, body in recorded.events():
        for row in body["markets"]:
            opens, closes = (datetime.fromisoformat(row[name]) for name in ("open_time", "close_time"))
            check_market_ticker(row["ticker"], row["event_ticker"])
            assert event_date_of(row["ticker"]) == day
            first, last = market_moments(day)
            assert first + timedelta(days=365) <= opens < closes <= last - timedelta(days=365)
    for _, day, markets in recorded.trades():
        noon = datetime.combine(day, time(12), tzinfo=UTC)
        first, last = trade_moments(day, noon, noon)  # without any help of the market's row
        for rows in markets.values():
            for row in rows:
                created = datetime.fromisoformat(row["created_time"])
                assert first + timedelta(days=5) <= created <= last - timedelta(days=5)
                assert row["count"] * 100 * 1_000 < plausible.MOST_IN_A_TRADE
                trades += 1
    assert trades > 40_000


def test_event_dates() -> None:
    today = date(2026, 11, 27)
    assert all(is_event_date(day, today) for day in (date(2021, 8, 1), today, date(2031, 1, 1)))
    assert not any(is_event_date(day, today) for day in (date(2001, 1, 1), date(2020, 12, 31), date(2099, 1, 1)))


@pytest.mark.parametrize("text", ["0", "-0.5", "55.5", "80.0", "8E+1", "1000000000000", "0.000001", "-17"])
def test_numbers_that_are_strikes(text: str) -> None:
    assert is_strike(Decimal(text))


@pytest.mark.parametrize("text", ["1e308", "-1e308", "5e-324", "1E+13", "0.0000001", "NaN", "Infinity", "-Infinity"])
def test_numbers_that_are_no_strikes(text: str) -> None:
    assert not is_strike(Decimal(text))


@pytest.mark.parametrize(
    "ticker",
    [
        *("", " ", "KXHIGHCHI", "../../../etc/passwd", "<img src=x>", "a,b,c", "KXHIGHMIA-25NOV14-B55.5"),
        *("KXHIGHCHI-25NOV14-", "KXHIGHCHI-25NOV141", "KXHIGHCHI-25NOV14-B55.5\0", "KXHIGHCHI-25NOV14-B\x1b[2J"),
        *("KXHIGHCHI-25NOV14-B55.5\n", "KXHIGHCHI-25NOV14-\u202eB", "KXHIGHCHI-25NOV14-B 5", "kxhighchi-25nov14-b55.5"),
        "KXHIGHCHI-25NOV14-" + "B" * 1_000_000,
    ],
    ids=lambda ticker: repr(ticker[:40]),
)
def test_a_ticker_that_is_not_its_events_is_refused(ticker: str) -> None:
    with pytest.raises(BadPayload, match="is not 'KXHIGHCHI-25NOV14', its event") as refused:
        check_market_ticker(ticker, "KXHIGHCHI-25NOV14")
    assert len(str(refused.value)) < 300
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("ticker", "event"),
    [
        ("KXHIGHCHI-25NOV14-B55.5", "KXHIGHCHI-25NOV14"),
        ("HIGHCHI-24JAN14-T-1", "HIGHCHI-24JAN14"),
        ("HIGHCHI-2-24FEB28-B45.5", "HIGHCHI-2-24FEB28"),
        ("HIGHMIA--23MAY11-B88.5", "HIGHMIA--23MAY11"),
        ("KXFED-25DEC10", "KXFED-25DEC10"),
        ("KXGAME-25JAN10-BOS-2", "KXGAME-25JAN10"),
    ],
)
def test_tickers_as_they_are(ticker: str, event: str) -> None:
    check_market_ticker(ticker, event)
    assert event_date_of(ticker) == event_date_of(event) is not None


@pytest.mark.parametrize("ticker", [None, 5, [], "", "test_7d2f", "KXHIGHCHI-25NOV31", "KXHIGHCHI-25NOV145"])
def test_what_tells_no_date(ticker: object) -> None:
    assert event_date_of(ticker) is None


def test_a_text_keeps_all_but_control_characters() -> None:
    assert cleaned("84°F: Überraschung 東京\n\tnext") == "84°F: Überraschung 東京\n\tnext"
    assert cleaned("a\0b\x1b[31mc\x9bd\u202ee\u2066f\rg\x7f") == "ab[31mcdefg"
