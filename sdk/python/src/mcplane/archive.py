"""The working directory as an archive: deterministic, bounded, and without what ignore files name.

The rules are those of ``docs/tasks.md``; the command line keeps to the same ones.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import stat
import tarfile
from dataclasses import dataclass, field
from typing import IO, Iterator, List, Optional, Tuple

from .errors import McplaneError
from .ignore import Rule, parse, verdict

#: Bytes that an archive may have.
MOST_BYTES = 256 << 20
#: Files, folders and links that it may hold.
MOST_ENTRIES = 50_000
#: Folders that a path in it may have above it.
_DEEPEST = 60
#: What comes before the patterns of any file: what no program was written into.
_DEFAULTS = (
    ".git", ".hg/", ".svn/", ".DS_Store", "__pycache__/", "*.pyc", ".ipynb_checkpoints/", ".mypy_cache/",
    ".pytest_cache/", ".ruff_cache/", ".tox/", ".nox/", ".venv/", "node_modules/", "mlruns/",
)  # fmt: skip
#: A folder that holds one of these can be made anew: a virtual environment, a cache.
_MARKS = ("pyvenv.cfg", "CACHEDIR.TAG")
_IGNORE_FILES = (".gitignore", ".mcplaneignore")
#: 1980, the oldest year that every format of archives knows.
_TIME = 315_532_800


class ArchiveError(McplaneError):
    """The folder can't travel."""


@dataclass
class Contents:
    """What of a folder travels."""

    root: str
    """The folder."""
    entries: List[Tuple[str, os.stat_result]] = field(default_factory=list)
    """Paths with ``/`` in between, in order of their bytes."""
    left_out: List[str] = field(default_factory=list)
    """What can't travel, though no pattern says so, and why."""

    @property
    def files(self) -> int:
        """Files, without folders and links."""
        return sum(stat.S_ISREG(info.st_mode) for _, info in self.entries)

    def __contains__(self, path: str) -> bool:
        wanted = os.path.normpath(path).replace(os.sep, "/")
        return wanted == "." or any(name == wanted for name, _ in self.entries)


@dataclass
class Archive:
    """An archive in a file that goes when it is closed."""

    file: IO[bytes]
    code: str
    """``sha256:`` and the digest."""
    size: int
    files: int


def contents(root: str) -> Contents:
    """What of the folder travels."""
    root = os.path.abspath(root)
    if not os.path.isdir(root):
        raise ArchiveError(f"{root} is not a folder")
    found = Contents(root)
    levels = [_Level(parse("\n".join(_DEFAULTS))), *_above(root)]
    _walk(found, os.path.realpath(root), "", levels)
    found.entries.sort(key=lambda entry: os.fsencode(entry[0]))
    return found


def pack(found: Contents, into: IO[bytes]) -> Archive:
    """Writes the archive; the same files make the same bytes."""
    target = _Counted(into)
    with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=target, mtime=0) as zipped:
        # Parts are written as they come, so that nothing is held in memory.
        with tarfile.open(fileobj=zipped, mode="w|", format=tarfile.GNU_FORMAT, encoding="utf-8") as tar:
            for path, info in found.entries:
                _add(tar, found.root, path, info)
    return Archive(into, f"sha256:{target.digest.hexdigest()}", target.size, found.files)


@dataclass
class _Level:
    """The rules of one folder."""

    rules: List[Rule]
    prefix: str = ""
    """What leads from that folder to the root of the archive, if it lies above."""
    cut: int = 0
    """How much of a path leads to that folder, if it lies below."""

    def verdict(self, path: str, is_folder: bool) -> Optional[bool]:
        return verdict(self.rules, self.prefix + path[self.cut :], is_folder)


def _walk(found: Contents, real_root: str, folder: str, levels: List[_Level]) -> None:
    here = os.path.join(found.root, folder)
    levels = [*levels, *_level(here, cut=len(folder) + 1 if folder else 0)]
    try:
        names = sorted(os.listdir(here))
    except OSError as error:
        found.left_out.append(f"{folder or here}: {error.strerror}")
        return
    for name in names:
        path = f"{folder}/{name}" if folder else name
        full = os.path.join(here, name)
        info = os.lstat(full)
        is_folder = stat.S_ISDIR(info.st_mode)
        if _ignored(levels, path, is_folder):
            continue
        why = _obstacle(found, real_root, path, full, info)
        if why is not None:
            found.left_out.append(f"{ascii(path)[1:-1]}: {why}")
            continue
        if is_folder and any(os.path.lexists(os.path.join(full, mark)) for mark in _MARKS):
            continue
        found.entries.append((path, info))
        if len(found.entries) > MOST_ENTRIES:
            raise ArchiveError(
                f"{found.root} holds more than {MOST_ENTRIES} files and folders: "
                "name what need not travel in .mcplaneignore, or send a smaller folder"
            )
        if is_folder:
            _walk(found, real_root, path, levels)


def _ignored(levels: List[_Level], path: str, is_folder: bool) -> bool:
    decided = False
    for level in levels:
        found = level.verdict(path, is_folder)
        decided = decided if found is None else found
    return decided


def _obstacle(found: Contents, real_root: str, path: str, full: str, info: os.stat_result) -> Optional[str]:
    """Why it can't travel."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    if path.count("/") > _DEEPEST:
        return "it lies too deep"
    if stat.S_ISLNK(info.st_mode):
        target = os.readlink(full)
        steps = os.path.normpath(os.path.join(os.path.dirname(path), target))
        real = os.path.realpath(full)
        inside = real == real_root or real.startswith(os.path.join(real_root, ""))
        if os.path.isabs(target) or steps == ".." or steps.startswith("../") or not inside:
            return f"it is a link out of the folder, to {target}"
        return None
    if stat.S_ISREG(info.st_mode):
        return None if os.access(full, os.R_OK) else "it can't be read"
    return None if stat.S_ISDIR(info.st_mode) else "it is neither file nor folder"


def _above(root: str) -> Iterator[_Level]:
    """The rules between the root of the Git repository that the folder lies in, if it does, and the folder."""
    chain, at = [], root
    while not os.path.lexists(os.path.join(at, ".git")):
        parent = os.path.dirname(at)
        if parent == at:
            return
        chain.append(parent)
        at = parent
    for folder in reversed(chain):
        prefix = os.path.relpath(root, folder).replace(os.sep, "/") + "/"
        yield from _level(folder, prefix)


def _level(folder: str, prefix: str = "", cut: int = 0) -> Iterator[_Level]:
    rules: List[Rule] = []
    for name in _IGNORE_FILES:
        path = os.path.join(folder, name)
        if os.path.isfile(path) and not os.path.islink(path):
            with open(path, encoding="utf-8", errors="replace") as file:
                rules += parse(file.read())
    if rules:
        yield _Level(rules, prefix, cut)


def _add(tar: tarfile.TarFile, root: str, path: str, info: os.stat_result) -> None:
    entry = tarfile.TarInfo(path)
    entry.mtime, entry.mode = _TIME, 0o755
    full = os.path.join(root, path)
    if stat.S_ISDIR(info.st_mode):
        entry.type = tarfile.DIRTYPE
        tar.addfile(entry)
    elif stat.S_ISLNK(info.st_mode):
        entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, os.readlink(full), 0o777
        tar.addfile(entry)
    else:
        entry.size = info.st_size
        entry.mode = 0o755 if info.st_mode & stat.S_IXUSR else 0o644
        with open(full, "rb") as file:
            try:
                tar.addfile(entry, file)
            except OSError as error:
                raise ArchiveError(f"{full} changed while it was read: {error}") from error


class _Counted(io.RawIOBase):
    """Writes on, counts and digests."""

    def __init__(self, into: IO[bytes]) -> None:
        super().__init__()
        self._into = into
        self.size = 0
        self.digest = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:  # type: ignore[no-untyped-def]
        self.size += len(data)
        if self.size > MOST_BYTES:
            raise ArchiveError(
                f"the archive is larger than {MOST_BYTES >> 20} MiB: name what need not travel in .mcplaneignore, "
                "and let data come from where it is kept"
            )
        self.digest.update(data)
        self._into.write(data)
        return len(data)
