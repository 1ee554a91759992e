"""The text archive: daily climate reports and monthly forms, by AFOS id and issue time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from kalshi_simulator.weather.form_text import form_text
from kalshi_simulator.weather.stations import BY_FORM_PIL, BY_PIL
from kalshi_simulator.weather.whole import Weather


@dataclass(frozen=True, slots=True)
class Product:
    """One text as the archive holds it."""

    pil: str
    id: str
    office: str
    issued: datetime
    """UTC, to the minute."""
    text: Callable[[], str]


def products(weather: Weather, pil: str, start: datetime, end: datetime) -> list[Product]:
    """Every issuance of one AFOS id with `start` ≤ issue time ≤ `end`, oldest first; none of an unknown id."""
    if pil in BY_PIL:
        station = BY_PIL[pil]
        reports = weather.reports.issued_between(station, start, end)
        return [Product(pil, r.product, station.office, r.issued, partial(weather.text, r)) for r in reports]
    if pil in BY_FORM_PIL:
        station = BY_FORM_PIL[pil]
        forms = weather.cf6.issued_between(station, start, end, weather.now)

        def text(number: int) -> str:
            return form_text(forms[number], weather.cf6.rows_of(forms[number]))

        return [Product(pil, f.product, station.office, f.issued, partial(text, n)) for n, f in enumerate(forms)]
    return []
