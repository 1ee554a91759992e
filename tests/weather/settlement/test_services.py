"""IEM's and NCEI's settlements over real HTTP: what is kept, what is refused, and that missing is never 0."""

from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import aiohttp
import orjson
import pytest

from kalshi_ingest.domain.cities import find_city
from kalshi_ingest.domain.settlement import Source
from kalshi_ingest.errors import BadPayload
from kalshi_ingest.http.address import address_of
from kalshi_ingest.weather.sources import iem, ncei
from kalshi_ingest.weather.sources.client import Service
from kalshi_ingest.weather.sources.decoding import Answer
from tests.exchange.serving import Reply, Script, serving

CHICAGO, MIAMI = find_city("chicago"), find_city("miami")
NOW = datetime(2025, 6, 1, tzinfo=UTC)
DAY = date(2025, 5, 7)

CLI_ROW = {
    "station": "KMDW",
    "valid": "2025-05-07",
    "product": "202505080634-KLOT-CDUS43-CLIMDW",
    "high": 71,
    "high_time": "355 PM",
}
GHCND_ROW = {"DATE": "2025-05-07", "STATION": "USW00014819", "TMAX": "   71", "TMAX_ATTRIBUTES": ",,W,2400"}


async def ask(body: object, fetch: Callable[[Service], Awaitable[Answer]]) -> tuple[Answer, dict[str, str]]:
    """What `fetch` makes of a body, and the parameters it asked with."""
    script = Script()
    reply = Reply(body=body if isinstance(body, bytes) else orjson.dumps(body))
    for path in ("json/cli.py", "json/cf6.py", "geojson/cli.py", "cgi-bin/afos/retrieve.py", "access/services/data/v1"):
        script._paths["/" + path] = [reply]
    async with serving(script.answer) as url, aiohttp.ClientSession() as http:
        answer = await fetch(Service(http, address_of("IEM", url), requests_per_second=1_000))
    return answer, script.seen[0].query


async def cli(row: dict[str, Any]) -> Answer:
    return (await ask({"results": [row]}, lambda service: iem.year_rows(service, Source.CLI, CHICAGO, 2025, NOW)))[0]


async def test_a_row_of_the_climate_report() -> None:
    answer, asked = await ask(
        {"results": [CLI_ROW]}, lambda service: iem.year_rows(service, Source.CLI, CHICAGO, 2025, NOW)
    )
    assert asked == {"station": "KMDW", "year": "2025", "fmt": "json"}
    (reported,) = answer.reports
    told = reported.observation
    assert (told.loc_id, told.date_local, told.source, told.tmax_f) == ("KMDW", DAY, "CLI", Decimal(71))
    assert told.issued_at == datetime(2025, 5, 8, 6, 34, tzinfo=UTC)
    assert told.is_full_day
    assert told.payload_sha256 is not None
    assert orjson.loads(reported.raw) == CLI_ROW


async def test_finality_is_the_issue_times() -> None:
    (partial,) = (await cli(CLI_ROW | {"product": "202505080559-KLOT-CDUS43-CLIMDW"})).reports
    assert not partial.observation.is_full_day


@pytest.mark.parametrize("high", ["M", "MM", None, ""])
async def test_missing_is_none(high: object) -> None:
    (reported,) = (await cli(CLI_ROW | {"high": high})).reports
    assert reported.observation.tmax_f is None


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"station": "KORD"}, "IEM CLI KMDW 2025-05-07: station is 'KORD'"),
        ({"valid": "2024-05-07"}, "IEM CLI KMDW 2025-01-01: valid 2024-05-07 lies outside 2025-01-01 to 2025-12-31"),
        ({"valid": None}, "IEM CLI KMDW 2025-01-01: valid is None, not a date"),
        ({"high": "T"}, "IEM CLI KMDW 2025-05-07: high is 'T', not a temperature"),
        ({"high": True}, "IEM CLI KMDW 2025-05-07: high is True, not a temperature"),
        ({"high": 400}, "IEM CLI KMDW 2025-05-07: high is 400, an impossible temperature"),
        ({"high": "NaN"}, "IEM CLI KMDW 2025-05-07: high is 'NaN', not a temperature"),
        ({"product": "x"}, "IEM CLI KMDW 2025-05-07: product is 'x', not a product id"),
        ({"product": "202513080634-KLOT-CDUS43-CLIMDW"}, "not a product id"),
        ({"name": "a\0b"}, "IEM CLI KMDW 2025-05-07: a text in it holds the character NUL"),
    ],
)
async def test_a_malformed_row_is_named_and_the_others_stay(change: dict[str, Any], line: str) -> None:
    body = {"results": [CLI_ROW | change, CLI_ROW]}
    answer, _ = await ask(body, lambda service: iem.year_rows(service, Source.CLI, CHICAGO, 2025, NOW))
    assert len(answer.reports) == 1
    (unreadable,) = answer.unreadable
    assert line in unreadable.line
    assert unreadable.loc_id == "KMDW"


@pytest.mark.parametrize("body", [b"<html>sorry</html>", b"[]", b'{"results":{}}', b'{"resu'])
async def test_an_answer_that_is_none(body: bytes) -> None:
    with pytest.raises(BadPayload, match="IEM CLI KMDW 2025: "):
        await ask(body, lambda service: iem.year_rows(service, Source.CLI, CHICAGO, 2025, NOW))


async def test_all_stations_of_a_day() -> None:
    other = CLI_ROW | {"station": "KMIA", "product": "202505080834-KMFL-CDUS42-CLIMIA"}
    features = [{"properties": row} for row in (CLI_ROW, CLI_ROW | {"station": "KORD"}, other)]
    answer, asked = await ask(
        {"type": "FeatureCollection", "features": features},
        lambda service: iem.cli_day(service, [CHICAGO, MIAMI], DAY, NOW),
    )
    assert asked == {"dt": "2025-05-07", "fmt": "geojson"}
    assert [each.observation.loc_id for each in answer.reports] == ["KMDW", "KMIA"]
    assert not answer.unreadable


TEXT = """000
CDUS43 KLOT 080634
CLIMDW

CLIMATE REPORT
134 AM CDT THU MAY 08 2025
...THE CHICAGO-MIDWAY CLIMATE SUMMARY FOR MAY 7 2025...

TEMPERATURE (F)
 YESTERDAY
  MAXIMUM         71   2:56 PM 106

$$"""


async def texts(*bodies: str) -> tuple[Answer, dict[str, str]]:
    body = "".join(f"\001\n{text}\n\003\n" for text in bodies).encode("latin-1")
    start, end = datetime(2025, 5, 7, 6, tzinfo=UTC), datetime(2025, 5, 11, 6, tzinfo=UTC)
    return await ask(body, lambda service: iem.cli_texts(service, CHICAGO, start, end, NOW))


async def test_texts_are_read_one_by_one() -> None:
    garbled, other = TEXT.replace("  71  ", "  7?  "), TEXT.replace("CLIMDW", "CLIORD")
    answer, asked = await texts(TEXT, garbled, other)
    assert (asked["pil"], asked["limit"], asked["order"]) == ("CLIMDW", "9999", "asc")
    assert (asked["sdate"], asked["edate"]) == ("2025-05-07T06:00Z", "2025-05-11T06:00Z")
    (reported,) = answer.reports
    told = reported.observation
    assert (told.product_id, told.payload_sha256) == ("202505080634-KLOT-CDUS43-CLIMDW", None)
    assert (told.tmax_f, told.is_full_day, told.date_local) == (Decimal(71), True, DAY)
    assert orjson.loads(reported.raw) == TEXT
    assert [each.day for each in answer.unreadable] == [DAY, DAY]
    assert "IEM CLIMDW: the maximum cannot be read: 000 CDUS43" in answer.unreadable[0].line
    assert "requested CLIMDW, received CLIORD" in answer.unreadable[1].line


async def test_marks_of_the_service() -> None:
    estimate, missing = TEXT.replace("71  ", "71(E)"), TEXT.replace("80634", "80734").replace("71  ", " M  ")
    answer, _ = await texts(estimate, missing)
    assert not answer.unreadable
    told = [each.observation for each in answer.reports]
    assert [(each.tmax_f, each.is_full_day) for each in told] == [(Decimal(71), True), (None, True)]
    assert [each.flag for each in told] == ["the maximum is marked as an estimate (E)", None]
    assert not any(each.is_unread for each in told)


@pytest.mark.parametrize(
    ("change", "product"),
    [
        (("  71  ", "  7?  "), "202505080634-KLOT-CDUS43-CLIMDW"),
        (("MAY 7 2025", "MAY 7 20?5"), "202505080634-KLOT-CDUS43-CLIMDW"),
        (("THU MAY 08", "THE MAY 08"), None),
        (("CDUS43 KLOT 080634", "CDUS43 KLOT"), None),
    ],
)
async def test_a_full_day_report_that_cannot_be_read_is_remembered(change: tuple[str, str], product: str) -> None:
    answer, _ = await texts(TEXT.replace(*change))
    (reported,) = answer.reports
    told = reported.observation
    assert told.is_unread
    assert (told.date_local, told.product_id, told.payload_sha256 is None) == (DAY, product, product is not None)
    assert orjson.loads(reported.raw) == TEXT.replace(*change)
    assert len(answer.unreadable) == 1


async def test_a_partial_or_another_stations_report_that_cannot_be_read_is_not() -> None:
    garbled = TEXT.replace("  71  ", "  7?  ")
    others = (
        garbled.replace("080634", "072134").replace("THU MAY 08", "WED MAY 07"),
        garbled.replace("MAY 7 2025...", "MAY 7 2025...\nVALID TODAY AS OF 0400 PM LOCAL TIME."),
        TEXT.replace("CLIMDW", "CLIORD"),
        "nothing at all",
    )
    answer, _ = await texts(*others)
    assert (answer.reports, len(answer.unreadable)) == ([], 4)


async def test_no_text_and_too_many() -> None:
    none = await ask(b"ERROR: Could not Find: CLIMDW", lambda s: iem.cli_texts(s, CHICAGO, NOW, NOW, NOW))
    assert none[0] == Answer()
    with pytest.raises(BadPayload, match="as many as one answer can hold"):
        await texts(*["x"] * iem.MOST_TEXTS)


RULE = "=" * 80


def form(wmo_time: str, *maxima: int | str) -> str:
    rows = "\n".join(
        f"{day:>2}{high:>4}  61  71   0   0   6 0.00  0.0    0  7.2 18 190   M    M   1        27 160"
        for day, high in enumerate(maxima, 1)
    )
    heading = f"000\nCXUS53 KLOT {wmo_time}\nCF6MDW\nMONTH:  MAY\nYEAR:  2025"
    return f"{heading}\n{RULE}\nDY MAX MIN\n{RULE}\n{rows}\n{RULE}\nSM  140  122\n"


async def forms(*bodies: str) -> tuple[Answer, dict[str, str]]:
    body = "".join(f"\001\n{text}\n\003\n" for text in bodies).encode("latin-1")
    start, end = datetime(2025, 5, 1, 6, tzinfo=UTC), datetime(2025, 5, 11, 6, tzinfo=UTC)
    return await ask(body, lambda service: iem.cf6_texts(service, CHICAGO, start, end, NOW))


def told_by(answer: Answer) -> list[tuple[int, str, bool, Decimal | None]]:
    told = [each.observation for each in answer.reports]
    return [(each.date_local.day, (each.product_id or "")[6:12], each.is_full_day, each.tmax_f) for each in told]


async def test_forms_are_kept_as_far_as_they_say_anything_new() -> None:
    """An afternoon's partial value, the full one, twice the same, a correction; in whatever order they come."""
    sent = (form("012240", 70), form("021112", 71), form("022240", 71, 60), form("031112", 72, 66))
    answer, asked = await forms(*sent)
    assert (asked["pil"], asked["limit"], asked["order"]) == ("CF6MDW", "9999", "asc")
    assert (asked["sdate"], asked["edate"]) == ("2025-05-01T06:00Z", "2025-05-11T06:00Z")
    assert told_by(answer) == [
        (1, "012240", False, Decimal(70)),
        (1, "022240", True, Decimal(71)),
        (1, "031112", True, Decimal(72)),
        (2, "022240", False, Decimal(60)),
        (2, "031112", True, Decimal(66)),
    ]
    first = answer.reports[0]
    assert first.observation.product_id == "202505012240-KLOT-CXUS53-CF6MDW"
    assert (first.observation.source, first.observation.payload_sha256) == ("CF6", None)
    assert orjson.loads(first.raw).startswith(" 1  70  61  71")
    assert not answer.unreadable
    assert told_by((await forms(*reversed(sent)))[0]) == told_by(answer)


async def test_a_missing_maximum_of_a_form_is_none() -> None:
    assert told_by((await forms(form("021112", "M")))[0]) == [(1, "021112", True, None)]


async def test_a_garbled_form_is_about_all_days_of_its_month() -> None:
    cut, other = form("021112", 71).split("SM")[0].rsplit(RULE, 1)[0], form("021112", 71).replace("CF6MDW", "CF6ORD")
    answer, _ = await forms(cut, other, form("031112", 72), "nonsense")
    assert told_by(answer) == [(1, "031112", True, Decimal(72))]
    month = [date(2025, 5, day) for day in range(1, 32)]
    assert [each.day for each in answer.unreadable] == [*month, *month, None]
    lines = [each.line for each in answer.unreadable[::31]]
    assert "IEM CF6MDW: the form is cut short: 2 of the three rules" in lines[0]
    assert "IEM CF6MDW: requested CF6MDW, received CF6ORD" in lines[1]


async def ghcnd(*rows: Any) -> Answer:
    async def fetch(service: Service) -> Answer:
        return await ncei.daily_maxima(service, [CHICAGO, MIAMI], DAY, DAY, NOW)

    answer, asked = await ask(list(rows), fetch)
    assert asked["stations"] == "USW00014819,USW00012839"
    assert (asked["dataset"], asked["units"], asked["format"]) == ("daily-summaries", "standard", "json")
    assert (asked["startDate"], asked["endDate"], asked["includeAttributes"]) == ("2025-05-07", "2025-05-07", "true")
    return answer


async def test_summaries_are_padded_flagged_or_missing() -> None:
    failed = GHCND_ROW | {"STATION": "USW00012839", "TMAX": "  120", "TMAX_ATTRIBUTES": ",X,W,2400"}
    missing = [GHCND_ROW | {"TMAX": ""}, {"DATE": "2025-05-07", "STATION": "USW00014819"}]
    answer = await ghcnd(GHCND_ROW, failed, *missing)
    found = [(e.observation.loc_id, e.observation.tmax_f, e.observation.flag) for e in answer.reports]
    assert found == [("KMDW", Decimal(71), None), ("KMIA", Decimal(120), "failed its quality check (X)")]
    assert not answer.unreadable


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            {"STATION": "USW00013958"},
            "NCEI GHCND of no station 2025-05-07: STATION is 'USW00013958', which was not requested",
        ),
        ({"DATE": "2025-05-08"}, "NCEI GHCND USW00014819 2025-05-07: DATE 2025-05-08 lies outside"),
        ({"DATE": "soon"}, "not a date"),
        ({"TMAX": "warm"}, "TMAX is 'warm', not a temperature"),
    ],
)
async def test_a_malformed_summary_is_named(change: dict[str, Any], line: str) -> None:
    answer = await ghcnd(GHCND_ROW | change, GHCND_ROW)
    assert len(answer.reports) == 1
    assert line in answer.unreadable[0].line


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"valid": "9999-12-31"}, "valid 9999-12-31 lies outside"),
        ({"valid": {"deep": [[[]]]}}, "not a date"),
        ({"product": "999912312359-KLOT-CDUS43-CLIMDW"}, "issue time 9999-12-31 23:59Z is impossible"),
        ({"product": "000101010000-KLOT-CDUS43-CLIMDW"}, "issue time 1-01-01 00:00Z is impossible"),
        ({"product": "202505060634-KLOT-CDUS43-CLIMDW"}, "impossible for 2025-05-07"),  # before its day began
        ({"high": "8" * 100_000}, "not a temperature"),
        ({"high": 5e-324}, "not a temperature"),
        ({"high": 1e308}, "not a temperature"),
        ({"high": "٨٥"}, "not a temperature"),  # digits, but not ours
        ({"high": 85.25}, "not a temperature"),  # would be rounded by its column
        ({"station": ["KMDW"]}, "station is ['KMDW']"),
        ({"anything": "x" * 600_000}, "bytes"),
    ],
    ids=str,
)
async def test_an_absurd_value_of_a_row_is_named(change: dict[str, Any], line: str) -> None:
    answer, _ = await ask(
        {"results": [CLI_ROW | change]}, lambda service: iem.year_rows(service, Source.CLI, CHICAGO, 2025, NOW)
    )
    assert answer.reports == []
    (unreadable,) = answer.unreadable
    assert line in unreadable.line
    assert len(unreadable.line) < 300
    # What cannot be told of the row may concern any day that was asked for.
    assert unreadable.day == (None if "valid" in change else date(2025, 5, 7))


async def test_a_row_that_is_no_object_or_names_no_station_leaves_the_others() -> None:
    rows: tuple[Any, ...] = (5, None, "x", [CLI_ROW])
    for odd in rows:
        body = {"results": [odd, CLI_ROW]}
        answer, _ = await ask(body, lambda service: iem.year_rows(service, Source.CLI, CHICAGO, 2025, NOW))
        assert (len(answer.reports), [each.day for each in answer.unreadable]) == (1, [None])
    rows = (5, {"properties": CLI_ROW | {"station": ["KMDW"]}}, {"properties": {}})
    for odd in rows:
        body = {"features": [odd, {"properties": CLI_ROW}]}
        answer, _ = await ask(body, lambda service: iem.cli_day(service, [CHICAGO], date(2025, 5, 7), NOW))
        assert (len(answer.reports), [each.loc_id for each in answer.unreadable]) == (1, [None])


@pytest.mark.parametrize("year", ["0001", "1066", "9999"])
async def test_a_year_that_no_report_is_of_is_named_and_ends_nothing(year: str) -> None:
    answer, _ = await texts(TEXT, TEXT.replace("2025", year), TEXT.replace("MAY 7 2025", f"MAY 7 {year}"))
    assert (len(answer.reports), [each.day for each in answer.unreadable]) == (1, [None, None])
    assert all(f"{year} is not a date" in each.line for each in answer.unreadable)
    answer, _ = await forms(form("021112", 71), form("021112", 71).replace("YEAR:  2025", f"YEAR:  {year}"))
    assert (len(answer.reports), [each.day for each in answer.unreadable]) == (1, [None])
    assert f"{year} is not a month" in answer.unreadable[0].line


async def test_a_row_of_the_summaries_that_may_be_about_any_station_is_about_each() -> None:
    rows: tuple[Any, ...] = (5, GHCND_ROW | {"STATION": ["USW00014819"]}, GHCND_ROW | {"DATE": {"deep": [[]]}})
    for odd in rows:
        answer = await ghcnd(GHCND_ROW, odd)
        assert len(answer.reports) == 1
        (unreadable,) = answer.unreadable
        assert len(unreadable.line) < 300
    for tmax in ("1e308", "8" * 10_000, 85.25, True, [85]):
        answer = await ghcnd(GHCND_ROW | {"TMAX": tmax})
        assert (answer.reports, answer.unreadable[0].day) == ([], DAY)
