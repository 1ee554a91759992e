"""The storage of an archive: a local folder, or object storage through pyarrow. Files appear whole."""

import errno
import fcntl
import itertools
import os
import stat
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
from pyarrow import fs

from kalshi_ingest import files
from kalshi_ingest.errors import IngestError, OutOfReach, Unusable
from kalshi_ingest.parquet import object_storage

PARTIAL = ".partial"
"""Ends the name of a file that is still being written; a leftover of a killed run is overwritten by the next."""

_BLOCK = 1024 * 1024
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (
    *(errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.EEXIST, errno.EISDIR, errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG),
)


class ArchiveStorage:
    """A folder that files are read from and published into."""

    def __init__(self, filesystem: fs.FileSystem, root: str, shown: str) -> None:
        self._filesystem = filesystem
        self._root = root.rstrip("/")
        self._shown = shown
        self._local = isinstance(filesystem, fs.LocalFileSystem)

    def __str__(self) -> str:
        return self._shown

    @classmethod
    def at(cls, text: str) -> "ArchiveStorage":
        """A folder's path, or a URI such as s3://bucket/folder with credentials from the environment.

        Raises `Unusable` for a URI that pyarrow cannot read, and for a proxy that cannot be used.
        """
        if "://" not in text:
            return cls(fs.LocalFileSystem(), str(Path(text).absolute()), text)
        shown = text.partition("?")[0]
        if "@" in shown:  # never show what stands before it
            shown = shown.partition("://")[0] + "://" + shown.rpartition("@")[2]
        filesystem, root = object_storage.opened(text, shown)
        return cls(filesystem, root, shown)

    def exists(self, path: str = "") -> bool:
        return self._filesystem.get_file_info(self._at(path)).type != fs.FileType.NotFound

    def folders(self) -> list[str]:
        """The names of the folders directly below, sorted; none when the place itself does not exist."""
        selector = fs.FileSelector(self._at(""), allow_not_found=True)
        return sorted(
            info.base_name for info in self._filesystem.get_file_info(selector) if info.type == fs.FileType.Directory
        )

    def open(self, path: str) -> pa.NativeFile:
        """A file to read from, at any position.

        Raises `Unusable` for what is not a regular file: a pipe or a device may never answer, or never end.
        """
        if not self._local:
            return self._filesystem.open_input_file(self._at(path))
        found = Path(self._at(path))
        _require_regular(found.stat(), path)
        descriptor = os.open(found, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            _require_regular(os.fstat(descriptor), path)  # whatever was put there meanwhile
            return self._filesystem.open_input_file(f"/dev/fd/{descriptor}")
        finally:
            os.close(descriptor)

    def read(self, path: str, most: int) -> bytes:
        """A whole file of at most so many bytes; `Unusable` when it has more."""
        with self.open(path) as file:
            if file.size() > most:
                raise Unusable(f"{path} in {self} has {file.size():,} bytes: more than {most:,} cannot be right")
            return bytes(file.read())

    def write(self, path: str, content: bytes) -> None:
        with self.atomic(path) as staged, files.created(staged) as file:
            file.write(content)

    @contextmanager
    def atomic(self, path: str) -> Iterator[Path]:
        """A local path to create; what was written there appears at `path` when the block ends without an error."""
        with self.staging() as staged:
            written = staged(path)
            yield written
            self.publish(written, path)

    @contextmanager
    def staging(self) -> Iterator[Callable[[str], Path]]:
        """Gives, for a file's path, where to create it before `publish`; unpublished files are deleted at the end.

        In a local folder that is beside the file, since a rename must stay within one file system.
        """
        if not self._local:
            with tempfile.TemporaryDirectory(prefix="kalshi-ingest-") as folder:
                numbers = itertools.count()
                yield lambda _: Path(folder) / str(next(numbers))
            return
        given: list[Path] = []

        def staged(path: str) -> Path:
            final = Path(self._at(path))
            _make_folder(final.parent)
            given.append(final.with_name(f".{final.name}{PARTIAL}"))
            return given[-1]

        try:
            yield staged
        finally:
            for each in given:
                each.unlink(missing_ok=True)

    def publish(self, staged: Path, path: str) -> None:
        """Make what was written to `staged` appear at `path`, whole and safe from a power cut."""
        if not self._local:
            self._upload(staged, path)
            return
        final = Path(self._at(path))
        _sync(staged)
        staged.replace(final)
        _sync(final.parent)

    def sweep(self, folder: str, keep: Collection[str], ours: Callable[[str], bool]) -> None:
        """Delete the files below `folder` whose path there is `ours`, but those in `keep`, and folders left empty."""
        selector = fs.FileSelector(self._at(folder), allow_not_found=True, recursive=True)
        found = self._filesystem.get_file_info(selector)
        kept = {self._at(path) for path in keep}
        for info in found:
            below = info.path.removeprefix(f"{self._at(folder)}/")
            if info.type == fs.FileType.File and info.path not in kept and ours(below):
                self._filesystem.delete_file(info.path)
        if self._local:
            used = {path.rpartition("/")[0] for path in kept}
            for info in sorted(found, key=lambda each: each.path, reverse=True):
                if info.type == fs.FileType.Directory and info.path not in used:
                    with suppress(OSError):  # not empty
                        Path(info.path).rmdir()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder against other writers; `Unusable` when there is one. Object storage has no such lock."""
        if not self._local:
            yield
            return
        root = Path(self._root)
        try:
            _make_folder(root)
            descriptor = os.open(root, os.O_RDONLY)
        except OSError as error:
            raise self.explained(error) from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Unusable(f"another program is writing to {self}: wait until it is done") from None
            yield
        finally:
            os.close(descriptor)

    def require_writable(self) -> None:
        """Raise the error of an unwritable storage before hours of work; object storage is only known to answer."""
        try:
            with self.staging() as staged, files.created(staged("check")) as file:
                file.write(b"check")
            self.exists()
        except (OSError, pa.ArrowException) as error:
            raise self.explained(error) from error

    def explained(self, error: Exception) -> IngestError:
        """What a failure to write here means to the user."""
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        number = error.errno if isinstance(error, OSError) else None
        if number in _NO_ROOM:
            return OutOfReach(f"no room left to write to {self}: {reason}; free some, then run the export again")
        if number in _FORBIDDEN:
            return Unusable(f"cannot write to {self}: {reason}")
        return OutOfReach(f"cannot write to {self}: {reason}; run the export again")

    def unreadable(self, error: OSError) -> IngestError:
        """What a failure to read here means to the user."""
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if error.errno in _FORBIDDEN:
            return Unusable(f"cannot read the archive at {self}: {reason}")
        return OutOfReach(f"cannot read the archive at {self}: {reason}; run the same command again later")

    def _upload(self, staged: Path, path: str) -> None:
        """Under another name first: a stream that breaks off is closed, and closing it completes a shorter object."""
        folder, _, name = self._at(path).rpartition("/")
        partial = f"{folder}/.{name}{PARTIAL}"
        if not isinstance(self._filesystem, fs.S3FileSystem | fs.GcsFileSystem):
            self._filesystem.create_dir(folder, recursive=True)
        try:
            with staged.open("rb") as source, self._filesystem.open_output_stream(partial) as target:
                while block := source.read(_BLOCK):
                    target.write(block)
            self._filesystem.move(partial, self._at(path))
        except BaseException:
            with suppress(OSError, pa.ArrowException):
                self._filesystem.delete_file(partial)
            raise

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root


def _require_regular(found: os.stat_result, path: str) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise Unusable(f"{path} is not a regular file: an archive is made of plain files, or of links to such")


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, safe from a power cut."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync(folder.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
