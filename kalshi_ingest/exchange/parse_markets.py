"""Series, events, markets and the cutoff, from decoded JSON to records; a missing field is an error that names it."""

import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

from kalshi_ingest.domain.model import Cutoff, Event, Market, MarketSnapshot, Series, Tier
from kalshi_ingest.domain.plausible import (
    EXCHANGE_BEGAN,
    LARGEST_ROW,
    LONGEST_TEXT,
    SLACK,
    cleaned,
    is_strike,
    market_moments,
)
from kalshi_ingest.domain.tickers import check_market_ticker, parse_event_ticker
from kalshi_ingest.errors import BadPayload
from kalshi_ingest.exchange.parse_trades import count, moment, price

STATUSES: Mapping[str, str] = {
    "initialized": "unopened",
    "active": "open",
    "inactive": "paused",
    "closed": "closed",
    "determined": "closed",
    "disputed": "closed",
    "amended": "closed",
    "finalized": "settled",
}
"""The wire's status words and the filter words they fall under: two vocabularies in one API."""

# An even number of backslashes before it, else the backslash is itself escaped and the rest is plain text.
_ESCAPED_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


def series(row: object, ticker: str) -> Series:
    """The series of GET /series/{ticker}."""
    fields = _Fields(row, f"series {ticker}")
    if fields.text("ticker") != ticker:
        raise BadPayload(f"asked for series {ticker}, the answer is about {fields.text('ticker')!r:.60}")
    sources = fields.get("settlement_sources")
    if sources is not None and not isinstance(sources, list):
        raise BadPayload(f"series {ticker}: settlement_sources is {sources!r:.60}, not a list")
    return Series(
        ticker=ticker,
        title=fields.text("title"),
        category=fields.text("category"),
        frequency=fields.text("frequency"),
        settlement_sources=None if sources is None else tuple(_source(source, ticker) for source in sources),
        raw=fields.raw(),
    )


def event(row: object, series_ticker: str) -> Event:
    """One event of a list that was asked for `series_ticker`; its date comes from its ticker."""
    fields = _Fields(row, "an event", "event_ticker")
    ticker = fields.text("event_ticker")
    event_date = parse_event_ticker(ticker).event_date
    if fields.text("series_ticker") != series_ticker:
        raise BadPayload(
            f"asked for series {series_ticker}, got event {ticker} of {fields.text('series_ticker')!r:.60}"
        )
    return Event(
        ticker=ticker,
        series_ticker=series_ticker,
        event_date=event_date,
        title=fields.text("title"),
        raw=fields.raw(without="markets"),
    )


def market(row: object, tier: Tier = Tier.LIVE) -> Market:
    """One market of a list of `tier`; whether it belongs to the series asked for is the plan's to check.

    Raises `BadPayload`, naming market and field, for a broken contract and for what cannot be (`domain.plausible`).
    The historical tier says "0.00" for every market's open interest. That is no statement, so it counts as none.
    """
    fields = _Fields(row, "a market", "ticker")
    ticker = fields.text("ticker")
    event_ticker = fields.text("event_ticker")
    event_date = parse_event_ticker(event_ticker).event_date
    check_market_ticker(ticker, event_ticker)
    api_status = fields.text("status")
    if api_status not in STATUSES:
        raise BadPayload(f"market {ticker}: status is {api_status!r:.60}, expected one of {', '.join(STATUSES)}")
    return Market(
        ticker=ticker,
        event_ticker=event_ticker,
        event_date=event_date,
        title=fields.text("title", default=""),
        subtitle=fields.text("yes_sub_title", default="") or fields.text("subtitle", default=""),
        strike_type=fields.word("strike_type"),
        floor_strike=fields.strike("floor_strike"),
        cap_strike=fields.strike("cap_strike"),
        open_time=fields.moment("open_time", event_date),
        close_time=fields.moment("close_time", event_date),
        settled_at=fields.moment("settlement_ts", event_date) if fields.get("settlement_ts") is not None else None,
        status=STATUSES[api_status],
        api_status=api_status,
        result=fields.word("result"),
        settlement_value=fields.price("settlement_value_dollars"),
        expiration_value=fields.text("expiration_value", default="") or None,
        volume=fields.count("volume_fp"),
        open_interest=_contracts(fields.count("open_interest_fp")) if tier is Tier.LIVE else None,
        last_price=fields.price("last_price_dollars"),
        rules_primary=fields.text("rules_primary", default=""),
        raw=fields.raw(),
    )


def market_snapshot(row: object) -> MarketSnapshot:
    """How far one market has got, from its row."""
    fields = _Fields(row, "a market", "ticker")
    return MarketSnapshot(fields.text("status"), fields.count("volume_fp"))


def cutoff(row: object, now: datetime) -> Cutoff:
    """The border between the tiers, of GET /historical/cutoff; `now` at the exchange: it does not lie after that."""
    fields = _Fields(row, "the historical cutoff")
    found = Cutoff(markets=fields.moment("market_settled_ts"), trades=fields.moment("trades_created_ts"))
    for field, value in (("market_settled_ts", found.markets), ("trades_created_ts", found.trades)):
        if value > now + SLACK:
            raise BadPayload(f"the historical cutoff: {field}: {value.isoformat()} lies in the future")
    return found


_WORD = re.compile(r"[a-z][a-z_]{0,39}", re.ASCII)
_LONGEST_NUMBER = 40


class _Fields:
    """One JSON object, read field by field; every error says what the object is and which field is wrong."""

    def __init__(self, row: object, what: str, name: str = "") -> None:
        """`name`: the field whose text tells which one of its kind it is."""
        if not isinstance(row, dict):
            raise BadPayload(f"{what} is not an object but a {type(row).__name__}")
        self._row: dict[str, Any] = row
        told = row.get(name)
        self.what = f"{what.partition(' ')[2]} {cleaned(told[:80])}" if isinstance(told, str) else what
        # Before anything shows a value: what is nested too deeply cannot be shown either.
        self._json = self._written(row)

    def get(self, field: str) -> Any:
        return self._row.get(field)

    def text(self, field: str, default: str | None = None) -> str:
        value = self._row.get(field)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            raise BadPayload(
                f"{self.what} has no {field}" if value is None else f"{self.what}: {field} is {value!r:.60}, not a text"
            )
        if len(value) > LONGEST_TEXT:
            raise BadPayload(f"{self.what}: {field} is a text of {len(value):,} characters")
        return cleaned(value)

    def word(self, field: str) -> str | None:
        """One lower-case word of the API's vocabulary, be it a new one; None for an empty or absent one."""
        value = self.text(field, default="")
        if value and _WORD.fullmatch(value) is None:
            raise BadPayload(f"{self.what}: {field} is {value!r:.60}, not one word")
        return value or None

    def moment(self, field: str, event_date: date | None = None) -> datetime:
        """A moment since the exchange began; of a market, one that its `event_date` allows."""
        earliest, latest = (EXCHANGE_BEGAN, None) if event_date is None else market_moments(event_date)
        try:
            found = moment(self._required(field))
        except BadPayload as error:
            raise BadPayload(f"{self.what}: {field}: {error}") from None
        if found < earliest or (latest is not None and found > latest):
            raise BadPayload(f"{self.what}: {field}: {found.isoformat()} is impossible")
        return found

    def price(self, field: str) -> Decimal | None:
        value = self._row.get(field)
        try:
            return None if value is None else Decimal(price(value)).scaleb(-6)
        except BadPayload as error:
            raise BadPayload(f"{self.what}: {field}: {error}") from None

    def count(self, field: str) -> int | None:
        value = self._row.get(field)
        try:
            return None if value is None else count(value)
        except BadPayload as error:
            raise BadPayload(f"{self.what}: {field}: {error}") from None

    def strike(self, field: str) -> Decimal | None:
        """A JSON number; its shortest decimal form is what the exchange wrote."""
        value = self._row.get(field)
        if value is None:
            return None
        try:
            if isinstance(value, bool):
                raise InvalidOperation
            text = str(value)
            number = Decimal(text if len(text) <= _LONGEST_NUMBER else "")
            if not is_strike(number):
                raise InvalidOperation
            return number
        except InvalidOperation:
            raise BadPayload(f"{self.what}: {field} is {value!r:.60}, not a number that a strike can be") from None

    def raw(self, without: str = "") -> str:
        """The whole object as JSON, without the field `without` and without NUL, which PostgreSQL cannot hold."""
        written = self._json
        if without in self._row:
            written = self._written({key: value for key, value in self._row.items() if key != without})
        return _ESCAPED_NUL.sub(r"\1", written.decode())

    def _written(self, row: Mapping[str, Any]) -> bytes:
        try:
            written = orjson.dumps(row)
        except orjson.JSONEncodeError as error:
            raise BadPayload(f"{self.what} cannot be kept as JSON: {error}") from None
        if len(written) > LARGEST_ROW:
            raise BadPayload(f"{self.what} is an object of {len(written):,} bytes")
        return written

    def _required(self, field: str) -> Any:
        value = self._row.get(field)
        if value is None:
            raise BadPayload(f"{self.what} has no {field}")
        return value


def _contracts(count: int | None) -> Decimal | None:
    return None if count is None else Decimal(count).scaleb(-2)


def _source(row: object, ticker: str) -> tuple[str, str]:
    fields = _Fields(row, f"a settlement source of series {ticker}")
    return fields.text("name"), fields.text("url", default="")
