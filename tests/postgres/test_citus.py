"""What Citus 13.0.4 refused when every statement was tried on three nodes is refused here, by reading the statements.

The forms that it refused stay for one node alone, as the first form of a `Forms`; beside them there are none.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from benchmarks.filled import fill
from kalshi_ingest.archive.queries import merge, reading
from kalshi_ingest.archive.queries.city_facts import city_facts
from kalshi_ingest.coverage.queries import candle_audit
from kalshi_ingest.coverage.queries.evidence import read
from kalshi_ingest.coverage.rules.evidence import Evidence
from kalshi_ingest.postgres.citus import Forms, form, is_spread
from kalshi_ingest.web import queries
from tests.postgres.test_statements import every_statement
from tests.support import postgres

_OPERATIONS = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
DISTRIBUTED = re.findall(r"create_distributed_table\('(\w+)', 'ticker'", _OPERATIONS)

_NO_ALIAS = "where|on|join|left|cross|full|using|order|group|limit|set|with|as|union|offset|values|for|returning"
_SOURCES = re.compile(
    rf"(?:\b(?:from|join|using|update|into)|,)\s+(?:only\s+)?([\w.]+)(?:\s+(?:as\s+)?(?!(?:{_NO_ALIAS})\b)(\w+))?"
)
_REFERENCES = re.compile(r"\b(\w+)\.\w+")


def refusal(text: str) -> str | None:
    """Why Citus does not plan a statement; None: nothing that is known of it."""
    spread = _named(text) & set(DISTRIBUTED)
    if not spread:
        return None
    if re.match(r"\s*with recursive\b", text):
        return "recursion over more than one market"
    everywhere = {alias for table, alias in _sources(text) if table in DISTRIBUTED}
    everywhere |= {name for name, own in _subqueries(text) if name and _named(own) & set(DISTRIBUTED)}
    for _, own in _subqueries(text):
        sources = _sources(own)
        if not {table for table, _ in sources} & set(DISTRIBUTED):
            continue
        outer = set(_REFERENCES.findall(own)) - {alias for _, alias in sources} - {"excluded"}
        if outer - everywhere:
            return f"looks up rows for each row of {', '.join(sorted(outer - everywhere))}"
    changed = re.match(r"\s*(?:update|delete from)\s+(\w+)", text)
    if (
        changed
        and changed[1] not in DISTRIBUTED
        and any(_named(own) & set(DISTRIBUTED) for _, own in _subqueries(text))
    ):
        return f"changes {changed[1]} on one node by what is on many"
    return None


def _sources(text: str) -> list[tuple[str, str]]:
    """(table, alias) of what a text names after from and join; the alias of what has none is its own name."""
    found = ((one[1].removeprefix("public."), one[2]) for one in _SOURCES.finditer(text))
    return [(table, alias or table) for table, alias in found]


def _named(text: str) -> set[str]:
    return {table for table, _ in _sources(text)}


def _subqueries(text: str) -> Iterator[tuple[str, str]]:
    """Each query in brackets, without those inside it, and its name where it stands after `with`."""
    begun: list[list[str]] = [[]]
    for letter in text:
        if letter == "(":
            begun.append([])
        elif letter == ")":
            own = "".join(begun.pop())
            named = re.search(r"\b(\w+)\s+as\s+$", "".join(begun[-1]))
            if own.lstrip().startswith("select"):
                yield named[1] if named else "", own
            begun[-1].append(" () ")
        else:
            begun[-1].append(letter)


def test_no_statement_is_one_that_citus_refuses() -> None:
    refused = {name: refusal(text) for name, text in every_statement().items() if not name.endswith(".one_node")}
    assert len(refused) >= 130
    assert {name: why for name, why in refused.items() if why} == {}


def test_only_what_citus_refuses_has_two_forms() -> None:
    """Also shows that each rule here catches what was really refused."""
    kept = {name: text for name, text in every_statement().items() if name.endswith(".one_node")}
    assert len(kept) >= 10
    assert [name for name, text in kept.items() if refusal(text) is None] == []


REFUSED = """
select * from unnest($1::text[]) as wanted(ticker)
cross join lateral (select 1 from trades where trades.ticker = wanted.ticker) as t;
select (select max(created_time) from trades where ticker = chosen.ticker) from chosen;
select ticker from loaded_markets loaded where exists (select from candles where candles.ticker = loaded.ticker);
update loaded_checkpoints set trades_stored = n
from (select ticker, count(*) as n from trades group by 1) as f;
with recursive found as (select ticker from candles union all select ticker from found) select * from found
"""


@pytest.mark.parametrize("text", REFUSED.split(";"))
def test_the_forms_that_were_refused_are_known(text: str) -> None:
    assert refusal(text)


async def test_the_form_is_chosen_by_where_the_trades_are(database_url: str) -> None:
    """Citus keeps `pg_dist_partition` in pg_catalog; a table of that name on the search path is found as well."""
    forms = Forms(one_node="one", spread="many")
    chosen = []
    for placed in (
        "select 1",
        "create table pg_dist_partition (logicalrelid regclass)",
        "insert into pg_dist_partition values ('markets')",
        "insert into pg_dist_partition values ('trades')",
    ):
        connection = await asyncpg.connect(database_url)
        try:
            await connection.execute(placed)
            chosen.append(await form(connection, forms))
            assert await is_spread(connection) is (chosen[-1] == "many")
        finally:
            await connection.close()
    assert chosen == ["one", "one", "one", "many"]


_DAMAGE = """
delete from trades where ticker = (select min(ticker) from trades) and trade_id::text < '4';
update candles set high = high + 0.01 where ticker = (select max(ticker) from candles) and period_minutes = 5;
delete from candles where ticker = (select max(ticker) from markets where series_ticker = 'KXHIGHCHI');
update candles set period_start = period_start - interval '3 days', period_end = period_end - interval '3 days'
where period_minutes = 1 and ticker like 'KXHIGHMIA%';
insert into candles (ticker, period_minutes, period_start, period_end, open, high, low, close, volume, vwap, num_trades)
select ticker, 15, period_start, period_start + interval '15 minutes', open, high, low, close, volume, vwap, num_trades
from candles where period_minutes = 5 order by ticker, period_start offset 40 limit 1;
insert into trades (ticker, created_time, trade_id, yes_price, count, taker_side, is_block_trade)
select 'KXHIGHAUS-26MAY01-T99', created_time, trade_id, yes_price, count, taker_side, is_block_trade
from trades order by ticker, created_time limit 3;
"""


async def test_both_forms_say_the_same(database_url: str) -> None:
    """Of whole rows and damaged ones, on one node, which plans either form."""
    connection = await asyncpg.connect(database_url)
    try:
        await fill(connection, 200, 4_000)
        await connection.execute(_DAMAGE)
    finally:
        await connection.close()
    on_one = await _answers(database_url)
    await postgres.execute(database_url, "create table pg_dist_partition as select 'trades'::regclass as logicalrelid")
    assert await _answers(database_url) == on_one
    evidence, *_, spans = on_one
    assert isinstance(evidence, Evidence)
    assert len(evidence.rows) > 190
    assert sum(rows.first_fault is not None for rows in evidence.rows.values()) >= 3
    assert spans


async def _answers(url: str) -> list[object]:
    """What the functions with two forms answer."""
    evidence = await read(url)
    series = sorted(evidence.series)
    connection = await asyncpg.connect(url)
    try:
        tickers = await reading.held_tickers(connection, series)
        names = [each.ticker for each in tickers]
        days = [each.event_date for each in tickers]
        copies: list[bytes] = []

        async def take(rows: bytes) -> None:
            copies.append(rows)

        for rows in (
            reading.Rows("trades", ["ticker", "trade_id"], ["ticker", "created_time", "trade_id"], by_date=True),
            reading.Rows("candles", ["ticker", "high"], ["ticker", "period_start"], period_minutes=5),
        ):
            async with reading.snapshot(connection):
                await reading.copy_of_tickers(connection, rows, tickers, take)
        facts = await city_facts(connection, dict.fromkeys(series, "a city"), names, daily=True)
        bins = await queries.bins(connection, series, min(days), max(days))
        spans = await candle_audit.sample(connection, candle_audit.Scope(series), 12, 1, None)
        loaded = [await _loaded(connection, everything) for everything in (False, True)]
        return [evidence, copies, facts, bins, loaded, spans]
    finally:
        await connection.close()


async def _loaded(connection: asyncpg.Connection, everything: bool) -> object:
    """What a load of half of the checkpoints would find and do, undone."""
    undone = connection.transaction()
    await undone.start()
    try:
        for table in ("markets", "checkpoints"):
            await connection.execute(
                f"create temporary table loaded_{table} as select * from {table} where hashtext(ticker) % 2 = 0"
            )
        await connection.execute(
            "insert into loaded_markets (ticker) values ('KXHIGHNY-30JAN01-T1'), ('KXHIGHAUS-26MAY01-T99')"
        )
        await connection.execute("delete from checkpoints where hashtext(ticker) % 3 = 0")
        known = await merge.known_tickers(connection, everything=everything)
        settled = await merge.settle_checkpoints(connection, known, [], counted=everything)
        return known, settled, await connection.fetch("select * from checkpoints order by ticker")
    finally:
        await undone.rollback()
