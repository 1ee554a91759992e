"""The prose of a market: titles, subtitles and rules, by era.

Rows of 2024 and 2025 have empty titles. The authority in the rules changed from the National Weather
Service to The Weather Company with event date 2026-08-14.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache

from kalshi_simulator.bins import Bin
from kalshi_simulator.climate import City
from kalshi_simulator.lifecycle import WEATHER_COMPANY

_EMPTY_TITLES_UNTIL = date(2025, 12, 31)
SECONDARY = (
    "Not all weather data is the same. While checking a source like AccuWeather or Google Weather may help"
    " guide your decision, the official and final value used to determine this market is the highest"
    " temperature as reported by the corresponding NWS Climatological Report (Daily) linked in the rules"
    " above. Preliminary NWS reporting and measurement methods may be subject to underlying rounding and"
    " conversion nuances. Traders should exercise caution when interpreting preliminary NWS data."
)


@lru_cache(maxsize=4096)
def short_date(day: date) -> str:
    """`Sep 5, 2026`, as titles have it."""
    return f"{day:%b} {day.day}, {day.year}"


@lru_cache(maxsize=4096)
def long_date(day: date) -> str:
    """`September 05, 2026`, as rules have it."""
    return f"{day:%B %d, %Y}"


@lru_cache(maxsize=4096)
def early_close(day: date) -> str:
    """The condition for closing early; the line break is the exchange's."""
    clock = "local time" if day >= WEATHER_COMPANY else "ET"
    text = long_date(day)
    return (
        f"The Last Trading Time will be 11:59 PM {clock} on {text} regardless of any data releases or events"
        " occurring. Expiration will occur on the sooner of the first 7:00 or 8:00\nAM ET following the"
        f" release of the data for {text}, or one week after {text}."
    )


def title(city: City, day: date, entry: Bin) -> str:
    """The market's deprecated title, empty on the rows of 2024 and 2025."""
    if day <= _EMPTY_TITLES_UNTIL:
        return ""
    if entry.strike_type == "less":
        bounds = f"<{entry.cap}°"
    elif entry.strike_type == "greater":
        bounds = f">{entry.floor}°"
    else:
        bounds = f"{entry.floor}-{entry.cap}°"
    subject = "maximum temperature" if day >= WEATHER_COMPANY else f"**high temp in {city.name}**"
    return f"Will the {subject} be {bounds} on {short_date(day)}?"


def primary(city: City, day: date, entry: Bin) -> str:
    """The rule itself, with the authority of its time."""
    if entry.strike_type == "less":
        bounds = f"less than {entry.cap}°"
    elif entry.strike_type == "greater":
        bounds = f"greater than {entry.floor}°"
    else:
        bounds = f"between {entry.floor}-{entry.cap}°"
    if day >= WEATHER_COMPANY:
        return (
            f"If the maximum temperature recorded at {city.name} ({city.report}) for {short_date(day)}, is"
            f" {bounds} fahrenheit according to The Weather Company, then the market resolves to Yes."
        )
    return (
        f"If the highest temperature recorded in {city.place} for {long_date(day)} as reported by the National"
        f" Weather Service's Climatological Report (Daily), is {bounds}, then the market resolves to Yes."
    )
