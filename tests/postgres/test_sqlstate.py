"""What an error of PostgreSQL means: whose fault it is, and what is done about it."""

import asyncpg
import pytest

from kalshi_ingest.errors import DatabaseAway, DatabaseUnusable, OutOfReach, Permanent, Unusable
from kalshi_ingest.postgres.sqlstate import Kind, is_of_database, kind_of, translated

_CODES = {
    Kind.LOST: "08000 08003 08004 08006 08P01 25P03 25P04 40003 53300 57P01 57P02 57P03 57P04 57P05",
    Kind.AGAIN: "40001 40P01 55006 55P03 57014 72000",
    Kind.MOVED: "25006 58000 58030 58P01 F0000 XX000",
    Kind.FULL: "53000 53100 53200 53400",
    Kind.REFUSED: "0A000 26000 42P05 28000 28P01 3D000 3F000 42501 42P01 42703 XX001 XX002",
    Kind.FAULT: "42601 42883 42804 42P02 42P10 428C9 21000 22003 22P02 23505 25001 25P02 34000 54000 P0001",
}


async def _raised(url: str, code: str, said: str = "as the server says it") -> asyncpg.PostgresError:
    """The error as a real server sends it."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"do $$ begin raise exception using errcode = '{code}', message = '{said}'; end $$")
    except asyncpg.PostgresError as error:
        return error
    finally:
        connection.terminate()
    raise AssertionError(code)


@pytest.mark.parametrize("kind", list(Kind))
async def test_every_code_has_its_kind_and_says_whose_fault_it_is(kind: Kind, postgres_url: str) -> None:
    for code in _CODES[kind].split():
        error = await _raised(postgres_url, code)
        assert kind_of(error) is kind, code
        assert is_of_database(error) is (kind is not Kind.FAULT), code
        meaning = translated(error)
        if kind is Kind.FAULT:
            assert meaning is error
        else:
            assert isinstance(meaning, DatabaseUnusable if kind is Kind.REFUSED else DatabaseAway), code
            assert "as the server says it" in str(meaning), code


async def test_a_pooler_that_refuses_a_parameter_does_not_pass_by_itself(postgres_url: str) -> None:
    error = await _raised(postgres_url, "08P01", "unsupported startup parameter: jit")
    assert kind_of(error) is Kind.REFUSED


def test_a_table_that_was_altered_under_a_prepared_statement() -> None:
    assert kind_of(asyncpg.InvalidCachedStatementError("cached statement plan is invalid")) is Kind.AGAIN


async def test_what_the_user_reads(postgres_url: str) -> None:
    words = {
        "42501": "the database user lacks a right",
        "25006": "the database is read-only",
        "42P01": "run `kalshi-ingest migrate`",
        "53100": "free some room",
        "26000": "pooler in transaction mode",
        "XX001": "restore it from a backup",
    }
    for code, expected in words.items():
        assert expected in str(translated(await _raised(postgres_url, code)))
    small = 'could not resize shared memory segment "/PostgreSQL.1" to 1 bytes: No space left on device'
    assert "/dev/shm is full or too small" in str(translated(await _raised(postgres_url, "53100", small)))


@pytest.mark.parametrize(
    "error",
    [DatabaseAway("it is away"), DatabaseUnusable("a right is missing"), asyncpg.ConnectionDoesNotExistError("gone")],
)
def test_the_database_is_to_blame(error: Exception) -> None:
    assert is_of_database(error)


@pytest.mark.parametrize(
    "error",
    [
        OutOfReach("the exchange is away"),
        Unusable("there is no such series"),
        Permanent("refused"),
        OSError("no such file"),
        AttributeError("a fault"),
        asyncpg.InterfaceError("the server expects 1 argument for this query, 0 were passed"),
        asyncpg.PostgresSyntaxError("a fault"),
    ],
)
def test_the_database_is_not_to_blame(error: Exception) -> None:
    assert not is_of_database(error)
    assert translated(error) is error
