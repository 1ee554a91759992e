"""The JSON objects of series and events."""

from __future__ import annotations

from datetime import date

from kalshi_simulator.climate import City
from kalshi_simulator.lifecycle import WEATHER_COMPANY
from kalshi_simulator.plan import EventPlan
from kalshi_simulator.rules_text import short_date
from kalshi_simulator.wire import Row, time_text

_CATEGORY = "Climate and Weather"
_NEVER = "0001-01-01T00:00:00Z"
"""The zero value that the exchange sends for events whose update time was never recorded."""


def series_row(ticker: str, title: str, category: str = _CATEGORY) -> Row:
    """One series as `GET /series/{ticker}` shows it."""
    return {
        "additional_prohibitions": [
            "Persons who are employed by any of the Source Agencies are not permitted to trade on the Contract."
        ],
        "categories": [category],
        "category": category,
        "contract_terms_url": "https://assets.kalshi.com/contract_terms/GLOBALTEMPERATURE.pdf",
        "contract_url": "https://assets.kalshi.com/regulatory/product-certifications/GLOBALTEMPERATURE.pdf",
        "exchange_index": 0,
        "fee_multiplier": 1,
        "fee_type": "quadratic",
        "frequency": "daily",
        "last_updated_ts": "2026-09-04T13:37:29.116867Z",
        "product_metadata": {"competition": "High Temperature"},
        "settlement_sources": [{"name": "The Weather Company", "url": "https://weather.com/kalshi"}],
        "tags": ["Daily temperature"],
        "ticker": ticker,
        "title": title,
    }


def city_series(city: City) -> list[Row]:
    """A city's series; the legacy object still exists beside it, without live markets."""
    title = f"Highest temperature in {city.name}"
    rows = [series_row(city.series, title)]
    if city.legacy is not None:
        rows.append(series_row(city.legacy, title))
    return rows


def neighbours() -> list[Row]:
    """Series beside the daily highs: stray names of the same category, and another category."""
    return [
        series_row("KXDENHIGH", "Highest temperature in Denver"),
        series_row("KXLOWTCHI", "Lowest temperature in Chicago"),
        series_row("KXFED", "Fed funds rate", "Economics"),
    ]


def event_row(plan: EventPlan, updated: int) -> Row:
    """One event without its markets; `updated` in Unix microseconds."""
    city = plan.city
    row: Row = {
        "category": _CATEGORY,
        "collateral_return_type": "MECNET",
        "event_ticker": plan.ticker,
        "exchange_index": 0,
        "last_updated_ts": _NEVER if plan.day.year <= 2025 else time_text(updated),
        "mutually_exclusive": True,
        "product_metadata": {"competition": "High Temperature"},
        "series_ticker": city.series,
        "settlement_sources": [_source(plan.day, city)],
        "sub_title": f"On {short_date(plan.day)}",
        "title": f"Highest temperature in {city.name} on {short_date(plan.day)}?",
    }
    if plan.strike_date:
        row["strike_date"] = time_text(plan.closes)
    return row


def stray_event_row(ticker: str, series: str) -> Row:
    """An event somebody made to test the exchange; one was seen in a real listing."""
    return {
        "category": _CATEGORY,
        "collateral_return_type": "",
        "event_ticker": ticker,
        "exchange_index": 0,
        "last_updated_ts": _NEVER,
        "mutually_exclusive": False,
        "series_ticker": series,
        "sub_title": "",
        "title": "test",
    }


def _source(day: date, city: City) -> Row:
    if day >= WEATHER_COMPANY:
        return {"name": "The Weather Company", "url": "https://weather.com/kalshi"}
    return {
        "name": "National Weather Service",
        "url": f"https://forecast.weather.gov/product.php?site=NWS&product=CLI&issuedby={city.report[3:]}",
    }
