"""The words and numbers of the pages: ages, times, prices, bins. Nothing is escaped here: the templates do that."""

from datetime import date, datetime, tzinfo
from decimal import Decimal

from kalshi_ingest.web.queries import HeldBin


def age(seconds: float) -> str:
    """`0.4 s`, `12 s`, `4 min`, `2 h 5 min`, `3 days 4 h`; never a minus."""
    seconds = max(0.0, seconds)
    if seconds < 1:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    if minutes < 120:
        return f"{minutes} min"
    hours = minutes // 60
    if hours < 48:
        return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
    return f"{hours // 24} days {hours % 24} h" if hours % 24 else f"{hours // 24} days"


def capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def shortened(words: str, most: int) -> str:
    """The first `most` characters, with a sign when there were more."""
    return words if len(words) <= most else f"{words[:most]}…"


def weekday(day: date) -> str:
    """`Sun 22 Nov`; days are written in full where there is room for a year only."""
    return f"{day:%a} {day.day} {day:%b}"


def moment(when: datetime, zone: tzinfo, now: datetime) -> str:
    """`14:03:22 CST`, with the day when it is not today's."""
    local = when.astimezone(zone)
    dated = "" if local.date() == now.astimezone(zone).date() else f"{weekday(local.date())} "
    return f"{dated}{local:%H:%M:%S} {local:%Z}"


def cents(dollars: Decimal) -> str:
    """`41 ¢`, `41.5 ¢`, exactly."""
    return f"{plain(dollars * 100)} ¢"


def plain(number: Decimal | int) -> str:
    """`1,204` or `1,204.5`, exactly: without an exponent and without zeros at its end."""
    shown = f"{number:,f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def bin_name(held: HeldBin) -> str:
    """`43 to 44°`, `≤ 42°`; else its title or its ticker."""
    floor, cap = held.floor_strike, held.cap_strike
    if held.strike_type == "between" and floor is not None and cap is not None:
        return f"{plain(floor)} to {plain(cap)}°"
    # In whole degrees, as the exchange words it: "less" is strict.
    if held.strike_type == "less" and cap is not None:
        return f"≤ {plain(cap - 1)}°" if cap == cap.to_integral_value() else f"< {plain(cap)}°"
    if held.strike_type == "greater" and floor is not None:
        return f"≥ {plain(floor + 1)}°" if floor == floor.to_integral_value() else f"> {plain(floor)}°"
    return held.title or held.ticker


def outcome(held: HeldBin) -> str:
    """What became of the market, or what it does now."""
    if held.result in {"yes", "no"}:
        return held.result
    if held.result and held.settlement_value is not None:
        return f"{held.result} {cents(held.settlement_value)}"
    return held.result or held.status
