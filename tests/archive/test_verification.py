"""Every kind of damage is found before anything is written, and named by file, column and row."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kalshi_ingest.archive.verification import ArchivedCity, checked_city
from kalshi_ingest.errors import Unusable
from kalshi_ingest.parquet.manifest import read_manifest
from kalshi_ingest.parquet.schema import CHECKPOINTS, TABLES, TRADES
from kalshi_ingest.parquet.storage import ArchiveStorage
from tests.archive import small

D = Decimal


def _checked(folder: Path) -> ArchivedCity:
    storage = ArchiveStorage.at(str(folder))
    manifest = read_manifest(storage)
    assert manifest is not None
    ((label, entry),) = manifest.cities.items()
    steps = checked_city(storage, label, entry)
    found: list[ArchivedCity] = []

    def all_steps() -> Iterator[None]:
        found.append((yield from steps))

    for _ in all_steps():
        pass
    return found[0]


def test_a_sound_archive_is_read_as_it_was_written(tmp_path: Path) -> None:
    tables = small.sound()
    city = _checked(small.write(tmp_path, tables))
    assert (city.markets, city.trades, city.series_tickers) == (2, 6, ("KXHIGHCHI",))
    for table in TABLES:
        read = [row for rows in city.rows(table) for row in rows]
        assert read == [tuple(row[name] for name in table.names) for row in tables[table.name]]


def test_an_empty_archive_is_sound(tmp_path: Path) -> None:
    tables = {name: rows if name == "series" else [] for name, rows in small.sound().items()}
    assert _checked(small.write(tmp_path, tables)).trades == 0


Change = Callable[[small.Tables], object]


def _set(table: str, row: int, **values: Any) -> Change:
    return lambda tables: tables[table][row].update(values)


def _drop(table: str, row: int) -> Change:
    return lambda tables: tables[table].pop(row)


def _swap(table: str) -> Change:
    return lambda tables: tables[table].reverse()


def _double(table: str) -> Change:
    return lambda tables: tables[table].insert(0, dict(tables[table][0]))


@pytest.mark.parametrize(
    "change",
    [
        _drop("checkpoints", 0),
        *(
            _set("checkpoints", 0, state=state, verdict=None, error=error, completed_at=None)
            for state, error in (("walking", None), ("open", None), ("failed", "why"))
        ),
    ],
    ids=["no checkpoint", "walking", "open", "failed"],
)
def test_candles_of_a_market_that_is_not_complete_may_have_been_forgotten(tmp_path: Path, change: Change) -> None:
    tables = small.sound()
    for name in ("candles_1m", "candles_5m"):
        tables[name] = [row for row in tables[name] if row["ticker"] == small.TICKERS[1]]
    change(tables)
    assert _checked(small.write(tmp_path, tables)).trades == 6


_START = datetime(2025, 11, 14, 15, 0, tzinfo=UTC)

_BROKEN: list[tuple[Change, str]] = [
    (
        _set("trades", 4, yes_price=D("1.2")),
        r"chicago/trades\.parquet: column yes_price, row 5: 1\.200000 is not a price b",
    ),
    (_set("trades", 0, yes_price=D("-0.1")), r"trades\.parquet: column yes_price, row 1: -0\.100000 is not a price"),
    (_set("trades", 1, yes_price=None), r"trades\.parquet: column yes_price, row 2: the value is missing"),
    (_set("trades", 2, count=D(0)), r"trades\.parquet: column count, row 3: 0\.00 is not above 0"),
    (_set("trades", 2, taker_side="both"), r"trades\.parquet: column taker_side, row 3: 'both' is none of no, yes"),
    (
        _set("trades", 2, trade_id="0000"),
        r"trades\.parquet: column trade_id, row 3: '0000' is not of the form of a UUID",
    ),
    (
        _set("trades", 5, ticker="KXHIGHCHI-Z"),
        r"trades\.parquet: column ticker, row 6: 'KXHIGHCHI-Z' is not in markets",
    ),
    (
        _set("trades", 5, created_time=datetime(1970, 1, 1, tzinfo=UTC)),
        r"trades\.parquet: column created_time, row 6: 1970-01-01 00:00:00\.000000 is not a time from 2000 to 2100",
    ),
    *[(_swap(table), rf"{table}\.parquet: .* is out of order") for table in ("trades", "candles_1m", "checkpoints")],
    *[(_double(table), rf"{table}\.parquet: .* row 2: .* comes twice") for table in small.sound()],
    (
        _set("candles_1m", 1, period_end=_START + timedelta(minutes=6)),
        r"candles_1m\.parquet: column period_end, row 2: 2025-11-14 15:06:00\.000000 is not 1 min after period_start",
    ),
    (
        _set("candles_5m", 1, period_start=_START + timedelta(minutes=1), period_end=_START + timedelta(minutes=6)),
        r"candles_5m\.parquet: column period_start, row 2: .* is not where a period of 5 min starts",
    ),
    (_set("candles_5m", 0, period_minutes=1), r"candles_5m\.parquet: column period_minutes, row 1: 1 is not 5"),
    (
        _set("candles_5m", 0, high=D("0.5")),
        r"candles_5m\.parquet: column close, row 1: 0\.600000 is not between low and",
    ),
    (
        _set("candles_5m", 0, vwap=D("0.7")),
        r"candles_5m\.parquet: column vwap, row 1: 0\.700000 is not between low and",
    ),
    (
        _set("candles_1m", 0, volume=D(2)),
        r"candles_1m\.parquet: column volume: 2\.00 of \S+ at 2025-11-14 15:00 is not ",
    ),
    (
        _set("candles_1m", 0, num_trades=2),
        r"candles_1m\.parquet: column num_trades: 2 of \S+ at 2025-11-14 15:00 is not",
    ),
    (
        _set("candles_5m", 1, close=D("0.5")),
        r"candles_5m\.parquet: column close: 0\.500000 of \S+B55\.5 at 2025-11-14 ",
    ),
    (
        _set("candles_1m", 2, vwap=D("0.6"), high=D("0.7")),
        r"candles_1m\.parquet: column high: 0\.700000 of \S+ at 2025",
    ),
    (_drop("candles_1m", 2), r"candles_1m\.parquet: column ticker: the candle of \S+B55\.5 at 2025-11-14 15:00 is not"),
    (_drop("candles_5m", 1), r"candles_5m\.parquet: column ticker: the candle of \S+B55\.5 .* is missing, though"),
    (_drop("trades", 5), r"candles_5m\.parquet: column close: 0\.600000 of \S+ at 2025-11-14 15:00 is not what the t"),
    (
        lambda tables: tables["candles_1m"].append(
            tables["candles_1m"][5]
            | {"period_start": _START + timedelta(minutes=3), "period_end": _START + timedelta(minutes=4)}
        ),
        r"candles_1m\.parquet: column ticker: there are no trades for the candle of \S+ at 2025-11-14 15:03",
    ),
    (
        _set("checkpoints", 1, trades_stored=4),
        r"checkpoints\.parquet: column trades_stored, row 2: 4 of \S+, but trades\.parquet holds 3",
    ),
    (
        _set("checkpoints", 1, contracts_stored=D(7)),
        r"column contracts_stored, row 2: 7\.00 of \S+, but .* holds 6\.00",
    ),
    (_set("checkpoints", 0, state="done"), r"checkpoints\.parquet: column state, row 1: 'done' is none of complete"),
    (_set("checkpoints", 0, verdict="good"), r"column verdict, row 1: 'good' is none of exact, over, short, unknown"),
    (_set("checkpoints", 0, verdict=None), r"column verdict, row 1: None is not what a checkpoint of this state says"),
    (_set("checkpoints", 0, settled_first=False), r"column settled_first, row 1: False is not what a checkpoint of"),
    (_set("checkpoints", 0, run_id="x"), r"checkpoints\.parquet: column run_id, row 1: 'x' is not of the form"),
    (_set("markets", 1, status="finalized"), r"markets\.parquet: column status, row 2: 'finalized' is none of closed"),
    (_set("markets", 1, raw="{"), r"markets\.parquet: column raw, row 2: '\{' is not a JSON object"),
    (_set("events", 0, raw="[]"), r"events\.parquet: column raw, row 1: '\[\]' is not a JSON object"),
    (
        _set("series", 0, settlement_sources="{}"),
        r"series\.parquet: column settlement_sources, row 1: '\{\}' is not a JSON",
    ),
    (
        _set("markets", 0, event_date=date(2025, 11, 15)),
        r"column event_date, row 1: 2025-11-15 is not the date in ev",
    ),
    (_set("markets", 0, city="miami"), r"markets\.parquet: column city, row 1: 'miami' is not chicago"),
    (_set("markets", 0, city=None), r"markets\.parquet: column city, row 1: None is not chicago"),
    (_set("markets", 0, series_ticker="KXHIGHMIA"), r"column series_ticker, row 1: 'KXHIGHMIA' is not in series\.parq"),
    (
        _set("series", 0, series_ticker="KXHIGHMIA"),
        r"column series_ticker, row 1: 'KXHIGHMIA' is not one of the city's",
    ),
    (_set("listings", 0, markets=-1), r"listings\.parquet: column markets, row 1: -1 is below 0"),
]


@pytest.mark.parametrize(("change", "said"), _BROKEN, ids=[said[:60] for _, said in _BROKEN])
def test_a_row_that_breaks_a_rule(tmp_path: Path, change: Change, said: str) -> None:
    tables = small.sound()
    change(tables)
    small.write(tmp_path, tables)
    with pytest.raises(Unusable, match=said):
        _checked(tmp_path)


def test_order_holds_across_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kalshi_ingest.archive.verification.ROWS", 1)
    _checked(small.write(tmp_path, small.sound()))
    tables = small.sound()
    tables["trades"][2], tables["trades"][3] = tables["trades"][3], tables["trades"][2]
    with pytest.raises(Unusable, match=r"trades\.parquet: column trade_id, row 4: the row .* is out of order"):
        _checked(small.write(tmp_path, tables))


def _without(table: pa.Table) -> pa.Table:
    return table.drop_columns(["count"])


def _floats(table: pa.Table) -> pa.Table:
    return table.set_column(3, "yes_price", table["yes_price"].cast(pa.float64()))


def _more(table: pa.Table) -> pa.Table:
    return table.append_column("note", table["ticker"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_without, r"chicago/trades\.parquet: column count is missing"),
        (_floats, r"chicago/trades\.parquet: column yes_price is of type double, not decimal128\(7, 6\)"),
        (_more, r"chicago/trades\.parquet: column note does not belong there"),
    ],
)
def test_a_file_with_other_columns(tmp_path: Path, change: Callable[[pa.Table], pa.Table], said: str) -> None:
    small.write(tmp_path, small.sound())
    path = tmp_path / "chicago" / TRADES.file
    pq.write_table(change(pq.read_table(path)), path)
    small.sign(tmp_path)
    with pytest.raises(Unusable, match=said):
        _checked(tmp_path)


def _cut(content: bytes) -> bytes:
    return content[:-10]


def _flip(content: bytes) -> bytes:
    return content[:200] + bytes([content[200] ^ 1]) + content[201:]


def _foreign(_: bytes) -> bytes:
    return b"no Parquet at all" * 50


@pytest.mark.parametrize("damage", [_cut, _flip, _foreign])
def test_a_damaged_file(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    small.write(tmp_path, small.sound())
    path = tmp_path / "chicago" / TRADES.file
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(Unusable, match=r"chicago/trades\.parquet (has|is not the file that manifest\.json describes)"):
        _checked(tmp_path)
    small.sign(tmp_path)
    if damage is not _flip:
        with pytest.raises(Unusable, match=r"chicago/trades\.parquet cannot be read: damaged"):
            _checked(tmp_path)


def test_a_missing_file(tmp_path: Path) -> None:
    small.write(tmp_path, small.sound())
    (tmp_path / "chicago" / TRADES.file).unlink()
    with pytest.raises(Unusable, match=r"chicago/trades\.parquet is missing in .*, though manifest\.json lists it"):
        _checked(tmp_path)


def test_a_manifest_that_says_otherwise(tmp_path: Path) -> None:
    path = small.write(tmp_path, small.sound()) / "manifest.json"
    sound = json.loads(path.read_text())
    files = sound["cities"]["chicago"]["files"]
    files["chicago/trades.parquet"]["rows"] = 7
    path.write_text(json.dumps(sound))
    with pytest.raises(Unusable, match=r"chicago/trades\.parquet has 6 rows, manifest\.json says 7"):
        _checked(tmp_path)
    del files["chicago/trades.parquet"]
    path.write_text(json.dumps(sound))
    with pytest.raises(Unusable, match=r"chicago/trades\.parquet is missing from manifest\.json"):
        _checked(tmp_path)
    path.write_text(json.dumps(sound | {"version": 3}))
    with pytest.raises(Unusable, match=r"version 3; this program reads up to 2"):
        _checked(tmp_path)


def test_an_archive_of_the_first_version_lacks_two_columns(tmp_path: Path) -> None:
    tables = small.sound()
    small.write(tmp_path, tables)
    path = tmp_path / "chicago" / CHECKPOINTS.file
    pq.write_table(pq.read_table(path).drop_columns(["newest_time", "since_time"]), path)
    small.sign(tmp_path)
    (rows,) = _checked(tmp_path).rows(CHECKPOINTS)
    assert rows == [tuple(row[name] for name in CHECKPOINTS.names) for row in tables["checkpoints"]]


def test_a_folder_of_no_known_city(tmp_path: Path) -> None:
    small.write(tmp_path, small.sound(), label="boston")
    with pytest.raises(Unusable, match="boston: neither a city"):
        _checked(tmp_path)
