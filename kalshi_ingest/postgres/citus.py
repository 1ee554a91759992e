"""Whether the tables are distributed over a Citus cluster, and statements that differ there.

Citus refuses per-row look-ups (lateral joins, correlated subqueries, recursion) and wants one query over all nodes. On
one node the look-ups are faster, so a few statements have both forms.
"""

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import asyncpg

_HAS_CITUS = "select to_regclass('pg_dist_partition') is not null"
_IS_SPREAD = "select exists (select from pg_dist_partition where logicalrelid = to_regclass('trades'))"

_known: WeakKeyDictionary[asyncpg.Connection, bool] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Forms:
    """Two statements that give the same rows."""

    one_node: str
    spread: str


async def is_spread(connection: asyncpg.Connection) -> bool:
    """Whether trades is a distributed table of Citus; asked once per connection."""
    known = _known.get(connection)
    if known is None:
        known = await connection.fetchval(_HAS_CITUS) and await connection.fetchval(_IS_SPREAD)
        _known[connection] = known
    return bool(known)


async def form(connection: asyncpg.Connection, forms: Forms) -> str:
    return forms.spread if await is_spread(connection) else forms.one_node
