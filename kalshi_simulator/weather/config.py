"""What the simulated weather services show, and how often they go wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from hashlib import blake2b

RATES: Mapping[str, float] = {
    # the daily climate report
    "late_peak": 0.25,  # the maximum comes after the afternoon report, which therefore says less
    "morning_partial": 0.2,  # Denver and Austin only: a report of the same day at 06:30
    "cli_missing": 0.002,  # no full-day report was ever issued
    "cli_m": 0.01,  # the full-day report says MM
    "correction": 0.03,  # by 1 to 5 degrees, 1 to 6 hours after the first full-day report
    "record": 0.01,  # a record was tied: the value carries an R
    "partial_after_final": 0.001,  # the afternoon report is sent again next day, under a new issue time
    # the monthly form
    "cf6_older_product": 0.02,  # the afternoon form of this day arrives again after next morning's
    "cf6_m": 0.005,
    "cf6_off": 0.003,  # a degree off the climate report
    # GHCN-Daily
    "ghcnd_failed": 0.003,  # quality flag set, value nonsense
    "ghcnd_missing": 0.005,
    "ghcnd_off": 0.02,  # a degree off through the rounding in tenths of °C
    # minutes, all services
    "outage": 0.0,  # nothing is observed on this and the two following days; see `seeded_outage`
    # IEM's minutes
    "asos_gap": 0.15,  # 5 to 90 minutes without rows
    "asos_m": 0.5,  # some single values are M
    # Visual Crossing
    "vc_substitution": 0.01,  # up to twelve rows from another station
    "vc_sentinel": 0.005,  # one row says -77.9 °F
    "vc_jump": 0.003,  # one row is 60 °F too warm
    "vc_gap": 0.05,  # 10 to 120 minutes without rows
    "vc_empty": 0.002,  # a day without any row
    "vc_stations_text": 0.3,  # `stations` is a string, not a list
}
"""Every oddity with its share of station-days; oddities of minutes go by climate day too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeatherConfig:
    """The simulated weather services as one value.

    `plain` leaves all oddities out, `rates` replaces single rates of `RATES`. `planted` puts oddities on single
    station-days whatever the rates say: `{("KMIA", date(2025, 5, 7)): ("correction:-5", "vc_sentinel")}`; the number
    after a colon is the size in °F of a `correction`, by default 5 degrees down. `now` is the moment that the
    services show; left out, it is the world's own, or the wall clock for a world without one. Caches age by it.
    """

    seed: int = 1
    plain: bool = False
    rates: Mapping[str, float] = field(default_factory=dict)
    planted: Mapping[tuple[str, date], tuple[str, ...]] = field(default_factory=dict)
    now: Callable[[], datetime] | None = None
    seeded_outage: bool = True
    """One station of the world is silent for three days, and one report is corrected into another bin."""
    throttle_seconds: float | None = 1.0
    """Seconds that have to pass between two requests of one address, to IEM's two ASOS services together and to
    NCEI; sooner is 429. None: no throttle."""
    busy_rate: float = 0.0
    """Share of requests to IEM that are answered with 503."""
    visual_crossing_key: str = "simulated-key"
    """The only key that is not refused with 401."""
    visual_crossing_records: int | None = None
    """Records a UTC day; a request that needs more than is left gets 429. None: no limit."""
    visual_crossing_concurrency: int = 2
    """Requests at a time; one more gets 429."""

    def __post_init__(self) -> None:
        named = [kind.partition(":")[0] for kinds in self.planted.values() for kind in kinds]
        unknown = {*named, *self.rates} - set(RATES)
        if unknown:
            raise ValueError(f"unknown weather oddities {', '.join(sorted(unknown))}; known are {', '.join(RATES)}")


def fraction(*name: object) -> float:
    """A number in [0, 1) that belongs to this name: the same on every machine, in any order of questions."""
    text = "|".join(map(str, name)).encode()
    return int.from_bytes(blake2b(text, digest_size=7).digest(), "big") / (1 << 56)


class Oddities:
    """Says which station-days are odd, and how."""

    def __init__(self, config: WeatherConfig) -> None:
        self._seed = config.seed
        self._rates = {} if config.plain else {**RATES, **config.rates}
        self._planted = {
            (icao, day, kind.partition(":")[0]): kind.partition(":")[2]
            for (icao, day), kinds in config.planted.items()
            for kind in kinds
        }

    def plant(self, icao: str, day: date, kind: str) -> None:
        """Put one oddity on one station-day."""
        self._planted[icao, day, kind] = ""

    def has(self, kind: str, icao: str, day: date) -> bool:
        """Whether this oddity is shown on this station-day."""
        if (icao, day, kind) in self._planted:
            return True
        rate = self._rates.get(kind, 0.0)
        return rate > 0 and fraction(self._seed, kind, icao, day.toordinal()) < rate

    def draw(self, name: str, icao: str, day: date) -> float:
        """A number in [0, 1) for anything about this station-day."""
        return fraction(self._seed, "draw", name, icao, day.toordinal())

    def correction(self, icao: str, day: date) -> int | None:
        """By how many degrees the first full-day report is corrected; None where it is not."""
        size = self._planted.get((icao, day, "correction"))
        if size is not None:
            return int(size or -5)
        if not self.has("correction", icao, day):
            return None
        return (-5, -3, -2, -1, -1, 1, 1, 2)[int(8 * self.draw("correction", icao, day))]
