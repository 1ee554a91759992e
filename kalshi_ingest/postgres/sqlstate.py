"""What an error of PostgreSQL means: one table of SQLSTATEs for all decisions.

A code is looked up whole (`25006`), then by its class (`25`). What the table does not name is a fault of this program:
it is raised unchanged, with its traceback.
"""

from enum import Enum

import asyncpg

from kalshi_ingest.errors import DatabaseAway, DatabaseFull, DatabaseUnusable, IngestError


class Kind(Enum):
    """What to do about an error."""

    LOST = "the session is gone: open another one and do the work again; a commit may have succeeded"
    AGAIN = "the transaction was undone: do it again in the same session"
    MOVED = "this server cannot do it at present: open another session, perhaps on another server, and try again"
    FULL = "the server has no room; that passes, but not within a minute"
    REFUSED = "a person has to change the address, a right or the schema"
    FAULT = "the statement is wrong, or the data: a fault of this program"


_KINDS = {
    # Connection exceptions. PgBouncer uses 08P01 for all it has to say: no server yet, no connection free, too late.
    "08": Kind.LOST,
    # What this server cannot do at all, as Citus with some queries; see `kind_of` for the exception.
    "0A": Kind.REFUSED,
    # A standby; a primary after a failover; `default_transaction_read_only`.
    "25006": Kind.MOVED,
    # The server ended an idle or long transaction; the session is gone with it.
    "25P03": Kind.LOST,
    "25P04": Kind.LOST,
    # A prepared statement that is not there (26000) or is there already (42P05): two sessions share one server process.
    "26": Kind.REFUSED,
    "42P05": Kind.REFUSED,
    # Authorization: user, password, pg_hba.conf.
    "28": Kind.REFUSED,
    # The database (3D) or a schema (3F) does not exist.
    "3D": Kind.REFUSED,
    "3F": Kind.REFUSED,
    # Deadlock, serialization failure: undone because of another transaction.
    "40": Kind.AGAIN,
    # The outcome of a statement is not known.
    "40003": Kind.LOST,
    # A right is missing; a table or a column is missing. All else in class 42 is wrong SQL.
    "42501": Kind.REFUSED,
    "42P01": Kind.REFUSED,
    "42703": Kind.REFUSED,
    # Disk, memory, a limit on temporary files.
    "53": Kind.FULL,
    # Too many connections: another one ends sooner or later.
    "53300": Kind.LOST,
    # A row, a table or the database is in use or locked.
    "55006": Kind.AGAIN,
    "55P03": Kind.AGAIN,
    # A statement was cancelled, by a time limit or by a person.
    "57014": Kind.AGAIN,
    # The server is shutting down, has crashed, is starting, or ended an idle session; the database was dropped.
    "57": Kind.LOST,
    # The operating system under the server: I/O errors, files that are missing.
    "58": Kind.MOVED,
    # "Snapshot too old".
    "72": Kind.AGAIN,
    # The server's configuration file is broken.
    "F0": Kind.MOVED,
    # An internal error of the server, of an extension or of a pooler.
    "XX": Kind.MOVED,
    # Data or an index are damaged.
    "XX001": Kind.REFUSED,
    "XX002": Kind.REFUSED,
}

_SCHEMA_CODES = ("3F000", "42P01", "42703")
_POOLER_CODES = ("26000", "42P05")

POOLED = (
    "is a pooler in transaction mode, which neither locks nor prepared statements survive: use the direct address of "
    "the server, or the pooler's session mode"
)


def kind_of(error: asyncpg.PostgresError) -> Kind:
    code = str(error.sqlstate or "")
    if isinstance(error, asyncpg.InvalidCachedStatementError):
        return Kind.AGAIN  # a table was altered under a prepared statement
    if code == "08P01" and "startup parameter" in str(error):
        return Kind.REFUSED
    return _KINDS.get(code) or _KINDS.get(code[:2]) or Kind.FAULT


def translated(error: Exception) -> Exception:
    """What a failed statement means to the user; a fault of the program comes back as it is."""
    if isinstance(error, IngestError) or not isinstance(error, asyncpg.PostgresError):
        return error
    kind, said = kind_of(error), first_line(error)
    if kind is Kind.FAULT:
        return error
    if kind is Kind.REFUSED:
        return DatabaseUnusable(_refusal(error))
    if kind is Kind.FULL:
        return DatabaseFull(_no_room(said))
    if error.sqlstate == "25006":
        return DatabaseAway(
            f"the database is read-only ({said}): a standby, or a failover under way; if it stays so, point "
            "KALSHI_INGEST_DATABASE_URL at the primary"
        )
    return DatabaseAway(f"the database could not do its work: {said}; run again later, nothing is lost")


def is_of_database(error: Exception) -> bool:
    """Whether the database is to blame: it is away, full, read-only or locked, or a person has to change it.

    False for everything of the exchange, and for faults of this program, wrong SQL included.
    """
    return isinstance(translated(error), DatabaseAway | DatabaseUnusable)


def first_line(error: BaseException) -> str:
    """The error in one line, without details."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]


def _refusal(error: asyncpg.PostgresError) -> str:
    code, said = str(error.sqlstate), first_line(error)
    if code == "42501":
        return f"the database user lacks a right: {said}"
    if code in _SCHEMA_CODES:
        return f"the schema is missing or old: {said}; run `kalshi-ingest migrate`"
    if code in _POOLER_CODES:
        return f"the database's address {POOLED} ({said})"
    if code.startswith("XX"):
        return f"the database is damaged: {said}; restore it from a backup"
    return f"cannot use the database: {said}"


def _no_room(said: str) -> str:
    if "shared memory segment" in said:
        return f"the server's /dev/shm is full or too small: {said}; enlarge it (Docker: --shm-size), then run again"
    return f"the database can take no more data: {said}; free some room, then run again"
