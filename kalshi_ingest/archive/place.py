"""Where an archive lies: a local folder, or object storage through pyarrow's filesystems. Files appear whole."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
from pyarrow import fs

from kalshi_ingest.errors import Unusable

PARTIAL = ".partial"
"""Ends the name of a file that is still being written; a leftover of a killed run is overwritten by the next."""

_BLOCK = 4 * 1024 * 1024


class Place:
    """A folder that files are read from and published into."""

    def __init__(self, filesystem: fs.FileSystem, root: str, shown: str) -> None:
        self._filesystem = filesystem
        self._root = root.rstrip("/")
        self._shown = shown
        self._local = isinstance(filesystem, fs.LocalFileSystem)

    def __str__(self) -> str:
        return self._shown

    @classmethod
    def at(cls, text: str) -> "Place":
        """A folder's path, or a URI such as s3://bucket/folder with credentials from the environment.

        Raises `Unusable` for a URI that pyarrow cannot read.
        """
        if "://" not in text:
            return cls(fs.LocalFileSystem(), str(Path(text).absolute()), text)
        shown = text.partition("?")[0]
        if "@" in shown:  # never show what stands before it
            shown = shown.partition("://")[0] + "://" + shown.rpartition("@")[2]
        try:
            filesystem, root = fs.FileSystem.from_uri(text)
        except (pa.ArrowException, OSError, ValueError):
            raise Unusable(f"{shown} is no place for an archive: give a folder, or a URI such as s3://…") from None
        return cls(filesystem, root, shown)

    def exists(self, path: str = "") -> bool:
        """Whether there is a file or a folder of this name."""
        return self._filesystem.get_file_info(self._at(path)).type != fs.FileType.NotFound

    def folders(self) -> list[str]:
        """The names of the folders directly below, sorted; none when the place itself does not exist."""
        selector = fs.FileSelector(self._at(""), allow_not_found=True)
        return sorted(
            info.base_name for info in self._filesystem.get_file_info(selector) if info.type == fs.FileType.Directory
        )

    def open(self, path: str) -> pa.NativeFile:
        """A file to read from, at any position."""
        return self._filesystem.open_input_file(self._at(path))

    def read(self, path: str) -> bytes:
        """A whole small file."""
        with self.open(path) as file:
            return bytes(file.read())

    def write(self, path: str, content: bytes) -> None:
        """Publish a small file."""
        with self.whole(path) as aside:
            aside.write_bytes(content)

    @contextmanager
    def whole(self, path: str) -> Iterator[Path]:
        """A local path to write to; what was written there appears at `path` when the block ends without an error."""
        if not self._local:
            with tempfile.TemporaryDirectory(prefix="kalshi-ingest-") as folder:
                aside = Path(folder) / "file"
                yield aside
                self._upload(aside, path)
            return
        final = Path(self._at(path))
        final.parent.mkdir(parents=True, exist_ok=True)
        aside = final.with_name(f".{final.name}{PARTIAL}")
        try:
            yield aside
            _sync(aside)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        aside.replace(final)
        _sync(final.parent)

    def remove(self, path: str) -> None:
        """Delete a file if it is there."""
        if self.exists(path):
            self._filesystem.delete_file(self._at(path))

    def _upload(self, aside: Path, path: str) -> None:
        """Object storage shows an object once it is uploaded whole, so there is nothing to rename."""
        if not isinstance(self._filesystem, fs.S3FileSystem | fs.GcsFileSystem):
            self._filesystem.create_dir(self._at(path).rpartition("/")[0], recursive=True)
        with aside.open("rb") as source, self._filesystem.open_output_stream(self._at(path)) as target:
            while block := source.read(_BLOCK):
                target.write(block)

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
