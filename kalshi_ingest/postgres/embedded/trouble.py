"""Why the embedded server does not work, and who could tamper with it, in words for the user."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from kalshi_ingest.errors import DatabaseFull, IngestError, Unusable

_LAST_WORDS = 200_000
"""Bytes of the log that are searched for the reason of an end."""

# Not what every session receives when the server stops or starts.
_REASON = re.compile(r"(PANIC|FATAL): ++(?!terminating connection|the database system is)(.*)")


def failure(text: str) -> IngestError:
    """The error for a server that cannot be created or started: a full disk passes, the rest a person has to change."""
    if not re.search("No space left on device|Disk quota exceeded|Cannot allocate memory", text):
        return Unusable(text)
    if "shared memory" in text:
        return DatabaseFull(f"{text}; /dev/shm is full or too small: enlarge it (Docker: --shm-size), then run again")
    return DatabaseFull(f"{text}; free some room, then run again")


def last_words(log: Path, start: int) -> str:
    """Why the server ended, or cannot work, as far as it has said so in its log since `start`; else empty."""
    try:
        size = log.stat().st_size
        with log.open("rb") as file:
            file.seek(max(start if start <= size else 0, size - _LAST_WORDS))
            said = file.read().decode(errors="replace")
    except OSError:
        return ""
    found = dict(_REASON.findall(said))
    why = found.get("PANIC") or found.get("FATAL")
    return f"the embedded server said: {why} (see {log})" if why else ""


def strangers(data_dir: Path) -> list[str]:
    """A line for `data_dir`, and each folder above it, that another account could exchange; none for root."""
    found = []
    mine = (0, os.geteuid())
    for folder in (data_dir, *data_dir.parents) if os.geteuid() != 0 else ():
        state = folder.stat()
        if state.st_uid not in mine:
            found.append(f"{folder} belongs to another account")
        elif state.st_mode & stat.S_IWOTH and not state.st_mode & stat.S_ISVTX:
            found.append(f"everyone can write to {folder}")
    return found
