"""Which files of a folder count, and how they are read.

Every analysis walks the folder itself by these rules, so that no list of files travels through the workflow. The rules
bound everything: symbolic links are never followed, only regular files are opened, and of none more than a known
number of bytes is read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

FILES_MAX: Final = 50_000
CHUNK_BYTES: Final = 256 * 1024
SKIPPED_FOLDERS: Final = frozenset(
    {
        *(".git", ".hg", ".svn", ".venv", "venv", ".tox", ".nox", "node_modules", "__pycache__", ".famulus"),
        *(".cache", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".import_linter_cache", ".hypothesis"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFile:
    path: Path
    size: int
    modified: float
    """Seconds since the Unix epoch."""

    @property
    def type(self) -> str:
        """The last suffix in lower case, or the empty text."""
        return _shown(self.path.suffix.lower())


@dataclass(slots=True)
class Walk:
    """The files below a folder, in the order of their paths. Counts, while it goes, what it had to leave out."""

    folder: Path
    files_max: int = FILES_MAX
    unreadable: int = 0
    """Folders that could not be listed, and files that could not be looked at."""
    truncated: bool = False
    """There are more files than `files_max`."""
    _found: int = field(default=0, repr=False)

    def __iter__(self) -> Iterator[FoundFile]:
        folders = [self.folder]
        while folders:
            entries = self._entries(folders.pop())
            folders += [Path(entry.path) for entry in reversed(entries) if self._is_folder(entry)]
            for file in filter(None, map(self._file, entries)):
                if self._found == self.files_max:
                    self.truncated = True
                    return
                self._found += 1
                yield file

    def name(self, file: FoundFile) -> str:
        """The path below the folder, fit to be stored and shown whatever bytes it is made of."""
        return _shown(file.path.relative_to(self.folder).as_posix())

    def _entries(self, folder: Path) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as entries:
                return sorted(entries, key=lambda entry: entry.name)
        except OSError:
            self.unreadable += 1
            return []

    def _is_folder(self, entry: os.DirEntry[str]) -> bool:
        return entry.name not in SKIPPED_FOLDERS and entry.is_dir(follow_symlinks=False)

    def _file(self, entry: os.DirEntry[str]) -> FoundFile | None:
        try:
            seen = entry.stat(follow_symlinks=False)
        except OSError:
            self.unreadable += 1
            return None
        if not stat.S_ISREG(seen.st_mode):
            return None
        return FoundFile(path=Path(entry.path), size=seen.st_size, modified=seen.st_mtime)


def read_chunks(path: Path, *, limit: int, start: int = 0) -> Iterator[bytes]:
    """The bytes of a file from a position on, at most so many. Raises `OSError`; never waits for a pipe or device."""
    # The file may have become another one since it was found: do not follow a link, do not wait for a pipe.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path} is no regular file any more")
        file.seek(start)
        while limit > 0 and (chunk := file.read(min(limit, CHUNK_BYTES))):
            limit -= len(chunk)
            yield chunk


def _shown(name: str) -> str:
    """A file name may hold bytes that are no text, and characters that steer a terminal."""
    text = os.fsencode(name).decode("utf-8", "replace")
    return "".join(character if character.isprintable() else "\ufffd" for character in text)
