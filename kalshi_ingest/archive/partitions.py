"""The partitions of an archive: cities by their keys, other series by their own tickers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kalshi_ingest.archive.queries.reading import StoredSeries
from kalshi_ingest.domain.cities import CITIES
from kalshi_ingest.errors import Unusable
from kalshi_ingest.parquet.manifest import require_name


@dataclass(frozen=True, slots=True)
class Partition:
    """One city, or one other series."""

    label: str
    """The name of its folder."""
    name: str
    """What a person calls it."""
    series: Mapping[str, str]
    """Series ticker → title; "" where the series itself is not held."""
    daily: bool
    """It has an event for every day."""


def partitions(
    held: Sequence[StoredSeries], labels: Sequence[str] | None, *, expected: bool = False
) -> list[Partition]:
    """The partitions to export: `labels`, or all that is held when None; cities in their usual order, then the others.

    A city's key is accepted when nothing of it is held; so is any label when `expected`, for a backfill that may not
    have received it. Raises `Unusable` for another label of which nothing is held, when nothing is held at all, and for
    a series that cannot name a folder.
    """
    found: dict[str, dict[str, str]] = {}
    for series in held:
        found.setdefault(series.city or series.series_ticker, {})[series.series_ticker] = series.title
    if labels is None and not found:
        raise Unusable("nothing is held yet, so there is nothing to export: run a backfill or a load first")
    cities = {city.key: city for city in CITIES}
    asked = set(found if labels is None else labels)
    order = [key for key in cities if key in asked] + sorted(asked - set(cities))
    for label in order:
        for name in (label, *found.get(label, ())):
            require_name(name, "the export")
        if label not in found and label not in cities and not expected:
            raise Unusable(f"nothing is held of {label}: it is neither a city nor a series in the database")
    return [
        Partition(
            label,
            cities[label].name if label in cities else label,
            found.get(label) or {cities[label].series_ticker if label in cities else label: ""},
            daily=label in cities,
        )
        for label in order
    ]
