"""The JSON object of one synthetic market at one moment, in the live tier's form.

Keys and their presence follow recorded answers: strikes missing on winners of early 2025, settlement
values from 2025-03-05 on, sentinel quotes after the close, nothing sent as null.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from kalshi_simulator import lifecycle, rules_text
from kalshi_simulator.plan import MarketPlan
from kalshi_simulator.wire import DAY, HOUR, Row, count_text, day_start, price_text, time_text

SURPLUS = 3_800
"""By how much a short market's volume exceeds its trades, hundredths of a contract (38 was recorded)."""
_STRIKES_MISSING = (date(2025, 1, 16), date(2025, 2, 9))
_VALUE_ON_ALL_BINS = date(2025, 2, 15)
_TWO_DECIMALS = date(2024, 7, 1)
_FREE_TEXT = ("KXHIGHMIA", date(2024, 11, 5))
_OCCURRENCE = date(2026, 4, 17)


@dataclass(frozen=True, slots=True)
class Trading:
    """What trading has left on a market. Counts in hundredths, prices in tenths of a cent."""

    volume: int
    volume_24h: int
    open_interest: int
    last_price: int | None


@dataclass(frozen=True, slots=True)
class Phase:
    """Where a market stands in its life. `updated` in Unix microseconds."""

    status: str
    updated: int

    @property
    def decided(self) -> bool:
        """Whether the result is known."""
        return self.status in ("determined", "finalized")


def market_row(plan: MarketPlan, phase: Phase, trading: Trading, *, oddities: bool) -> Row:
    """The market as `GET /markets/{ticker}` shows it."""
    event, entry = plan.event, plan.bin
    latest = time_text(lifecycle.latest_expiration(event.day))
    row: Row = {
        "can_close_early": True,
        "close_time": time_text(event.closes),
        "created_time": time_text(event.created),
        "early_close_condition": rules_text.early_close(event.day),
        "event_ticker": event.ticker,
        "exchange_index": 0,
        "expected_expiration_time": time_text(lifecycle.expected_expiration(event.day)),
        "expiration_time": latest,
        "expiration_value": _expiration_value(plan, oddities=oddities) if phase.decided else "",
        "latest_expiration_time": latest,
        "liquidity_dollars": "0.0000",
        "market_type": "binary",
        "no_sub_title": entry.text,
        "notional_value_dollars": "1.0000",
        "open_interest_fp": count_text(trading.open_interest),
        "open_time": time_text(event.opens),
        "price_level_structure": "linear_cent",
        "price_ranges": [{"end": "1.0000", "start": "0.0000", "step": "0.0100"}],
        "result": _result(plan) if phase.decided else "",
        "rules_primary": rules_text.primary(event.city, event.day, entry),
        "rules_secondary": rules_text.SECONDARY,
        "settlement_bounds_type": "default",
        "settlement_timer_seconds": lifecycle.settlement_timer(event.day),
        "status": phase.status,
        "ticker": plan.ticker,
        "title": rules_text.title(event.city, event.day, entry),
        "updated_time": time_text(phase.updated),
        "volume_24h_fp": count_text(trading.volume_24h),
        "volume_fp": count_text(trading.volume),
        "yes_sub_title": entry.text,
        **_quotes(phase.status, trading.last_price),
    }
    in_gap = oddities and _STRIKES_MISSING[0] <= event.day <= _STRIKES_MISSING[1]
    if event.day < lifecycle.WEATHER_COMPANY:
        row["subtitle"] = "" if in_gap and event.city.series == "KXHIGHDEN" else entry.text
    if not (in_gap and plan.wins):
        row["strike_type"] = entry.strike_type
        if entry.floor is not None:
            row["floor_strike"] = entry.floor
        if entry.cap is not None:
            row["cap_strike"] = entry.cap
    if event.day >= _OCCURRENCE:
        later = DAY if event.day >= lifecycle.WEATHER_COMPANY else 0
        row["occurrence_datetime"] = time_text(day_start(event.day) + 14 * HOUR + later)
    if phase.status == "finalized":
        row["settlement_ts"] = time_text(event.settles)
        if event.day >= lifecycle.SETTLEMENT_VALUES or not oddities:
            row["settlement_value_dollars"] = _settlement_value(plan, trading.last_price)
    return row


def _result(plan: MarketPlan) -> str:
    if plan.event.scalar:
        return "scalar"
    return "yes" if plan.wins else "no"


def _settlement_value(plan: MarketPlan, last_price: int | None) -> str:
    if plan.event.scalar:  # the last fair price, when the exchange found no temperature to settle by
        return price_text(last_price or 0)
    return "1.0000" if plan.wins else "0.0000"


def _expiration_value(plan: MarketPlan, *, oddities: bool) -> str:
    event = plan.event
    if event.scalar or event.blank_value:
        return ""
    if not oddities:
        return f"{event.temperature}.00"
    if event.day < _VALUE_ON_ALL_BINS and not plan.wins:
        return ""
    if (event.city.series, event.day) == _FREE_TEXT:
        return f"{event.temperature}. Although an earlier report differed, the final report is used."
    return f"{event.temperature}" if event.day < _TWO_DECIMALS else f"{event.temperature}.00"


def _quotes(status: str, last: int | None) -> Row:
    """Best prices around the last trade; after the close nothing but the sentinels 0 and 1."""
    bid, ask = 0, 1000
    if status == "active" and last is not None:
        bid, ask = max(0, last - last % 10 - 10), min(1000, last - last % 10 + 10)
    no_bid, no_ask = (1000 - ask, 1000 - bid) if status == "active" else (0, 1000)
    previous = last if status == "finalized" and last is not None else 0
    return {
        "last_price_dollars": price_text(last or 0),
        "no_ask_dollars": price_text(no_ask),
        "no_bid_dollars": price_text(no_bid),
        "previous_price_dollars": price_text(previous),
        "previous_yes_ask_dollars": price_text(min(1000, previous + 10) if previous else 0),
        "previous_yes_bid_dollars": price_text(max(0, previous - 10)),
        "yes_ask_dollars": price_text(ask),
        "yes_ask_size_fp": "73.00" if ask < 1000 else "0.00",
        "yes_bid_dollars": price_text(bid),
        "yes_bid_size_fp": "11.77" if bid > 0 else "0.00",
    }
