"""Addresses of databases as hosted services show them: each works, or the word to drop is named."""

import asyncio
import ssl
import struct
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from kalshi_ingest.errors import DatabaseUnusable
from kalshi_ingest.postgres import libpq
from kalshi_ingest.postgres.address import place_of
from kalshi_ingest.postgres.database import Database
from tests.http.test_obstacles import certificate
from tests.support.forward_proxy import pass_on

# The sources are those of the forms: user, password, place and database are the test's own when it connects.
_FORMS = [
    (  # neon.com/faqs/postgres-services-wire-protocol-compatible
        "Neon",
        "postgresql://alex:AbC123dEf@ep-cool-darkness-123456.us-east-2.aws.neon.tech/dbname"
        "?sslmode=require&channel_binding=require",
        "channel_binding",
    ),
    (  # neon.com/docs/connect/connect-securely
        "Neon, verified",
        "postgresql://alex:AbC123dEf@ep-cool-darkness-123456.us-east-2.aws.neon.tech/dbname"
        "?sslmode=verify-full&sslrootcert=system",
        None,
    ),
    (  # neon.com/docs/connect/connection-errors; only Neon's own servers know this option
        "Neon, endpoint named",
        "postgresql://alex:AbC123dEf@ep-cool-darkness-123456.us-east-2.aws.neon.tech/dbname"
        "?options=endpoint%3Dep-cool-darkness-123456",
        "options",
    ),
    (  # neon.com/docs/connect/connection-latency
        "Neon, patient",
        "postgresql://alex:AbC123dEf@ep-cool-darkness-123456.us-east-2.aws.neon.tech/dbname"
        "?sslmode=require&connect_timeout=10",
        None,
    ),
    (  # supabase.com/docs/guides/database/connecting-to-postgres
        "Supabase, direct",
        "postgresql://postgres:secret@db.apbkobhfnmcqqzqeeqss.supabase.co:5432/postgres",
        None,
    ),
    (  # the same page
        "Supabase, session pooler",
        "postgres://postgres.apbkobhfnmcqqzqeeqss:secret@aws-0-us-east-1.pooler.supabase.com:5432/postgres",
        None,
    ),
    (  # supabase.com/docs/guides/database/prisma
        "Supabase, for Prisma",
        "postgres://postgres.apbkobhfnmcqqzqeeqss:secret@aws-0-us-east-1.pooler.supabase.com:6543/postgres"
        "?pgbouncer=true",
        "pgbouncer",
    ),
    (  # docs.aws.amazon.com/AmazonRDS/latest/UserGuide/PostgreSQL.Concepts.General.SSL.html
        "RDS, verified",
        "postgresql://testuser:secret@testpg.555555555555.us-east-1.rds.amazonaws.com:5432/testpg"
        "?sslmode=verify-full&sslrootcert=global-bundle.pem",
        None,
    ),
    (  # the same, without the file
        "RDS, file missing",
        "postgresql://testuser:secret@testpg.555555555555.us-east-1.rds.amazonaws.com:5432/testpg"
        "?sslmode=verify-full&sslrootcert=/nowhere/global-bundle.pem",
        "sslrootcert",
    ),
    (  # learn.microsoft.com/training/modules/build-query-azure-database-postgresql/3-connect-to-postgresql
        "Azure",
        "postgresql://myadmin:secret@mydemoserver.postgres.database.azure.com:5432/postgres?sslmode=require",
        None,
    ),
    (  # the same, for node-postgres, with the user's name of a single server
        "Azure, user at server",
        "postgres://myadmin%40mydemoserver:secret@mydemoserver.postgres.database.azure.com:5432/postgres?ssl=true",
        None,
    ),
    (  # learn.microsoft.com/azure/databricks/oltp/projects/connection-strings
        "Lakebase",
        "postgresql://role_name:secret@ep-abc-123.databricks.com/databricks_postgres?sslmode=require",
        None,
    ),
    (  # cloud.google.com/sql/docs/postgres/connect-run
        "Cloud SQL, socket",
        "postgresql://user:secret@/dbname?host=/cloudsql/my-project:us-central1:my-instance",
        None,
    ),
    (  # prisma.io/docs/orm, PostgreSQL, connecting via sockets
        "Cloud SQL, for Prisma",
        "postgresql://user:secret@localhost/dbname?host=/cloudsql/my-project:us-central1:my-instance",
        None,
    ),
    (  # devcenter.heroku.com/articles/connecting-heroku-postgres
        "Heroku",
        "postgres://u8s7:secret@ec2-117-21-174-214.compute-1.amazonaws.com:5432/d1a2?sslmode=require",
        None,
    ),
    (  # the same, as node-postgres knows it
        "Heroku, for node-postgres",
        "postgres://u8s7:secret@ec2-117-21-174-214.compute-1.amazonaws.com:5432/d1a2?sslmode=no-verify",
        "sslmode",
    ),
    (  # aiven.io/docs/products/postgresql/get-started
        "Aiven",
        "postgres://avnadmin:secret@demo-pg-dev-project.aivencloud.com:13039/defaultdb?sslmode=require",
        None,
    ),
    (  # docs.crunchybridge.com/how-to/pgbouncer, /getting-started/connect-to-your-database
        "Crunchy Bridge",
        "postgres://my_application_user:secret@p.43lmodgbqvdmlpbjirv22dfciu.db.postgresbridge.com:5432/mydb?sslmode=require",
        None,
    ),
    (  # docs.timescale.com
        "Timescale",
        "postgres://tsdbadmin:secret@abc123.def456.tsdb.cloud.timescale.com:34840/tsdb?sslmode=require",
        None,
    ),
    (  # the form that DigitalOcean's control panel shows, as docs.flitch.io/integrations/digitalocean quotes it
        "DigitalOcean",
        "postgresql://doadmin:secret@db-postgresql-nyc1-do-user-1.db.ondigitalocean.com:25060/defaultdb"
        "?sslmode=require",
        None,
    ),
    (  # scaleway.com/en/docs/serverless-sql-databases/api-cli/secure-connection-ssl-tls
        "Scaleway",
        "postgresql://user:secret@abc.pg.sdb.fr-par.scw.cloud:5432/rdb?sslmode=verify-full&sslrootcert=system",
        None,
    ),
    (  # planetscale.com/docs/postgres/connecting
        "PlanetScale",
        "postgresql://postgres.abc:secret@eu-west.horizon.psdb.cloud:5432/postgres"
        "?sslmode=verify-full&sslrootcert=system&sslnegotiation=direct",
        None,
    ),
    (  # prisma.io/docs/postgres/database/direct-connections
        "Prisma Postgres",
        "postgres://2f9881cc:secret@db.prisma.io:5432/?sslmode=require",
        None,
    ),
    (  # node-postgres.com, for the meaning that libpq gives to sslmode
        "node-postgres",
        "postgresql://user:secret@host.example:5432/dbname?uselibpqcompat=true&sslmode=require",
        "uselibpqcompat",
    ),
    (  # fly.io/docs/mpg/client-configuration
        "Fly, managed",
        "postgresql://fly-user:secret@direct.cluster.flympg.net/fly-db",
        None,
    ),
    (  # fly.io/docs/postgres/connecting/app-connection-examples
        "Fly",
        "postgres://postgres:secret@postgresapp.internal:5432/yourdb?sslmode=disable",
        None,
    ),
    (  # postgresql.org/docs/current/libpq-connect.html, as all that follow
        "libpq, several hosts",
        "postgresql://host1:123,host2:456/somedb?target_session_attrs=any&application_name=myapp",
        None,
    ),
    (
        "libpq, keepalives",
        "postgresql://other@localhost/otherdb"
        "?gssencmode=disable&keepalives=1&keepalives_idle=30&keepalives_interval=10&keepalives_count=5"
        "&tcp_user_timeout=20000&options=-c%20geqo%3Doff",
        None,
    ),
    (
        "libpq, preferences",
        "postgresql://other@localhost/otherdb"
        "?channel_binding=prefer&gssencmode=prefer&sslsni=1&sslcertmode=allow&load_balance_hosts=disable",
        None,
    ),
    (
        "libpq, random hosts",
        "postgresql://host1:123,host2:456/somedb?load_balance_hosts=random",
        "load_balance_hosts",
    ),
    (
        "libpq, method of passwords",
        "postgresql://other@localhost/otherdb?require_auth=scram-sha-256",
        "require_auth",
    ),
    (  # learn.microsoft.com/azure/databricks/oltp/projects/connection-strings, as it stands there
        "Lakebase, @ in a name",
        "postgresql://your-email@example.com@ep-abc-123.databricks.com/databricks_postgres?sslmode=require",
        "%40",
    ),
]


@dataclass(frozen=True)
class Hosted:
    """A database as a service hosts it: over TLS, and over a socket whose name has colons in it."""

    user: str
    database: str
    port: int
    direct_port: int
    """Where TLS begins with the first byte."""
    folder: Path
    """Of certificates and sockets."""

    def address(self, form: str) -> str:
        """The form with this database's place in it."""
        parts = urlsplit(form)
        port = self.direct_port if "sslnegotiation=direct" in form else self.port
        host = ",".join([f"localhost:{port}"] * (1 + parts.netloc.count(",")))
        if "host=" in parts.query:
            host = parts.netloc.rpartition("@")[2]
        user = parts.netloc.rpartition("@")[0] if parts.netloc.count("@") > 1 else self.user
        query = parts.query.replace("/cloudsql", str(self.folder)).replace("=global", f"={self.folder}/global")
        return f"{parts.scheme}://{user}@{host}/{self.database}" + (f"?{query}" if query else "")


@pytest.fixture
async def hosted(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hosted]:
    parts = urlsplit(database_url)
    asked = parse_qs(parts.query)
    with tempfile.TemporaryDirectory() as name:  # the name of a socket must be short
        folder = Path(name)
        file, context = certificate(folder, host="localhost", days=(-1, 1))
        monkeypatch.setenv("SSL_CERT_FILE", str(file.rename(folder / "global-bundle.pem")))
        socket = folder / "my-project:us-central1:my-instance" / ".s.PGSQL.5432"
        socket.parent.mkdir()
        socket.symlink_to(f"{asked['host'][0]}/.s.PGSQL.{asked['port'][0]}")
        async with tls_before(database_url, context) as port, tls_before(database_url, context, direct=True) as direct:
            yield Hosted(parts.username or "", parts.path[1:], port, direct, folder)


async def opened(url: str) -> None:
    database = Database(url, patience=0.1)
    await database.open()
    try:
        assert await database.run(lambda connection: connection.fetchval("select 1")) == 1
    finally:
        await database.close()


@pytest.mark.parametrize(("form", "word"), [pytest.param(form, word, id=name) for name, form, word in _FORMS])
async def test_an_address_works_or_the_word_to_drop_is_named(hosted: Hosted, form: str, word: str | None) -> None:
    if word is None:
        await opened(hosted.address(form))
        return
    with pytest.raises(DatabaseUnusable) as caught:
        await opened(hosted.address(form))
    assert word in str(caught.value)


@pytest.mark.parametrize("form", [pytest.param(form, id=name) for name, form, _ in _FORMS])
def test_an_address_is_shown_without_user_and_password(form: str) -> None:
    shown = place_of(form)
    hosts = urlsplit(form).netloc.rpartition("@")[2]
    assert shown.startswith("a local socket/" if "/cloudsql" in form else hosts)
    assert "secret" not in shown


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (
            "sslmode=verify-ca&sslrootcert={0}/key.pem",
            "sslrootcert names a file that cannot be used, {0}/key.pem: it is not",
        ),
        ("sslmode=verify-ca&sslrootcert={0}/none", "sslrootcert names a file that cannot be used, {0}/none: No such"),
        ("sslmode=require&sslcrl={0}/none", "sslcrl names a file that cannot be used, {0}/none: No such"),
        (
            "sslmode=require&sslcert={0}/none&sslkey={0}/key.pem",
            "sslcert names a file that cannot be used, {0}/none: No",
        ),
        ("sslmode=require&sslcert={0}/global-bundle.pem&sslkey={0}/none", "sslkey names a file that cannot be used"),
        (
            "sslmode=require&sslcert={0}/key.pem&sslkey={0}/key.pem",
            "sslcert names a file that cannot be used, {0}/key.pem",
        ),
        (
            "sslrootcert=system&sslcert={0}/none&sslkey={0}/key.pem",
            "sslcert names a file that cannot be used, {0}/none: No",
        ),
        (
            "sslrootcert=system&sslmode=require",
            "drop sslrootcert=system from the address: it needs sslmode=verify-full",
        ),
        ("connect_timeout=soon", "drop connect_timeout from the address: its value is not a number of seconds"),
        ("ssl=1", 'parameter "ssl" cannot be changed now; drop it from the address'),
    ],
)
async def test_what_has_to_be_changed_in_an_address_is_no_absence(hosted: Hosted, query: str, said: str) -> None:
    address = f"postgresql://{hosted.user}@localhost:{hosted.port}/{hosted.database}?{query.format(hosted.folder)}"
    with pytest.raises(DatabaseUnusable) as caught:
        await opened(address)
    assert said.format(hosted.folder) in str(caught.value)


@pytest.mark.parametrize("mode", ["require", "verify-full&sslrootcert=system"])
async def test_a_server_without_tls(mode: str) -> None:
    async def decline(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        writer.write(b"N")
        await reader.read()

    async with listening(decline) as port:
        with pytest.raises(DatabaseUnusable, match=f"drop sslmode={mode.partition('&')[0]} .* does not offer TLS"):
            await opened(f"postgresql://u@127.0.0.1:{port}/d?sslmode={mode}")


async def test_the_patience_of_the_address_is_the_one_that_is_told() -> None:
    async def hold(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with listening(hold) as port:
        with pytest.raises(TimeoutError, match="no answer within 1 s"):
            await libpq.connect(f"postgresql://u@127.0.0.1:{port}/d?sslmode=disable&connect_timeout=1", 60)


async def test_a_plus_sign_is_a_plus_sign(database_url: str) -> None:
    """As to libpq; to many readers of addresses it is a blank."""
    with pytest.raises(DatabaseUnusable, match=r'role "a\+b" does not exist'):
        await opened(database_url.replace("postgres@", "") + "&user=a+b")


_WISH_FOR_TLS = struct.pack("!ii", 8, 80877103)


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(talk: Talk, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """The port of a server that talks so, and has closed every connection at the end."""
    talks: set[asyncio.Task[None]] = set()

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.create_task(once(reader, writer)))

    server = await asyncio.start_server(begin, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.gather(*talks)


@asynccontextmanager
async def tls_before(url: str, context: ssl.SSLContext, *, direct: bool = False) -> AsyncIterator[int]:
    """The port of a server that speaks TLS to whoever wishes, and passes everything on to the one at `url`.

    `direct`: TLS begins with the first byte.
    """
    asked = parse_qs(urlsplit(url).query)
    path = f"{asked['host'][0]}/.s.PGSQL.{asked['port'][0]}"

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, onward = await asyncio.open_unix_connection(path)
        try:
            if not direct:
                first = await reader.readexactly(8)
                if first == _WISH_FOR_TLS:
                    writer.write(b"S")
                    await writer.start_tls(context)
                else:
                    onward.write(first)
            ways = [asyncio.create_task(pass_on(*way)) for way in ((reader, onward), (there, writer))]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        finally:
            onward.close()

    async with listening(talk, context if direct else None) as port:
        yield port


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
