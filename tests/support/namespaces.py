"""Two hosts on one machine, a database's and a program's: network namespaces that only root can make."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from kalshi_ingest.postgres.embedded import server
from kalshi_ingest.postgres.embedded.accounts import Account, account_for
from kalshi_ingest.postgres.embedded.cluster import Cluster
from kalshi_ingest.postgres.embedded.files import reachable_bin_dir, socket_dir
from tests.support import postgres

SERVER, CLIENT, OTHER_CLIENT = "10.99.0.1", "10.99.0.2", "10.99.0.3"

possible = pytest.mark.skipif(
    os.geteuid() != 0 or any(shutil.which(name) is None for name in ("ip", "nft", "setpriv")),
    reason="network namespaces need root and the programs ip, nft and setpriv",
)


def cut(client: str = CLIENT) -> None:
    """Drop every packet between this host (call it there) and the server's, as a cable that is pulled out."""
    _call("nft", "add table inet cut")
    for hook, end in (("input", "daddr"), ("output", "saddr")):
        _call("nft", f"add chain inet cut {hook} {{ type filter hook {hook} priority 0; }}")
        _call("nft", f"add rule inet cut {hook} ip {end} {client} drop")


def mend() -> None:
    """Let the packets pass again."""
    _call("nft", "delete table inet cut")


@dataclass(frozen=True, slots=True)
class Hosts:
    """Both, and the database on one of them."""

    client: str
    """The name of the program's namespace."""
    url: str
    """The database as the program's host reaches it."""
    local_url: str
    """The same database through its Unix socket, past the network."""

    def words(self, *words: str) -> list[str]:
        """A command line that runs on the program's host."""
        return ["ip", "netns", "exec", self.client, *words]

    def move_client(self) -> None:
        """Give the program's host another address: what it had open before is gone without a word, by a power cut."""
        for change in (["del", f"{CLIENT}/24"], ["add", f"{OTHER_CLIENT}/24"]):
            _call(*self.words("ip", "address", *change, "dev", "veth"))


@contextmanager
def two_hosts() -> Iterator[Hosts]:
    """Both for a `with` block."""
    names = [f"kalshi-{os.getpid()}-{role}" for role in ("server", "client")]
    try:
        for name in names:
            _call("ip", "netns", "add", name)
            _in(name, "ip link set lo up")
        _in(names[0], f"ip link add veth type veth peer name veth netns {names[1]}")
        for name, address in zip(names, (SERVER, CLIENT), strict=True):
            _in(name, f"ip address add {address}/24 dev veth")
            _in(name, "ip link set veth up")
        with _server(names[0]) as local_url:
            yield Hosts(names[1], f"postgresql://postgres@{SERVER}:5432/postgres", local_url)
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


@contextmanager
def _server(namespace: str) -> Iterator[str]:
    with postgres.scratch_dir() as place:
        home = place / "data"
        # Held to the end, so that no other test session takes the folder for a leftover.
        hold = server.acquire(home, options=postgres.FAST)
        url = postgres.with_database(hold.server.url, "postgres")
        server.stop(home)
        cluster = Cluster(home, 18, account_for(home / "postgresql-18"))
        with (cluster.pgdata / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {SERVER}/24 trust\n")
        sockets = socket_dir(cluster.account, home)
        programs = reachable_bin_dir(cluster.account, 18, home)
        settings = postgres.FAST | {"listen_addresses": SERVER, "unix_socket_directories": str(sockets)}
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        words = [str(programs / "pg_ctl"), "-w", "-D", str(cluster.pgdata), "-l", str(cluster.log)]
        _call("ip", "netns", "exec", namespace, *_as(cluster.account), *words, "-o", options, "start")
        try:
            yield url
        finally:
            _call(*_as(cluster.account), *words, "-m", "immediate", "stop")
            server.release(hold)


def _as(account: Account) -> Sequence[str]:
    return ["setpriv", f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups"]


def _in(namespace: str, line: str) -> None:
    _call("ip", "netns", "exec", namespace, *line.split())


def _call(*words: str) -> None:
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, cwd=Path("/"))
