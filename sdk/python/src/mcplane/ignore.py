"""The language of ``.gitignore``."""

from __future__ import annotations

import re
from typing import Iterable, List, Optional, Pattern


class Rule:
    """One pattern of an ignore file."""

    def __init__(self, line: str) -> None:
        self.ignores = not line.startswith("!")
        pattern = line if self.ignores else line[1:]
        self._only_folders = pattern.endswith("/")
        pattern = pattern[:-1] if self._only_folders else pattern
        anchored = "/" in pattern
        self._regex: Optional[Pattern[str]] = _compile(pattern[1:] if pattern.startswith("/") else pattern, anchored)

    def matches(self, path: str, is_folder: bool) -> bool:
        """Whether the pattern means ``path``, which is relative to the folder of the ignore file."""
        if self._regex is None or (self._only_folders and not is_folder):
            return False
        return self._regex.fullmatch(path) is not None


def parse(text: str) -> List[Rule]:
    """The rules of an ignore file's text."""
    lines = (_trimmed(line) for line in text.lstrip("\ufeff").split("\n"))
    return [Rule(line) for line in lines if line.strip("/!") and not line.startswith("#")]


def verdict(rules: Iterable[Rule], path: str, is_folder: bool) -> Optional[bool]:
    """Whether the last rule that matches ignores the path; ``None`` if none matches."""
    found = None
    for rule in rules:
        if rule.matches(path, is_folder):
            found = rule.ignores
    return found


def _trimmed(line: str) -> str:
    """A line without the spaces at its end that are not escaped."""
    bare = line.rstrip(" \t\r")
    if bare.endswith("\\") and len(bare) < len(line):
        return bare + line[len(bare)]
    return bare


def _compile(pattern: str, anchored: bool) -> Optional[Pattern[str]]:
    out = [] if anchored else ["(?:.*/)?"]
    at, end = 0, len(pattern)
    while at < end:
        rest = pattern[at:]
        starts_part = at == 0 or pattern[at - 1] == "/"
        if starts_part and rest.startswith("**/"):
            out.append("(?:.*/)?")
            at += 3
        elif starts_part and rest == "**":
            out.append(".+")
            at += 2
        elif rest[0] == "*":
            out.append("[^/]*")
            at += len(rest) - len(rest.lstrip("*"))
        elif rest[0] == "?":
            out.append("[^/]")
            at += 1
        elif rest[0] == "[":
            piece = _class(rest)
            if piece is None:
                return None
            regex, length = piece
            out.append(regex)
            at += length
        else:
            escaped = rest[0] == "\\" and len(rest) > 1
            out.append(re.escape(rest[1] if escaped else rest[0]))
            at += 2 if escaped else 1
    try:
        return re.compile("".join(out), re.DOTALL)
    except re.error:
        # Such as a class whose range runs backwards: it means nothing.
        return None


def _class(text: str) -> "Optional[tuple[str, int]]":
    """A character class at the start of ``text`` as a regular expression, and its length."""
    negated = text[1:2] in ("!", "^")
    at = 2 if negated else 1
    out = ["[^/" if negated else "["]
    first = True
    while at < len(text):
        char = text[at]
        if char == "]" and not first:
            return f"(?!/){''.join(out)}]", at + 1
        if char == "\\" and at + 1 < len(text):
            at += 1
            char = text[at]
            out.append("\\" + char)
        else:
            out.append(char if char == "-" else re.escape(char))
        first = False
        at += 1
    return None
