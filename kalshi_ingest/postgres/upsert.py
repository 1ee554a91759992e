"""Statements that insert rows, or replace those of the same key."""

from collections.abc import Collection, Mapping, Sequence


def upsert(
    table: str, columns: Sequence[str], key: Collection[str], source: str, new: Mapping[str, str] | None = None
) -> str:
    """Insert `source` (a query, or values) into `columns` of `table`, which it calls `held`.

    `new`: SQL for a replaced column, where that is not simply the inserted value.
    """
    replaced = ", ".join(f"{name} = {_new(name, new)}" for name in columns if name not in key)
    return (
        f"insert into {table} as held ({', '.join(columns)}) {source} "
        f"on conflict ({', '.join(key)}) do update set {replaced}"
    )


def differs(columns: Sequence[str], new: Mapping[str, str] | None = None) -> str:
    """The condition, to be put behind an `upsert`, that one of these columns changes."""
    held, replaced = ", ".join(f"held.{name}" for name in columns), ", ".join(_new(name, new) for name in columns)
    return f"({held}) is distinct from ({replaced})"


def _new(name: str, new: Mapping[str, str] | None) -> str:
    return (new or {}).get(name, f"excluded.{name}")
