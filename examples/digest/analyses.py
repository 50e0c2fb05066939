"""The four analyses of a folder, as plain functions that return what JSON can hold."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from heapq import nlargest
from pathlib import Path
from typing import Any, Final

from .files import FoundFile, Walk, read_chunks

TEXT_BYTES_MAX: Final = 1024 * 1024
"""Read of one file to count its words."""
TEXT_BYTES_TOTAL: Final = 256 * 1024 * 1024
"""Read of all files together to count words."""
HASHED_BYTES_MAX: Final = 64 * 1024 * 1024
"""Larger files are compared by their beginning and end alone."""
SAMPLE_BYTES: Final = 1024 * 1024
NAMES_PER_GROUP: Final = 10
WORD_CHARACTERS_MIN: Final = 4
"""Shorter words are counted but say little."""
WORD_CHARACTERS_MAX: Final = 40

_BINARY: Final = b"\x00"
_WORD: Final = re.compile(r"[^\W\d_](?:[\w'-]*\w)?")


def scan(folder: Path) -> dict[str, Any]:
    """How much there is, and what was left out."""
    walk = Walk(folder)
    sizes = [file.size for file in walk]
    return {
        "folder": str(folder),
        "files": len(sizes),
        "bytes": sum(sizes),
        "unreadable": walk.unreadable,
        "truncated": walk.truncated,
    }


def sizes_by_type(folder: Path, *, limit: int) -> dict[str, Any]:
    """Files and bytes of each type, those with most bytes first; the rest of the types in one sum."""
    files: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for file in Walk(folder):
        files[file.type] += 1
        sizes[file.type] += file.size
    types = sorted(sizes, key=lambda kind: (-sizes[kind], kind))
    rest = types[limit:]
    return {
        "types": [{"type": kind, "files": files[kind], "bytes": sizes[kind]} for kind in types[:limit]],
        "rest": {
            "types": len(rest),
            "files": sum(files[kind] for kind in rest),
            "bytes": sum(sizes[kind] for kind in rest),
        },
    }


def words(folder: Path, *, limit: int) -> dict[str, Any]:
    """Lines and words of the text files, and the words that are used most."""
    counts: Counter[str] = Counter()
    result = {"text_files": 0, "binary_files": 0, "unreadable": 0, "cut": 0, "lines": 0, "words": 0}
    budget = TEXT_BYTES_TOTAL
    for file in Walk(folder):
        try:
            data = b"".join(read_chunks(file.path, limit=min(TEXT_BYTES_MAX, budget)))
        except OSError:
            result["unreadable"] += 1
            continue
        budget -= len(data)
        result["cut"] += file.size > len(data)
        if _BINARY in data:
            result["binary_files"] += 1
            continue
        text = data.decode("utf-8", "replace")
        found = _WORD.findall(text)
        result["text_files"] += 1
        result["lines"] += data.count(b"\n") + (data[-1:] not in (b"", b"\n"))
        result["words"] += len(found)
        counts.update(word.lower() for word in found if WORD_CHARACTERS_MIN <= len(word) <= WORD_CHARACTERS_MAX)
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:limit]
    return result | {"most_used": [{"word": word, "times": times} for word, times in most]}


def duplicates(folder: Path, *, limit: int) -> dict[str, Any]:
    """Files with the same content, those that waste most first."""
    walk = Walk(folder)
    unreadable = 0
    same: defaultdict[tuple[int, str], list[FoundFile]] = defaultdict(list)
    for file in _of_equal_size(walk):
        try:
            same[file.size, _fingerprint(file)].append(file)
        except OSError:
            unreadable += 1
    groups = sorted(
        (group for group in same.values() if len(group) > 1),
        key=lambda group: (-group[0].size * (len(group) - 1), walk.name(group[0])),
    )
    return {
        "groups": [
            {
                "bytes": group[0].size,
                "copies": len(group),
                "names": [walk.name(file) for file in group[:NAMES_PER_GROUP]],
                "sampled": group[0].size > HASHED_BYTES_MAX,
            }
            for group in groups[:limit]
        ],
        "group_count": len(groups),
        "wasted_bytes": sum(group[0].size * (len(group) - 1) for group in groups),
        "unreadable": unreadable,
    }


def largest(folder: Path, *, limit: int) -> dict[str, Any]:
    walk = Walk(folder)
    found = nlargest(limit, walk, key=lambda file: file.size)
    return {"files": [{"name": walk.name(file), "bytes": file.size, "modified": file.modified} for file in found]}


def _of_equal_size(files: Iterable[FoundFile]) -> Iterator[FoundFile]:
    """Those that share their size with another one. Empty files are all alike and waste nothing."""
    by_size: defaultdict[int, list[FoundFile]] = defaultdict(list)
    for file in files:
        if file.size:
            by_size[file.size].append(file)
    return (file for group in by_size.values() if len(group) > 1 for file in group)


def _fingerprint(file: FoundFile) -> str:
    digest = hashlib.sha256()
    if file.size <= HASHED_BYTES_MAX:
        parts = [(0, HASHED_BYTES_MAX)]
    else:
        parts = [(0, SAMPLE_BYTES), (file.size - SAMPLE_BYTES, SAMPLE_BYTES)]
    for start, limit in parts:
        for chunk in read_chunks(file.path, start=start, limit=limit):
            digest.update(chunk)
    return digest.hexdigest()
