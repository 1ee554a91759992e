"""Places: files appear whole or not at all."""

import errno
import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import fs

from kalshi_ingest.archive.layouts import is_of_series
from kalshi_ingest.errors import OutOfReach, Unusable
from kalshi_ingest.parquet.storage import ArchiveStorage


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    storage = ArchiveStorage.at(str(tmp_path))
    with storage.atomic("a/b.txt") as staged:
        staged.write_text("half")
        assert not storage.exists("a/b.txt")
    assert storage.read("a/b.txt", 10) == b"half"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.txt"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    storage = ArchiveStorage.at(str(tmp_path))
    storage.write("b.txt", b"old")

    def fail() -> None:
        with storage.atomic("b.txt") as staged:
            staged.write_text("new")
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    assert storage.read("b.txt", 10) == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["b.txt"]


def test_several_files_are_published_after_all_are_written(tmp_path: Path) -> None:
    storage = ArchiveStorage.at(str(tmp_path))
    with storage.staging() as staged:
        written = {path: staged(path) for path in ("x/1", "y/2", "y/unneeded")}
        for path, each in written.items():
            each.write_text(path)
        assert not storage.exists("x/1")
        storage.publish(written["x/1"], "x/1")
        storage.publish(written["y/2"], "y/2")
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == ["x/1", "y/2"]


def test_object_storage_gets_whole_files_too(tmp_path: Path) -> None:
    storage = ArchiveStorage(fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem()), "archive", "bucket")
    with storage.atomic("a/b.bin") as staged:
        staged.write_bytes(b"x" * 9_000_000)
        assert not storage.exists("a/b.bin")
    assert storage.read("a/b.bin", 10**7) == b"x" * 9_000_000
    assert storage.folders() == ["a"]


class _Store(fs.FileSystemHandler):
    """Object storage as pyarrow's S3 behaves: closing a stream, for whatever reason, completes the object.

    A local stand-in, because no S3 server is among the development packages.
    """

    def __init__(self, root: Path, room: int) -> None:
        self._root = root
        self._room = room
        """Bytes of one object after which the network breaks off."""

    def get_type_name(self) -> str:
        return "store"

    def get_file_info(self, paths: str | list[str]) -> list[fs.FileInfo]:
        asked = [paths] if isinstance(paths, str) else paths
        return fs.LocalFileSystem().get_file_info([str(self._root / path) for path in asked])

    def get_file_info_selector(self, selector: fs.FileSelector) -> list[fs.FileInfo]:
        raise NotImplementedError

    def create_dir(self, path: str, recursive: bool) -> None:
        (self._root / path).mkdir(parents=recursive, exist_ok=True)

    def delete_dir(self, path: str) -> None:
        raise NotImplementedError

    def delete_dir_contents(self, path: str, missing_dir_ok: bool = False) -> None:
        raise NotImplementedError

    def delete_root_dir_contents(self) -> None:
        raise NotImplementedError

    def delete_file(self, path: str) -> None:
        (self._root / path).unlink()

    def move(self, src: str, dest: str) -> None:
        (self._root / src).replace(self._root / dest)

    def copy_file(self, src: str, dest: str) -> None:
        raise NotImplementedError

    def open_input_stream(self, path: str) -> pa.NativeFile:
        return pa.OSFile(str(self._root / path), "r")

    def open_input_file(self, path: str) -> pa.NativeFile:
        return pa.OSFile(str(self._root / path), "r")

    def open_append_stream(self, path: str, metadata: object) -> pa.NativeFile:
        raise NotImplementedError

    def open_output_stream(self, path: str, metadata: object) -> pa.NativeFile:
        return pa.PythonFile(_Uploading(self._root / path, self._room), mode="w")

    def normalize_path(self, path: str) -> str:
        return path


class _Uploading(io.RawIOBase):
    def __init__(self, path: Path, room: int) -> None:
        self._path = path
        self._room = room
        self._sent = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if len(self._sent) + len(data) > self._room:
            raise OSError(errno.ECONNRESET, "the network broke off")
        self._sent += bytes(data)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._path.write_bytes(self._sent)
        super().close()


def test_an_upload_that_breaks_off_leaves_no_shorter_object(tmp_path: Path) -> None:
    def store(room: int) -> ArchiveStorage:
        return ArchiveStorage(fs.PyFileSystem(_Store(tmp_path, room)), "archive", "bucket")

    store(10).write("a.bin", b"old")
    with pytest.raises(OSError, match="the network broke off"):
        store(3 * 2**20).write("a.bin", b"x" * 9_000_000)
    assert (tmp_path / "archive/a.bin").read_bytes() == b"old"
    with pytest.raises(OSError, match="the network broke off"):
        store(3 * 2**20).write("b.bin", b"x" * 9_000_000)
    assert [path.name for path in (tmp_path / "archive").iterdir()] == ["a.bin"]
    store(10**7).write("b.bin", b"x" * 9_000_000)
    assert (tmp_path / "archive/b.bin").stat().st_size == 9_000_000


def test_a_sweep_deletes_old_files_of_ours_and_nothing_of_others(tmp_path: Path) -> None:
    storage = ArchiveStorage.at(str(tmp_path))
    days = [f"t/event_date=2025-07-0{day}" for day in range(1, 5)]
    kept = f"{days[0]}/part-0.parquet"
    old = [f"{days[1]}/part-0.parquet", f"{days[1]}/.part-0.parquet.partial", "t/part-0.parquet"]
    others = [
        f"{days[2]}/notes.txt",
        f"{days[3]}/mine.parquet",
        "t/mine.parquet",
        "t/mine/part-0.parquet",
        "u/a.parquet",
    ]
    for path in (kept, *old, *others):
        storage.write(path, b"")
    storage.sweep("t", {kept}, is_of_series)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {kept, *others}
    assert not (tmp_path / days[1]).exists()
    storage.sweep("absent", set(), is_of_series)


def test_a_place_is_locked_for_one_writer(tmp_path: Path) -> None:
    one, other = ArchiveStorage.at(str(tmp_path / "new")), ArchiveStorage.at(str(tmp_path / "new"))

    def both() -> None:
        with one.locked(), other.locked():
            pass

    with pytest.raises(Unusable, match="another program is writing"):
        both()
    with other.locked():
        pass
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), OutOfReach, "no room left .* free some"),
        (OSError(errno.EFBIG, "File too large"), OutOfReach, "no room left"),
        (PermissionError(errno.EACCES, "Permission denied"), Unusable, "cannot write to .*Permission denied"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory"), Unusable, "cannot write to"),
        (OSError("When uploading: AWS Error NETWORK_CONNECTION"), OutOfReach, "NETWORK_CONNECTION; run the export"),
    ],
)
def test_failures_are_explained(tmp_path: Path, error: OSError, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        raise ArchiveStorage.at(str(tmp_path)).explained(error)


def test_secrets_in_an_address_are_never_shown() -> None:
    assert str(ArchiveStorage.at("mock://bucket/folder?secret_key=hidden")) == "mock://bucket/folder"
    with pytest.raises(Unusable, match=r"^nonsense://bucket is not a place") as caught:
        ArchiveStorage.at("nonsense://key:hidden@bucket?secret_key=hidden")
    assert "hidden" not in str(caught.value)


def test_a_place_that_cannot_be_written_to_is_found_out_at_once(tmp_path: Path) -> None:
    ArchiveStorage.at(str(tmp_path / "new")).require_writable()
    assert list((tmp_path / "new").iterdir()) == []
    (tmp_path / "file").write_text("mine")
    with pytest.raises(Unusable, match="cannot write to"):
        ArchiveStorage.at(str(tmp_path / "file")).require_writable()
