"""The account that the embedded PostgreSQL's programs run as."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kalshi_ingest.errors import Unusable

_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "TMPDIR")


@dataclass(frozen=True, slots=True)
class Account:
    """Who runs the server's programs; `switch` is true when that is not the caller, who is root then."""

    name: str
    uid: int
    gid: int
    switch: bool

    def run(self, command: Sequence[str | Path], text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a program as this account, with `text` on its standard input.

        It runs in `/`, which every account can enter, and in a session of its own, so that Ctrl-C at the terminal does
        not reach the server. Its environment is minimal: other processes of that account could read keys and passwords
        in it, and the user's PGPORT or PGDATA would redirect the server.
        """
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        return subprocess.run(  # noqa: S603 - a list of words, none of which is foreign input
            [str(word) for word in command],
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            cwd="/",
            env=environment | {"LC_ALL": "C", "TZ": "UTC"},
            start_new_session=True,
            user=self.uid if self.switch else None,
            group=self.gid if self.switch else None,
            extra_groups=[] if self.switch else None,
        )

    def can_enter(self, directory: Path) -> bool:
        """Whether this account may go into `directory` (tried, since access lists are not in the mode)."""
        return self.run(["/bin/sh", "-c", 'cd -- "$1"', "sh", directory]).returncode == 0


def account_for(pgdata: Path) -> Account:
    """The account that runs the server: the owner of its data, else the caller, else (root) a plain one."""
    caller = os.geteuid()
    owner = pgdata.stat().st_uid if pgdata.exists() else None
    if caller != 0:
        if owner not in {None, caller}:
            raise Unusable(
                f"{pgdata} belongs to the account {name_of(owner)}: run as that account, "
                "or set KALSHI_INGEST_DATA_DIR to another place"
            )
        return _account(caller, switch=False)
    if owner == 0:
        raise Unusable(
            f"{pgdata} belongs to root, and PostgreSQL refuses to run as root: "
            f"chown -R it to an unprivileged account, or set KALSHI_INGEST_DATA_DIR to another place"
        )
    if owner is not None:
        return _account(owner, switch=True)
    for name in ("postgres", "nobody"):
        try:
            return _account(pwd.getpwnam(name).pw_uid, switch=True)
        except KeyError:
            continue
    raise Unusable(
        "PostgreSQL refuses to run as root, and there is no account `postgres` or `nobody` to run it as: "
        "create one (useradd --system postgres), or run kalshi-ingest as another user"
    )


def _account(uid: int, *, switch: bool) -> Account:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        raise Unusable(
            f"the user id {uid} has no name on this system, which PostgreSQL needs: add it to /etc/passwd, "
            "or run kalshi-ingest as another user"
        ) from None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, switch)


def name_of(uid: int | None) -> str:
    """What the system calls an account; its number where it has no name."""
    try:
        return pwd.getpwuid(uid if uid is not None else -1).pw_name
    except KeyError:
        return str(uid)
