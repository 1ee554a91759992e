"""Climate reports, the monthly form and GHCN-Daily: shapes, finality, and the planted faults."""

from __future__ import annotations

import io
import re
import zipfile
from datetime import UTC, date, datetime, timedelta

import pytest

from kalshi_simulator import WeatherConfig
from kalshi_simulator.weather.stations import STATIONS
from tests.simulator.support import small_world
from tests.simulator.weather_support import Issued, read_reports, weather
from tests.support.recorded import RECORDED, needs_recorded

DAY = date(2025, 11, 3)
LATER = datetime(2025, 12, 20, tzinfo=UTC)
CLI_FIELDS = set(
    re.findall(
        r"\w+",
        """
    station valid state wfo link product name high high_record high_record_years high_normal high_depart
    high_time low low_record low_record_years low_normal low_depart low_time precip precip_normal precip_month
    precip_month_normal precip_jan1 precip_jan1_normal precip_jun1 precip_jun1_normal precip_jul1 precip_dec1
    precip_dec1_normal precip_record precip_record_years snow snowdepth snow_normal snow_month snow_jun1
    snow_jul1 snow_dec1 snow_record snow_record_years snow_jul1_normal snow_jul1_depart snow_dec1_normal
    snow_month_normal average_sky_cover resultant_wind_speed resultant_wind_direction highest_wind_speed
    highest_wind_direction highest_gust_speed highest_gust_direction average_wind_speed
    """,
    )
)
CF6_FIELDS = set(
    re.findall(
        r"\w+",
        """
    station valid state wfo link product name high low avg_temp dep_temp hdd cdd precip snow snowd_12z avg_smph
    max_smph avg_drct minutes_sunshine possible_sunshine cloud_ss wxcodes gust_smph gust_drct
    """,
    )
)


def about(issued: list[Issued], day: date = DAY) -> list[Issued]:
    return [report for report in issued if report.day == day]


async def reports_of(station: str, *planted: str, day: date = DAY) -> list[Issued]:
    async with weather(small_world(now=LATER), plain=True, planted={(station, day): planted}) as asking:
        return about(await asking.issued(STATIONS[station].pil, "2025-11-01", "2025-11-10"), day)


async def test_a_plain_day_has_a_partial_and_a_final_report_that_agree() -> None:
    for icao, station in STATIONS.items():
        partial, final = await reports_of(icao)
        assert (partial.partial, final.partial) == (True, False)
        assert partial.high == final.high
        assert " TODAY " in partial.text
        assert " YESTERDAY " in final.text
        assert ("VALID TODAY AS OF" in partial.text) == (icao not in ("KDEN", "KAUS"))
        assert ":" in re.findall(r"^  MAXIMUM.*[AP]M", final.text, re.M)[0] or not station.colon


async def test_every_final_is_issued_after_its_climate_day_and_no_partial_is() -> None:
    world = small_world(start=date(2025, 1, 1), now=LATER)
    async with weather(world, rates={"partial_after_final": 0}) as asking:
        source = asking.simulator.weather.weather.reports
        for station in STATIONS.values():
            day = date(2025, 1, 1)
            while day < date(2025, 12, 1):
                for report in source.about(station, day):
                    assert report.full_day == (report.issued >= station.day_end(day)), report
                    assert report.issued < station.day_end(day) + timedelta(hours=12)
                day += timedelta(days=1)


async def test_the_partial_of_a_day_with_a_late_maximum_says_less() -> None:
    partial, final = await reports_of("KMDW", "late_peak")
    assert partial.high is not None
    assert final.high is not None
    assert partial.high < final.high


async def test_a_late_correction() -> None:
    first, correction = (await reports_of("KMIA", "correction:-5"))[1:]
    assert first.high is not None
    assert correction.high == first.high - 5
    assert (first.corrected, correction.corrected) == (False, True)
    hours = (int(correction.stamp[2:4]) * 60 + int(correction.stamp[4:]) - int(first.stamp[2:4]) * 60) / 60
    assert 1 <= hours <= 7


async def test_a_missing_and_a_blank_final() -> None:
    assert all(report.partial for report in await reports_of("KPHL", "cli_missing"))
    partial, final = await reports_of("KPHL", "cli_m")
    assert partial.high is not None
    assert final.high is None
    assert re.search(r"^  MAXIMUM +MM +MM ", final.text, re.M)


async def test_a_record_carries_its_flag() -> None:
    final = (await reports_of("KLAX", "record"))[-1]
    assert re.search(rf"^  MAXIMUM +{final.high}R +\d+ [AP]M +{final.high} ", final.text, re.M)


async def test_a_morning_report_without_the_word_today() -> None:
    morning, afternoon, _ = await reports_of("KDEN", "morning_partial")
    assert "VALID AS OF 0600 AM LOCAL TIME." in morning.text
    assert morning.high is not None
    assert afternoon.high is not None
    assert morning.high <= afternoon.high


async def test_a_partial_that_is_sent_again_after_the_final() -> None:
    planted = ("partial_after_final", "late_peak")
    _, final, stray = await reports_of("KMDW", *planted)
    assert stray.partial
    assert stray.high is not None
    assert final.high is not None
    assert stray.high < final.high
    async with weather(small_world(now=LATER), plain=True, planted={("KMDW", DAY): planted}) as asking:
        row = (await asking.cli("KMDW", 2025))[DAY.isoformat()]
    assert row["high"] == stray.high  # IEM shows what came last


async def test_the_station_year_holds_the_newest_issuance_with_every_documented_field() -> None:
    planted = {
        ("KMDW", DAY): ("correction:2",),
        ("KMDW", date(2025, 11, 4)): ("cli_m",),
        ("KMDW", date(2025, 7, 5)): ("cli_missing",),
    }
    async with weather(plain=True, planted=planted) as asking:
        rows = await asking.cli("KMDW", 2025)
        issued = await asking.issued("CLIMDW", "2025-11-01", "2025-11-15")
        found = await asking.text(asking.urls.iem + rows[DAY.isoformat()]["link"])
        day_of_all = await asking.json(asking.urls.iem + "/geojson/cli.py", dt="2025-11-03")
    assert list(rows) == sorted(rows)
    assert set(rows[DAY.isoformat()]) == CLI_FIELDS
    newest = about(issued)[-1]
    assert rows[DAY.isoformat()]["high"] == newest.high
    assert next(read_reports(found)).text == newest.text.rstrip("\n") + "\n"
    assert re.fullmatch(r"20251104\d{4}-KLOT-CDUS43-CLIMDW", rows[DAY.isoformat()]["product"])
    assert len(rows[DAY.isoformat()]["high_time"]) <= 7
    blank = rows["2025-11-04"]
    assert (blank["high"], blank["high_depart"], blank["high_time"]) == ("M", "M", None)
    assert max(rows) == "2025-11-13"  # at 20:00Z the afternoon report of today is not out yet
    features = {feature["properties"]["station"]: feature for feature in day_of_all["features"]}
    assert set(features) == set(STATIONS)
    assert features["KMDW"]["properties"].items() >= rows[DAY.isoformat()].items()
    assert features["KMDW"]["geometry"]["coordinates"] == [-87.7524, 41.7861]


async def test_precipitation_is_a_number_or_a_trace() -> None:
    async with weather() as asking:
        amounts = [row["precip"] for row in (await asking.cli("KMIA", 2025)).values()]
    assert "T" in amounts
    assert all(amount == "T" or isinstance(amount, float) for amount in amounts)


async def test_the_text_archive_orders_limits_and_zips() -> None:
    async with weather(plain=True) as asking:
        url = asking.urls.iem + "/cgi-bin/afos/retrieve.py"
        span = {"pil": "CLIAUS", "sdate": "2025-11-01", "edate": "2025-11-05"}
        newest = list(read_reports(await asking.text(url, **span)))
        ascending = await asking.issued("CLIAUS", "2025-11-01", "2025-11-05")
        descending = list(read_reports(await asking.text(url, **span, limit=9999, order="desc")))
        async with asking.session.get(url, params=span | {"fmt": "zip", "limit": "9999"}) as response:
            names = zipfile.ZipFile(io.BytesIO(await response.read())).namelist()
        nothing = await asking.text(url, pil="CLIXXX", limit=5)
        too_many = await asking.ask(url, **span, limit=10_000)
        listing = await asking.json(asking.urls.iem + "/api/1/nws/afos/list.json", pil="CLIAUS", date="2025-11-04")
        unknown = await asking.ask(asking.urls.iem + "/api/1/nwstext/202511040000-KEWX-CDUS44-CLIAUS")
    assert newest == descending[:1]
    assert [report.stamp for report in ascending] == [report.stamp for report in reversed(descending)]
    assert len(names) == len(ascending) == 8
    assert nothing == "ERROR: Could not Find: CLIXXX"
    assert too_many[0] == 422
    assert [row["entered"][:10] for row in listing["data"]] == ["2025-11-04"] * 2
    assert set(listing["data"][0]) == {"index", "entered", "pil", "product_id", "cccc", "count", "link", "text_link"}
    assert unknown[0] == 404


async def test_the_monthly_form_is_rewritten_and_an_older_one_may_come_last() -> None:
    world = small_world(now=datetime(2025, 11, 1, 12, tzinfo=UTC))
    last = date(2025, 10, 31)
    planted = {("KMDW", last): ("cf6_older_product", "late_peak"), ("KMDW", date(2025, 10, 30)): ("cf6_m",)}
    async with weather(world, plain=True, planted=planted) as asking:
        before = await asking.cf6("KMDW", 2025)
        world.now = datetime(2025, 11, 3, tzinfo=UTC)
        after = await asking.cf6("KMDW", 2025)
    assert set(after["2025-10-31"]) == CF6_FIELDS
    assert before["2025-10-31"]["product"] == "202511011112-KLOT-CXUS53-CF6MDW"
    assert {before[f"2025-10-{day:02d}"]["product"] for day in range(1, 32)} == {before["2025-10-31"]["product"]}
    assert after["2025-10-31"]["product"] < before["2025-10-31"]["product"]
    assert after["2025-10-31"]["high"] < before["2025-10-31"]["high"]
    assert after["2025-10-30"]["high"] == "M"


async def test_ghcn_daily_is_padded_late_and_flagged() -> None:
    off = {("KMDW", DAY): ("ghcnd_off",), ("KMIA", DAY): ("ghcnd_failed",), ("KDEN", DAY): ("ghcnd_missing",)}
    async with weather(small_world(now=datetime(2025, 11, 14, tzinfo=UTC)), plain=True, planted=off) as asking:
        ids = ",".join(STATIONS[icao].ghcnd for icao in ("KMDW", "KMIA", "KDEN"))
        rows = await asking.ghcnd(ids, "2025-11-01", "2025-11-14")
        prefixed = await asking.ghcnd("GHCND:USW00014819", "2025-11-01", "2025-11-14")
        highs = {icao: (await asking.cli(icao, 2025))["2025-11-03"]["high"] for icao in ("KMDW", "KMIA")}
        wrong = await asking.ask(asking.urls.ncei + "/access/services/data/v1", dataset="nonsense")
    assert prefixed == []
    assert wrong[0] == 400
    assert '"errorMessage"' in wrong[1]
    assert max(row["DATE"] for row in rows) < "2025-11-10"
    by_key = {(row["STATION"], row["DATE"]): row for row in rows}
    chicago, miami, denver = (by_key[STATIONS[icao].ghcnd, "2025-11-03"] for icao in ("KMDW", "KMIA", "KDEN"))
    assert re.fullmatch(r" +-?\d+", chicago["TMAX"])
    assert chicago["TMAX_ATTRIBUTES"] == ",,W,2400"
    assert abs(int(chicago["TMAX"]) - highs["KMDW"]) == 1
    assert miami["TMAX_ATTRIBUTES"] == ",X,W,2400"
    assert "TMAX" not in denver


def field_ends(line: str) -> list[int]:
    """Where the fields of a table line end; the record flag belongs to no field."""
    return [found.end() for found in re.finditer(r"[^\sR]+(?: [AP]M)?", line)]


@needs_recorded
@pytest.mark.parametrize("name", ["chi", "mia", "phl", "aus", "den", "nyc"])
async def test_finals_are_laid_out_like_the_recorded_ones(name: str) -> None:
    assert RECORDED is not None
    icao = {"chi": "KMDW", "nyc": "KNYC"}.get(name, f"K{name.upper()}")
    real = (RECORDED / "cli" / f"{name}_final.txt").read_text()
    async with weather(plain=True, now=lambda: datetime(2026, 7, 10, tzinfo=UTC)) as asking:
        issued = await asking.issued(STATIONS[icao].pil, "2026-07-09", "2026-07-10")
    made = next(report.text for report in issued if not report.partial)
    for heading in ("CDUS", "CLI", "CLIMATE REPORT", "NATIONAL WEATHER", "...THE ", "CLIMATE NORMAL", "WEATHER ITEM"):
        theirs, ours = (next(line for line in text.splitlines() if line.startswith(heading)) for text in (real, made))
        assert re.sub(r"\d+", "9", ours) == re.sub(r"\d+", "9", theirs)
    for item in ("  MAXIMUM ", "  MINIMUM ", "  AVERAGE ", "  YESTERDAY "):
        theirs, ours = (next(line for line in text.splitlines() if line.startswith(item)) for text in (real, made))
        # a trace stands further left than an amount
        assert "T " in theirs + ours or field_ends(ours) == field_ends(theirs), (theirs, ours)
    local = re.search(r"^\d+ [AP]M [A-Z]{3} THU JUL 09 2026$", made, re.M)
    assert local is not None


async def test_the_seed_decides_which_days_are_odd() -> None:
    blank = []
    for seed in (1, 1, 2):
        async with weather(plain=False, seed=seed, rates={"cli_m": 0.5}) as asking:
            rows = (await asking.cli("KMDW", 2025)).values()
        blank.append([row["valid"] for row in rows if row["high"] == "M"])
    assert blank[0] == blank[1] != blank[2]
    assert 100 < len(blank[0]) < 220


def test_unknown_oddities_are_refused() -> None:
    with pytest.raises(ValueError, match="snow"):
        WeatherConfig(rates={"snow": 1})
    with pytest.raises(ValueError, match="hail"):
        WeatherConfig(planted={("KMDW", DAY): ("hail",)})
