"""The stations whose reports settle the markets, and what each weather service calls them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from kalshi_simulator.climate import CITIES, City


@dataclass(frozen=True, slots=True)
class Station:
    """One station and how its forecast office writes."""

    icao: str
    """Id in IEM's CLI and CF6 services and, with `stn:` before it, at Visual Crossing."""
    iem: str
    ghcnd: str
    series: str
    office: str
    """The issuing office, four letters, as in a product id."""
    wmo: str
    """First word of the WMO heading of its climate reports."""
    state: str
    office_name: str
    title: str
    """The place as the report's headline names it."""
    place: tuple[float, float]
    """Longitude and latitude, degrees."""
    final_time: time
    """Civil time at which the full-day report is issued, as recorded; Los Angeles is a guess."""
    says_today: bool
    """Whether a partial report says VALID TODAY AS OF; two offices leave TODAY out."""
    colon: bool
    """Whether times are written 3:38 PM or 338 PM."""
    routine_minute: int
    """Minute of the hour of the routine METAR."""
    neighbours: tuple[str, str]
    """Stations that a blended or substituted observation comes from."""

    @property
    def city(self) -> City:
        """The city of its market."""
        return CITIES[self.series]

    @property
    def pil(self) -> str:
        """AFOS id of the daily climate report."""
        return f"CLI{self.iem}"

    @property
    def form_pil(self) -> str:
        """AFOS id of the monthly form."""
        return f"CF6{self.iem}"

    def day_start(self, day: date) -> datetime:
        """When climate day `day` begins: midnight of local standard time, in UTC."""
        return datetime.combine(day, time(0), tzinfo=UTC) - timedelta(hours=self.city.standard_offset)

    def day_end(self, day: date) -> datetime:
        """When climate day `day` ends, which is when the next begins."""
        return self.day_start(day) + timedelta(days=1)

    def climate_day(self, moment: datetime) -> date:
        """The climate day that a moment belongs to."""
        return (moment.astimezone(UTC) + timedelta(hours=self.city.standard_offset)).date()


_TABLE = (
    Station("KMDW", "MDW", "USW00014819", "KXHIGHCHI", "KLOT", "CDUS43", "IL", "CHICAGO IL", "CHICAGO-MIDWAY",
            (-87.7524, 41.7861), time(1, 34), True, True, 53, ("KORD", "KGYY")),
    Station("KMIA", "MIA", "USW00012839", "KXHIGHMIA", "KMFL", "CDUS42", "FL", "MIAMI,FL", "MIAMI",
            (-80.2906, 25.7932), time(4, 24), True, True, 53, ("KOPF", "KTMB")),
    Station("KAUS", "AUS", "USW00013904", "KXHIGHAUS", "KEWX", "CDUS44", "TX", "AUSTIN/SAN ANTONIO", "AUSTIN BERGSTROM",
            (-97.6664, 30.1831), time(1, 58), False, True, 53, ("KATT", "KHYI")),
    Station("KLAX", "LAX", "USW00023174", "KXHIGHLAX", "KLOX", "CDUS46", "CA", "LOS ANGELES/OXNARD CA",
            "LOS ANGELES AIRPORT CA", (-118.4081, 33.9425), time(1, 32), True, False, 53, ("KSMO", "KHHR")),
    Station("KDEN", "DEN", "USW00003017", "KXHIGHDEN", "KBOU", "CDUS45", "CO", "DENVER/BOULDER", "DENVER CO",
            (-104.6562, 39.8328), time(1, 35), False, False, 53, ("KAPA", "KBJC")),
    Station("KPHL", "PHL", "USW00013739", "KXHIGHPHIL", "KPHI", "CDUS41", "PA", "MOUNT HOLLY NJ", "PHILADELPHIA PA",
            (-75.2311, 39.8733), time(1, 52), True, True, 54, ("KPNE", "KILG")),
    Station("KNYC", "NYC", "USW00094728", "KXHIGHNY", "KOKX", "CDUS41", "NY", "NEW YORK, NY", "CENTRAL PARK NY",
            (-73.9693, 40.7790), time(2, 25), True, False, 51, ("KLGA", "KEWR")),
)  # fmt: skip

STATIONS: dict[str, Station] = {station.icao: station for station in _TABLE}
"""Every station, by ICAO id."""
BY_IEM: dict[str, Station] = {station.iem: station for station in _TABLE}
BY_PIL: dict[str, Station] = {station.pil: station for station in _TABLE}
BY_FORM_PIL: dict[str, Station] = {station.form_pil: station for station in _TABLE}
BY_GHCND: dict[str, Station] = {station.ghcnd: station for station in _TABLE}
BY_SERIES: dict[str, Station] = {station.series: station for station in _TABLE} | {
    station.city.legacy: station for station in _TABLE if station.city.legacy is not None
}
"""By series ticker, the legacy ones too."""
