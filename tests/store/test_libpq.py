"""Parameters of libpq in a database's address, in forms like those of hosted services: each works or is named."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from kalshi_ingest.errors import DatabaseUnusable
from kalshi_ingest.store.database import Database
from tests.exchange.test_obstacles import certificate
from tests.forward_proxy import pass_on

_FORMS = [
    ("neon", "channel_binding=require", "channel_binding"),
    ("neon, with sslmode", "sslmode=prefer&channel_binding=require", "channel_binding"),
    ("neon, binding preferred", "channel_binding=prefer", None),
    ("neon, endpoint", "options=-c%20geqo%3Doff", None),
    ("supabase", "", None),
    ("supabase, sslmode", "sslmode=prefer", None),
    ("supabase, Prisma", "pgbouncer=true", "pgbouncer"),
    ("supabase, Prisma's limit", "connection_limit=1", "connection_limit"),
    ("RDS", "sslmode=allow&connect_timeout=10", None),
    ("RDS, system authorities below verify-full", "sslmode=require&sslrootcert=system", "sslrootcert=system"),
    ("Azure", "sslmode=disable&application_name=app", None),
    ("Azure, GSS off", "gssencmode=disable", None),
    ("Azure, GSS required", "gssencmode=require", "gssencmode"),
    ("Cloud SQL", "sslmode=disable&keepalives=1&keepalives_idle=30", None),
    ("Cloud SQL, by number", "hostaddr=10.0.0.3", "hostaddr"),
    ("Heroku", "sslmode=prefer&connect_timeout=0", None),
    ("Aiven", "sslmode=prefer&target_session_attrs=read-write", None),
    ("Aiven, any host", "target_session_attrs=any&load_balance_hosts=disable", None),
    ("Crunchy Bridge", "sslmode=prefer&client_encoding=UTF8", None),
    ("Timescale", "sslmode=prefer&fallback_application_name=tsdb", None),
    ("DigitalOcean", "keepalives_interval=10&keepalives_count=5&tcp_user_timeout=20000", None),
    ("a timeout that is not a number", "connect_timeout=soon", "connect_timeout"),
    ("hosts in random order", "load_balance_hosts=random", "load_balance_hosts"),
    ("password method", "require_auth=scram-sha-256", "require_auth"),
    ("TLS name", "sslmode=prefer&sslsni=1&sslcertmode=allow&ssl_min_protocol_version=TLSv1.2", None),
    ("negotiation", "sslnegotiation=postgres&sslmode=prefer", None),
]


@pytest.mark.parametrize(("query", "word"), [pytest.param(query, word, id=name) for name, query, word in _FORMS])
async def test_an_address_works_or_the_word_to_drop_is_named(database_url: str, query: str, word: str | None) -> None:
    database = Database(f"{database_url}{'&' if '?' in database_url else '?'}{query}", patience=1)
    if word is not None:
        with pytest.raises(DatabaseUnusable) as caught:
            await database.open()
        assert word in str(caught.value)
        assert "drop" in str(caught.value)
        return
    await database.open()
    try:
        assert await database.run(lambda connection: connection.fetchval("select 1")) == 1
    finally:
        await database.close()


@asynccontextmanager
async def tls_before(url: str, context: ssl.SSLContext) -> AsyncIterator[int]:
    """The port of a server that speaks TLS as PostgreSQL does, and passes everything on to the one at `url`."""
    asked = parse_qs(urlsplit(url).query)
    path = f"{asked['host'][0]}/.s.PGSQL.{asked['port'][0]}"

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readexactly(8)  # the wish for TLS
            writer.write(b"S")
            await writer.start_tls(context)
            there, onward = await asyncio.open_unix_connection(path)
            back = asyncio.create_task(pass_on(there, writer))
            await pass_on(reader, onward)
            back.cancel()
            onward.close()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_authorities_of_the_system(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`sslrootcert=system` verifies with what this machine trusts, and the name too."""
    file, context = certificate(tmp_path, host="localhost", days=(-1, 1))
    async with tls_before(database_url, context) as port:
        parts = urlsplit(database_url)
        ours = f"postgresql://{parts.username}@localhost:{port}{parts.path}?sslmode=verify-full&sslrootcert=system"
        with pytest.raises(DatabaseUnusable, match="certificate verify failed"):
            await Database(ours, patience=1).open()
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        with pytest.raises(DatabaseUnusable, match="certificate verify failed"):
            await Database(ours.replace("localhost", "127.0.0.1"), patience=1).open()
        database = Database(ours, patience=1)
        await database.open()
        await database.close()
