"""The Iowa Environmental Mesonet (IEM): daily climate reports and the monthly form CF6, as rows and as texts.

Facts: IEM's documentation and published source. A row is checked against the request: station, and year or day.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any

import orjson

from kalshi_ingest.domain.calendar import climate_day_of
from kalshi_ingest.domain.cities import City
from kalshi_ingest.domain.nws.cf6_report import month_of, parse_cf6
from kalshi_ingest.domain.nws.cli_report import finality, outline, parse_cli
from kalshi_ingest.domain.plausible import LONGEST_TEXT
from kalshi_ingest.domain.settlement import Observation, Reported, Source
from kalshi_ingest.errors import BadPayload
from kalshi_ingest.weather.sources.client import Service, first_words
from kalshi_ingest.weather.sources.decoding import (
    Answer,
    Unreadable,
    check_issued,
    day_of,
    json_of,
    kept,
    listed,
    temperature,
)

NAME = "IEM"
REQUESTS_PER_SECOND = 1.0
"""IEM's own limit for its ASOS services since 2026-04-21; kept for all of them."""
MOST_TEXTS = 9999
"""IEM refuses a higher limit; an answer with as many is cut."""

_YEARS = {Source.CLI: "/json/cli.py", Source.IEM_CF6: "/json/cf6.py"}
_ESTIMATE = "the maximum is marked as an estimate (E)"
_PRODUCT = re.compile(r"(\d{12})-[A-Z]{4}-[A-Z]{4}\d{2}-[A-Z0-9]{6}(?:-[A-Z]{3})?")
_END_OF_TEXT = re.compile(r"[\001\003]")


async def cli_day(service: Service, cities: list[City], day: date, now: datetime) -> Answer:
    """The newest daily climate report of one day, of each of the cities that has one."""
    body = await service.get("/geojson/cli.py", {"dt": day.isoformat(), "fmt": "geojson"})
    asked = {city.station.loc_id: city for city in cities}
    answer = Answer()
    for feature in listed(json_of(body, f"{NAME} CLI {day}"), "features", f"{NAME} CLI {day}"):
        row = feature.get("properties") if isinstance(feature, dict) else None
        station = row.get("station") if isinstance(row, dict) else None
        if not isinstance(row, dict) or not isinstance(station, str):
            answer.unreadable.append(Unreadable(None, day, f"{NAME} CLI {day}: a row names no station"))
        elif station in asked:
            _take(answer, Source.CLI, asked[station], row, (day, day), now)
    return answer


async def cli_texts(service: Service, city: City, start: datetime, end: datetime, now: datetime) -> Answer:
    """Every issuance of the city's daily climate report between two UTC times, read by us."""
    answer = Answer()
    unread: list[Reported] = []
    for text in await _texts(service, city.station.cli_pil, start, end):
        try:
            answer.reports.append(_from_text(city, text, now))
        except BadPayload as error:
            line = _unread(city.station.cli_pil, error, text)
            answer.unreadable.append(Unreadable(city.station.loc_id, outline(text).climate_date, line))
            unread += _unread_report(city, text, error, now)
    read = {each.observation.product_id for each in answer.reports}
    answer.reports += [each for each in unread if each.observation.product_id not in read]
    return answer


async def cf6_texts(service: Service, city: City, start: datetime, end: datetime, now: datetime) -> Answer:
    """Every issuance of the city's monthly form between two UTC times, read by us.

    Each form repeats all days of its month: of forms in a row that state the same of a day, only the last is kept.
    """
    answer = Answer()
    reports: list[Reported] = []
    for text in await _texts(service, city.station.cf6_pil, start, end):
        try:
            reports += _from_form(city, text, now)
        except BadPayload as error:
            line = _unread(city.station.cf6_pil, error, text)
            answer.unreadable += [Unreadable(city.station.loc_id, day, line) for day in _days_of(month_of(text))]
    answer.reports += _last_of_each_value(reports)
    return answer


async def _texts(service: Service, pil: str, start: datetime, end: datetime) -> list[str]:
    """Every product of this id between two UTC times, oldest first."""
    params = {"pil": pil, "fmt": "text", "limit": str(MOST_TEXTS), "order": "asc"}
    params |= {"sdate": f"{start.astimezone(UTC):%Y-%m-%dT%H:%MZ}", "edate": f"{end.astimezone(UTC):%Y-%m-%dT%H:%MZ}"}
    body = (await service.get("/cgi-bin/afos/retrieve.py", params)).decode("latin-1").replace("\0", "")
    if body.lstrip().startswith("ERROR: Could not Find"):
        return []
    texts = [text.strip("\r\n") for text in _END_OF_TEXT.split(body) if text.strip()]
    if len(texts) >= MOST_TEXTS:
        raise BadPayload(f"{NAME} {pil}: {len(texts)} texts from {start:%Y-%m-%d}, as many as one answer can hold")
    return texts


def _from_text(city: City, text: str, now: datetime) -> Reported:
    report = parse_cli(text)
    if report.pil != city.station.cli_pil:
        raise BadPayload(f"requested {city.station.cli_pil}, received {report.pil}")
    check_issued(city, report.climate_date, report.issued_at, now)
    full_day, flag = finality(city, report.climate_date, report.issued_at, report.says_as_of)
    flags = [each for each in (flag, _ESTIMATE if report.is_estimate else None) if each]
    maximum = None if report.maximum_f is None else Decimal(report.maximum_f)
    observation = Observation(
        city.station.loc_id,
        report.climate_date,
        Source.CLI,
        report.product_id,
        None,
        report.issued_at,
        now,
        full_day,
        maximum,
        "; ".join(flags) or None,
    )
    return Reported(observation, orjson.dumps(text).decode())


def _unread_report(city: City, text: str, error: BadPayload, now: datetime) -> list[Reported]:
    """A full-day report that cannot be read: without it a later one would pass for the first.

    Without a climate date it belongs to the day that ended last before it was issued. What cannot be distinguished
    from a full-day report counts as one.
    """
    read = outline(text)
    issued_at, product_id = read.issued_at, read.product_id
    day = read.climate_date
    if day is None and issued_at is not None:
        day = climate_day_of(city, issued_at) - timedelta(days=1)
    if day is None or read.pil not in (None, city.station.cli_pil) or read.says_as_of:
        return []
    if issued_at is not None:
        try:
            check_issued(city, day, issued_at, now)
        except BadPayload:
            issued_at = product_id = None
    if issued_at is not None and not finality(city, day, issued_at)[0]:
        return []
    raw = orjson.dumps(text[:LONGEST_TEXT]).decode()
    sha256 = None if product_id else hashlib.sha256(raw.encode()).hexdigest()
    flag = f"{product_id or 'a text without a readable issue time'}: {error}"
    observation = Observation(
        city.station.loc_id, day, Source.CLI, product_id, sha256, issued_at, now, True, None, flag
    )
    return [Reported(observation, raw)]


def _from_form(city: City, text: str, now: datetime) -> list[Reported]:
    form = parse_cf6(text)
    if form.pil != city.station.cf6_pil:
        raise BadPayload(f"requested {city.station.cf6_pil}, received {form.pil}")
    check_issued(city, form.days[0].day, form.issued_at, now)
    return [
        Reported(
            Observation(
                city.station.loc_id,
                each.day,
                Source.CF6,
                form.product_id,
                None,
                form.issued_at,
                now,
                finality(city, each.day, form.issued_at)[0],
                None if each.maximum_f is None else Decimal(each.maximum_f),
            ),
            orjson.dumps(each.line).decode(),
        )
        for each in form.days
    ]


def _last_of_each_value(reports: list[Reported]) -> Iterator[Reported]:
    def order(each: Reported) -> tuple[date, str]:
        return each.observation.date_local, each.observation.product_id or ""

    def says(each: Reported) -> tuple[date, bool, Decimal | None]:
        return each.observation.date_local, each.observation.is_full_day, each.observation.tmax_f

    for _, same in groupby(sorted(reports, key=order), key=says):
        *_, last = same
        yield last


def _days_of(month: date | None) -> Sequence[date | None]:
    if month is None:
        return [None]
    days = (month + timedelta(days=n) for n in range(31))
    return [day for day in days if day.month == month.month]


async def year_rows(service: Service, source: Source, city: City, year: int, now: datetime) -> Answer:
    """IEM's own reading of one year: the newest daily climate report of each day that has one (`Source.CLI`), or each
    day's row of the monthly form (`Source.IEM_CF6`)."""
    station = city.station.loc_id
    what = f"{NAME} {source} {station} {year}"
    body = await service.get(_YEARS[source], {"station": station, "year": str(year), "fmt": "json"})
    answer = Answer()
    for row in listed(json_of(body, what), "results", what):
        if not isinstance(row, dict):
            answer.unreadable.append(Unreadable(station, None, f"{what}: a row is a {type(row).__name__}"))
            continue
        _take(answer, source, city, row, (date(year, 1, 1), date(year, 12, 31)), now)
    return answer


def _take(
    answer: Answer, source: Source, city: City, row: dict[str, Any], asked: tuple[date, date], now: datetime
) -> None:
    station = city.station.loc_id
    try:
        answer.reports.append(_from_row(source, city, row, asked, now))
    except BadPayload as error:
        day = day_of(row.get("valid"))
        about = day if day is not None and asked[0] <= day <= asked[1] else None
        line = f"{NAME} {source} {station} {about or asked[0]}: {error}"
        answer.unreadable.append(Unreadable(station, about, line))


def _from_row(source: Source, city: City, row: dict[str, Any], asked: tuple[date, date], now: datetime) -> Reported:
    sha256, raw = kept(row)  # before anything shows a value: what is nested too deeply cannot be shown either
    if row.get("station") != city.station.loc_id:
        raise BadPayload(f"station is {row.get('station')!r:.40}")
    day = day_of(row.get("valid"))
    if day is None:
        raise BadPayload(f"valid is {row.get('valid')!r:.40}, not a date")
    if not asked[0] <= day <= asked[1]:
        raise BadPayload(f"valid {day} lies outside {asked[0]} to {asked[1]}")
    product = row.get("product")
    issued_at = _issue_time(product)
    check_issued(city, day, issued_at, now)
    observation = Observation(
        city.station.loc_id,
        day,
        source,
        str(product),
        sha256,
        issued_at,
        now,
        finality(city, day, issued_at)[0],
        temperature(row.get("high"), "high"),
    )
    return Reported(observation, raw)


def _issue_time(product: object) -> datetime:
    found = _PRODUCT.fullmatch(product) if isinstance(product, str) else None
    try:
        if found is not None:
            return datetime.strptime(found[1] + "+0000", "%Y%m%d%H%M%z")
    except ValueError:
        pass
    raise BadPayload(f"product is {product!r:.60}, not a product id")


def _unread(pil: str, error: BadPayload, text: str) -> str:
    return f"{NAME} {pil}: {error}: {first_words(text, 80)}"
