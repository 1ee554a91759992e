"""The cities whose markets are followed: names, series, first event, time zone, and the station that settles them.

The climate day that a market settles on runs in local *standard* time all year (NWS directive 10-1004), so each
city carries a fixed offset beside its civil time zone.
"""

import re
from dataclasses import dataclass
from datetime import date

from kalshi_ingest.errors import Unusable


@dataclass(frozen=True, slots=True)
class Station:
    """The station that a city's markets settle on, and what each weather service calls it."""

    loc_id: str
    """ICAO id, e.g. KMDW: the key of every weather table, and the station in IEM's CLI and CF6 services."""
    ghcnd_id: str
    """The station in GHCN-Daily, without the prefix `GHCND:`."""

    @property
    def iem_id(self) -> str:
        """Three letters: the station in IEM's ASOS services, and the NWS's `issuedby` code of its report."""
        return self.loc_id[1:]

    @property
    def cli_pil(self) -> str:
        """Product id of the daily climate report, e.g. CLIMDW."""
        return f"CLI{self.iem_id}"

    @property
    def cf6_pil(self) -> str:
        """Product id of the monthly form, e.g. CF6MDW."""
        return f"CF6{self.iem_id}"

    @property
    def visual_crossing_id(self) -> str:
        """Pins Visual Crossing to this station; the bare id would blend in neighbours up to 50 miles away."""
        return f"stn:{self.loc_id}"


@dataclass(frozen=True, slots=True)
class City:
    """One city with a daily high-temperature series."""

    key: str
    """The word that users, tables and files know the city by."""
    name: str
    series_ticker: str
    """The series as Kalshi calls it today; events from 2024-10-24 on carry it in their ticker."""
    legacy_ticker: str | None
    """What event tickers up to 2024-10-23 begin with; None where the series is younger than that."""
    first_event_date: date
    """No event has an earlier date. A lower bound: days without an event may follow it."""
    time_zone: str
    """IANA name of the civil time zone."""
    standard_offset_hours: int
    """Local standard time minus UTC, in hours; the same in summer and winter."""
    station: Station
    retired: bool = False
    """True: nothing new is fetched, what is held stays queryable."""


_EASTERN, _CENTRAL = ("America/New_York", -5), ("America/Chicago", -6)
_MOUNTAIN, _PACIFIC = ("America/Denver", -7), ("America/Los_Angeles", -8)
"""Civil time zone, and the hours of its standard time from UTC."""

CITIES: tuple[City, ...] = (
    # Chicago's first event is known only as "August 2021", so the bound is the first day of that month: asking
    # for a day without an event costs nothing, refusing a day that has one loses it.
    City("chicago", "Chicago", "KXHIGHCHI", "HIGHCHI", date(2021, 8, 1), *_CENTRAL, Station("KMDW", "USW00014819")),
    # Reports give May 11 or 12; the ticker HIGHMIA--23MAY11 exists.
    City("miami", "Miami", "KXHIGHMIA", "HIGHMIA", date(2023, 5, 11), *_EASTERN, Station("KMIA", "USW00012839")),
    City("austin", "Austin", "KXHIGHAUS", "HIGHAUS", date(2023, 5, 12), *_CENTRAL, Station("KAUS", "USW00013904")),
    City("la", "Los Angeles", "KXHIGHLAX", None, date(2025, 1, 5), *_PACIFIC, Station("KLAX", "USW00023174")),
    City("denver", "Denver", "KXHIGHDEN", None, date(2024, 11, 20), *_MOUNTAIN, Station("KDEN", "USW00003017")),
    City(
        "philadelphia",
        "Philadelphia",
        "KXHIGHPHIL",
        None,
        date(2024, 11, 20),
        *_EASTERN,
        Station("KPHL", "USW00013739"),
    ),
    City(
        "nyc",
        "New York",
        "KXHIGHNY",
        "HIGHNY",
        date(2021, 8, 6),
        *_EASTERN,
        Station("KNYC", "USW00094728"),
        retired=True,
    ),
)
"""Every city that can be asked for, in the order in which they are listed to users."""

_SPELLINGS: dict[str, tuple[str, ...]] = {
    "chicago": ("chi", "mdw", "kmdw"),
    "miami": ("mia", "kmia"),
    "austin": ("aus", "kaus"),
    "la": ("losangeles", "lax", "klax"),
    "denver": ("den", "kden"),
    "philadelphia": ("phil", "philly", "phl", "kphl"),
    "nyc": ("ny", "newyork", "newyorkcity", "knyc"),
}
"""Other words for a city, beside its key and series tickers: short and long names, its station's ids."""


def find_city(text: str) -> City:
    """The city that `text` names: its key, name, series ticker, airport code or station, in any case.

    Spaces, underscores, hyphens and dots do not count ("Los Angeles", "los_angeles", "lax"). The retired city is
    found too. Raises Unusable, with the list of choices, for anything else.
    """
    word = re.sub(r"[\s_.\-]+", "", text).lower()
    for city in CITIES:
        tickers = (city.series_ticker.lower(), (city.legacy_ticker or city.series_ticker).lower())
        if word == city.key or word in tickers or word in _SPELLINGS[city.key]:
            return city
    choices = ", ".join(city.key + (" (retired)" if city.retired else "") for city in CITIES)
    raise Unusable(f"There is no city {text!r} here. Choose from: {choices}.")


def active_city(text: str) -> City:
    """As `find_city`, for work that fetches: raises Unusable for a retired city too."""
    city = find_city(text)
    if city.retired:
        raise Unusable(
            f"{city.name} ({city.key}) is retired here: nothing new is fetched for it; what is held stays queryable."
        )
    return city


def city_of_series(series_ticker: str) -> City | None:
    """The city of a high-temperature series, by today's or the legacy ticker; None for any other series."""
    for city in CITIES:
        if series_ticker in (city.series_ticker, city.legacy_ticker):
            return city
    return None
