from datetime import date
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kalshi_ingest.domain.tickers import (
    EventTicker,
    MarketTicker,
    event_ticker,
    parse_event_ticker,
    parse_market_ticker,
)
from kalshi_ingest.errors import BadPayload
from tests.support import recorded

SERIES = st.sampled_from(["KXHIGHCHI", "HIGHCHI", "HIGHCHI-2", "HIGHMIA-", "KXLOWTCHI", "KXHIGHTATL", "A1"])
DATES = st.dates(date(2021, 1, 1), date(2030, 12, 31))
NUMBERS = st.integers(-600, 1500).map(lambda tenths: Decimal(tenths) / 10)
ALMOST = st.text(st.sampled_from("KXHIGHCI-BT0123456789.NOVFEB\n\u0662 "), max_size=30)


@pytest.mark.parametrize(
    ("ticker", "parts"),
    [
        ("KXHIGHCHI-25NOV14", EventTicker("KXHIGHCHI", date(2025, 11, 14))),
        ("HIGHNY-21AUG06", EventTicker("HIGHNY", date(2021, 8, 6))),
        ("HIGHCHI-2-24FEB28", EventTicker("HIGHCHI-2", date(2024, 2, 28))),
        ("HIGHMIA--23MAY11", EventTicker("HIGHMIA-", date(2023, 5, 11))),
        ("KXLOWTCHI-26JAN28", EventTicker("KXLOWTCHI", date(2026, 1, 28))),
        ("KXHIGHCHI-24FEB29", EventTicker("KXHIGHCHI", date(2024, 2, 29))),
    ],
)
def test_events(ticker: str, parts: EventTicker) -> None:
    assert parse_event_ticker(ticker) == parts


@pytest.mark.parametrize(
    ("ticker", "event", "day", "kind", "number"),
    [
        ("KXHIGHCHI-25NOV14-B55.5", "KXHIGHCHI-25NOV14", date(2025, 11, 14), "B", "55.5"),
        ("KXHIGHCHI-25NOV14-T62", "KXHIGHCHI-25NOV14", date(2025, 11, 14), "T", "62"),
        ("HIGHCHI-24JAN14-T-1", "HIGHCHI-24JAN14", date(2024, 1, 14), "T", "-1"),
        ("HIGHCHI-24JAN14-B-0.5", "HIGHCHI-24JAN14", date(2024, 1, 14), "B", "-0.5"),
        ("HIGHCHI-2-24FEB28-B54.5", "HIGHCHI-2-24FEB28", date(2024, 2, 28), "B", "54.5"),
        ("HIGHMIA--23MAY11-T89", "HIGHMIA--23MAY11", date(2023, 5, 11), "T", "89"),
        ("HIGHNY-21AUG06", "HIGHNY-21AUG06", date(2021, 8, 6), None, None),
        ("KXOTHER-26JAN28-BOS", "KXOTHER-26JAN28", date(2026, 1, 28), None, None),
    ],
)
def test_markets(ticker: str, event: str, day: date, kind: str | None, number: str | None) -> None:
    parsed = parse_market_ticker(ticker)
    assert (parsed.event_ticker, parsed.event_date, parsed.kind) == (event, day, kind)
    assert parsed.number == (None if number is None else Decimal(number))


@pytest.mark.parametrize(
    "ticker",
    [
        "",
        "KXHIGHCHI",
        "KXHIGHCHI-",
        "test_9f1c2a4e-2b61-4f0e-9a52-1d5f0f7f6a11",
        "KXHIGHCHI-25FEB30",
        "KXHIGHCHI-25FEB29",
        "KXHIGHCHI-25NOV00",
        "KXHIGHCHI-25XYZ14",
        "KXHIGHCHI-25nov14",
        "KXHIGHCHI-25NOV1",
        "KXHIGHCHI-25NOV14\n",
        " KXHIGHCHI-25NOV14",
        "KXHIGHCHI-\u0662\u0665NOV14",
        "KXHIGHCHI-X-25NOV14",
        "-25NOV14",
        "KXBTCD-25FEB1417",
    ],
)
def test_what_is_no_event_ticker_is_refused(ticker: str) -> None:
    with pytest.raises(BadPayload, match="ticker"):
        parse_event_ticker(ticker)
    with pytest.raises(BadPayload, match="ticker"):
        parse_market_ticker(ticker)


@pytest.mark.parametrize("ending", ["-", "-T-", "-T--1", "-B5-5", "-T1-T2", "-t62", "-T62 ", "-T1e\u0663"])
def test_what_is_no_market_ticker_is_refused(ending: str) -> None:
    with pytest.raises(BadPayload, match="SERIES-YYMMMDD"):
        parse_market_ticker("KXHIGHCHI-25NOV14" + ending)


def test_a_huge_number_is_no_number() -> None:
    assert parse_market_ticker("KXHIGHCHI-25NOV14-T99999999999").kind is None


def test_the_message_stays_short() -> None:
    with pytest.raises(BadPayload) as caught:
        parse_event_ticker("x" * 100_000)
    assert len(str(caught.value)) < 200


@given(SERIES, DATES)
def test_events_come_back_as_written(series_part: str, day: date) -> None:
    assert parse_event_ticker(event_ticker(series_part, day)) == EventTicker(series_part, day)


@given(SERIES, DATES, st.sampled_from("BT"), NUMBERS)
def test_markets_come_back_as_written(series_part: str, day: date, kind: str, number: Decimal) -> None:
    event = event_ticker(series_part, day)
    parsed = parse_market_ticker(f"{event}-{kind}{number}")
    assert (parsed.event_ticker, parsed.event_date, parsed.kind, parsed.number) == (event, day, kind, number)


@given(st.one_of(st.text(), ALMOST, st.tuples(SERIES, ALMOST).map("-".join)))
@example("KXHIGHCHI-25FEB30")
@example("KXHIGHCHI-25FEB30-T4")
def test_nothing_but_bad_payload_is_raised(ticker: str) -> None:
    try:
        event = parse_event_ticker(ticker)
        assert event_ticker(event.series_part, event.event_date) == ticker
    except BadPayload:
        pass
    try:
        market = parse_market_ticker(ticker)
        assert isinstance(market, MarketTicker)
        assert ticker.startswith(market.event_ticker)
    except BadPayload:
        pass


@recorded.needs_recorded
def test_every_recorded_ticker_carries_the_day_it_was_filed_under() -> None:
    for _, day, by_market in recorded.trades():
        for ticker in by_market:
            parsed = parse_market_ticker(ticker)
            assert parsed.event_date == day
            assert parsed.kind is not None
            assert parse_event_ticker(parsed.event_ticker).event_date == day
    for _, day, body in recorded.events():
        assert parse_event_ticker(body["event"]["event_ticker"]).event_date == day
