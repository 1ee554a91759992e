"""Markets held by both an archive and the database: which trades are added, and what is then proved.

Works on the archive's checkpoints in the temporary table `loaded_checkpoints`, in the caller's transaction.
"""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from kalshi_ingest.postgres.checkpoints import COLUMNS, PROVED, UPSERT
from kalshi_ingest.postgres.citus import Forms, form
from kalshi_ingest.postgres.pgcopy_rows import TRADE_COLUMNS, emptying, staging

STAGED = "loaded_trades"

_KNOWN = Forms(
    one_node="""
with archived as (select ticker from loaded_markets union select ticker from loaded_checkpoints)
select ticker from archived
where $1 or exists (select from checkpoints known where known.ticker = archived.ticker)
      or exists (select from trades where trades.ticker = archived.ticker)
      or exists (select from candles where candles.ticker = archived.ticker)
""",
    spread="""
with archived as materialized (select ticker from loaded_markets union select ticker from loaded_checkpoints)
select ticker from archived where $1
union select ticker from checkpoints where ticker in (select ticker from archived)
union select ticker from trades where ticker in (select ticker from archived)
union select ticker from candles where ticker in (select ticker from archived)
""",
)
_MARKETS = """
select count(*) from (select ticker from loaded_markets union select ticker from loaded_checkpoints) as archived
"""
_COLUMNS = ", ".join(TRADE_COLUMNS)
_MERGE = f"""
with added as (
    insert into trades ({_COLUMNS}) select {_COLUMNS} from {STAGED} on conflict do nothing returning ticker
)
select ticker, count(*) as added from added group by ticker
"""  # noqa: S608
# After the merge, so that two rows of the archive itself cannot differ either.
_CHANGED = f"""
select distinct on (ticker) ticker, trade_id
from {STAGED} staged join trades held using (ticker, created_time, trade_id)
where (staged.yes_price, staged.count, staged.taker_side, staged.is_block_trade)
   is distinct from (held.yes_price, held.count, held.taker_side, held.is_block_trade)
order by ticker, trade_id
"""  # noqa: S608
_MOVED = """
select distinct on (ticker) ticker, trade_id from trades where ticker = any($1::text[])
group by ticker, trade_id having count(*) > 1
order by ticker, trade_id
"""
_LEAVE_OUT = (
    f"delete from {STAGED} where ticker = any($1::text[])",  # noqa: S608
    "delete from loaded_checkpoints where ticker = any($1::text[])",
)
_COUNT = """
create temporary table if not exists counted_trades
    (ticker text primary key, held boolean, trades bigint, contracts numeric) on commit delete rows;
delete from counted_trades;
"""
_TO_COUNT = f"""
insert into counted_trades (ticker, held, trades, contracts)
select ticker, bool_or(held), 0, 0
from (select unnest($1::text[]) as ticker, true as held
      union all select ticker, false from loaded_checkpoints where not {PROVED}) as either
group by ticker
"""  # noqa: S608
_COUNTED = """
with found as materialized (
    select ticker, count(*) as trades, sum(count) as contracts
    from trades where ticker in (select ticker from counted_trades) group by ticker
)
update counted_trades wanted set trades = found.trades, contracts = found.contracts
from found where found.ticker = wanted.ticker
"""
_AS_COUNTED = """
update loaded_checkpoints loaded set trades_stored = counted.trades, contracts_stored = counted.contracts
from counted_trades counted where counted.ticker = loaded.ticker
"""
# Of two that are true the database's stays, unless it proves less.
_TAKE = f"""
insert into checkpoints as known ({", ".join(COLUMNS)})
select {", ".join(f"loaded.{name}" for name in COLUMNS)}
from loaded_checkpoints loaded left join counted_trades counted using (ticker)
left join checkpoints mine using (ticker)
where case when counted.held then
        loaded.{PROVED}
        and (loaded.trades_stored, loaded.contracts_stored) = (counted.trades, counted.contracts)
        and (mine.ticker is null
             or (mine.trades_stored, mine.contracts_stored) <> (counted.trades, counted.contracts)
             or (not $1 and not mine.{PROVED})
             or (mine.verdict = 'unknown' and loaded.verdict <> 'unknown'))
    else
        counted.ticker is null or (loaded.trades_stored, loaded.contracts_stored) = (counted.trades, counted.contracts)
    end
{UPSERT}
"""  # noqa: S608
_UNTRUE = """
delete from checkpoints known using counted_trades counted
where known.ticker = counted.ticker
  and (known.trades_stored, known.contracts_stored) <> (counted.trades, counted.contracts)
"""
# The candles of either length have to add up to the trades; they may have been lost or doubled before.
_UNLIKE = """
select ticker from counted_trades wanted
cross join (values (1), (5)) as lengths (minutes)
left join (
    select ticker, period_minutes as minutes, sum(num_trades) as trades, sum(volume) as contracts
    from candles where ticker in (select ticker from counted_trades) group by 1, 2
) as made using (ticker, minutes)
where held and (coalesce(made.trades, 0), coalesce(made.contracts, 0)) <> (wanted.trades, wanted.contracts)
"""
_COMPLETE = f"""
select ticker from checkpoints where {PROVED} and ticker in (select ticker from loaded_checkpoints)
"""  # noqa: S608


async def known_tickers(connection: asyncpg.Connection, *, everything: bool) -> frozenset[str]:
    """The archive's markets of which the database holds a checkpoint or rows; with `everything` all of them."""
    return frozenset(row[0] for row in await connection.fetch(await form(connection, _KNOWN), everything))


async def archived_markets(connection: asyncpg.Connection) -> int:
    """How many markets the archive names, be it in its markets or in its checkpoints."""
    return int(await connection.fetchval(_MARKETS))


async def create_staging(connection: asyncpg.Connection) -> None:
    """An empty `STAGED` table like trades, without its key."""
    await connection.execute(f"{staging('trades', TRADE_COLUMNS, STAGED)}; {emptying(STAGED)}")


async def merge_staged(connection: asyncpg.Connection) -> tuple[dict[str, int], dict[str, UUID]]:
    """Add the staged trades that are not there yet: how many, per market that got some.

    And the markets of which a trade is in the database already, or twice in the archive, with other values, each
    with one such trade: of these nothing is added, and the archive's checkpoints are left out.
    """
    await connection.execute(f"analyze {STAGED}")
    attempt = connection.transaction()
    await attempt.start()
    added = await _merged(connection)
    contradicted = {row[0]: row[1] for row in await connection.fetch(_MOVED, list(added))}
    contradicted |= {row[0]: row[1] for row in await connection.fetch(_CHANGED)}
    if not contradicted:
        await attempt.commit()
        return added, {}
    await attempt.rollback()
    for statement in _LEAVE_OUT:
        await connection.execute(statement, list(contradicted))
    return await _merged(connection), contradicted


async def _merged(connection: asyncpg.Connection) -> dict[str, int]:
    return {row[0]: row[1] for row in await connection.fetch(_MERGE)}


async def settle_checkpoints(
    connection: asyncpg.Connection, known: frozenset[str], added_to: Sequence[str], *, counted: bool
) -> tuple[int, list[str]]:
    """Take the archive's checkpoints that match the tables, drop the database's own that no longer do.

    `counted`: the archive's counts are not known and are taken from the table. Returns how many markets are newly
    complete, and those markets held before whose candles have to be rebuilt: they got trades, or are proved now, or
    their candles do not add up to their trades.
    """
    tickers = sorted(known)
    # The planner takes tables that this transaction filled for empty, and then compares every row with every other.
    await connection.execute("analyze loaded_checkpoints; analyze checkpoints")
    before = {row[0] for row in await connection.fetch(_COMPLETE)}
    await connection.execute(_COUNT)
    if (await connection.execute(_TO_COUNT, tickers)) != "INSERT 0 0":
        await connection.execute("analyze trades; analyze counted_trades")
        await connection.execute(_COUNTED)
    if counted:
        await connection.execute(_AS_COUNTED)
    await connection.execute(_TAKE, counted)
    await connection.execute(_UNTRUE)
    await connection.execute("analyze checkpoints")
    now = {row[0] for row in await connection.fetch(_COMPLETE)}
    unlike = {row[0] for row in await connection.fetch(_UNLIKE)}
    return len(now - before), sorted({*added_to, *((now - before) & known), *unlike})
