"""No file is written through a link that somebody put in its place, and none is given away."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from kalshi_ingest import files
from kalshi_ingest.archive.layouts import CityFile
from kalshi_ingest.coverage.job import page_path
from kalshi_ingest.errors import Unusable
from kalshi_ingest.parquet.schema import TRADES
from kalshi_ingest.parquet.storage import ArchiveStorage
from kalshi_ingest.postgres.embedded.accounts import Account
from kalshi_ingest.postgres.embedded.files import open_private


def parquet(folder: Path) -> Path:
    storage = ArchiveStorage.at(str(folder))
    with storage.staging() as staged:
        CityFile(TRADES, "chicago", {}, staged).close()
        storage.publish(staged("chicago/trades.parquet"), "chicago/trades.parquet")
    return folder / "chicago/trades.parquet"


def manifest(folder: Path) -> Path:
    ArchiveStorage.at(str(folder)).write("chicago/manifest.json", b"{}")
    return folder / "chicago/manifest.json"


def writable(folder: Path) -> Path:
    ArchiveStorage.at(str(folder / "chicago")).require_writable()
    return folder / "chicago/check"


def page(folder: Path) -> Path:
    path = folder / "chicago/report.html"
    page_path(str(path))
    return path


WRITERS: list[Callable[[Path], Path]] = [parquet, manifest, writable, page]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("link", [os.symlink, os.link], ids=["symbolic", "hard"])
def test_a_link_in_place_of_a_temporary_file_is_not_followed(
    write: Callable[[Path], Path], link: Callable[[Path, Path], None], tmp_path: Path
) -> None:
    victim, folder = tmp_path / "victim", tmp_path / "out"
    victim.write_text("precious")
    (folder / "chicago").mkdir(parents=True)
    for name in ("trades.parquet", "manifest.json", "check", "report.html"):
        link(victim, folder / f"chicago/.{name}.partial")
    final = write(folder)
    assert victim.read_text() == "precious"
    assert not final.is_symlink()


@pytest.mark.parametrize("write", [parquet, manifest])
def test_a_link_in_place_of_the_file_itself_is_replaced(write: Callable[[Path], Path], tmp_path: Path) -> None:
    victim, folder = tmp_path / "victim", tmp_path / "out"
    victim.write_text("precious")
    (folder / "chicago").mkdir(parents=True)
    for name in ("trades.parquet", "manifest.json"):
        (folder / "chicago" / name).symlink_to(victim)
    final = write(folder)
    assert victim.read_text() == "precious"
    assert not final.is_symlink()
    assert final.stat().st_size > 0


def test_a_link_that_comes_at_the_same_moment_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    victim, staged = tmp_path / "victim", tmp_path / "aside"
    victim.write_text("precious")
    staged.symlink_to(victim)
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)  # as if it came back between the two steps
    with pytest.raises(FileExistsError):
        files.created(staged)
    assert victim.read_text() == "precious"


def test_the_permissions_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        files.created(tmp_path / "a").close()
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


OURSELVES = Account("me", os.geteuid(), os.getegid(), switch=False)


@pytest.mark.parametrize("put", [os.link, lambda _, path: os.mkfifo(path)], ids=["hard link", "FIFO"])
def test_what_has_another_name_is_not_given_to_the_servers_account(
    put: Callable[[Path, Path], None], tmp_path: Path
) -> None:
    victim, path = tmp_path / "victim", tmp_path / "lock"
    victim.write_text("precious")
    put(victim, path)
    with pytest.raises(Unusable, match="is not a file of this program"):
        open_private(path, OURSELVES)


def test_the_servers_programs_do_not_get_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under root they run as another account, whose other processes can read their environment."""
    monkeypatch.setenv("KALSHI_INGEST_VISUAL_CROSSING_KEY", "hunter2")
    assert "hunter2" not in OURSELVES.run(["/usr/bin/env"]).stdout
