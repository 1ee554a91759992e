"""Where two baselines differ."""

import difflib
from pathlib import Path

_LOG = "log.txt"
_WORDS = "words.txt"


def differences(before: Path, after: Path, *, words: bool) -> dict[str, list[str]]:
    """Path → the lines that only one of two baselines has; logs are left out, and without `words` what people read."""
    left_out = {_LOG} if words else {_LOG, _WORDS}
    one, other = _files(before), _files(after)
    found: dict[str, list[str]] = {}
    for path in sorted({*one, *other}):
        if path.name in left_out:
            continue
        if path not in one or path not in other:
            found[str(path)] = ["only before" if path in one else "only after"]
        elif one[path].read_bytes() != other[path].read_bytes():
            found[str(path)] = _differing(one[path], other[path])
    if not one or not other:
        found["."] = ["one folder or both are empty or missing"]
    return found


def _files(folder: Path) -> dict[Path, Path]:
    return {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}


def _differing(one: Path, other: Path) -> list[str]:
    lines = difflib.unified_diff(one.read_text().splitlines(), other.read_text().splitlines(), n=0, lineterm="")
    return [line for line in lines if not line.startswith(("---", "+++", "@@"))]
