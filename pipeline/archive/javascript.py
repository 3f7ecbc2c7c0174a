"""Reads the files of JavaScript in an archive, each of which assigns one JSON value to a name.

A list is read entry by entry through a window that moves over the text, so a file of any size needs
the memory of its longest entry.
"""

import codecs
import re
from collections.abc import Iterator
from json import JSONDecodeError, JSONDecoder
from typing import Any

_WINDOW = 1 << 20  # characters that are read on at a time
_LONGEST = 16 << 20  # characters of one entry; X's have some thousand
_LONGEST_HEAD = 1000  # characters before the value

_ASSIGNMENT = re.compile(r"(?:window\.\w+|Grailbird|var\s+\w+)[\w.]*\s*=")
_SPACE = re.compile(r"[ \t\n\r]*")


class Damaged(Exception):
    """A file is not what X writes; the text completes a sentence that begins with its name."""


def _integer(digits: str) -> int | str:
    """A number; its digits if they are too many for an id, since Python may refuse to read them."""
    return int(digits) if len(digits) <= 20 else digits


_DECODER = JSONDecoder(parse_int=_integer)


def entries(blocks: Iterator[bytes]) -> Iterator[Any]:
    """Yield the entries of the list that a file assigns.

    Raises:
        Damaged: The file assigns no list, or ends within it.
    """
    window = _assigned(blocks)
    if window.character() != "[":
        raise Damaged("is damaged")
    window.place += 1
    if window.character() == "]":
        window.place += 1
    else:
        yield window.value()
        while window.passed(","):
            window.character()
            yield window.value()
        if not window.passed("]"):
            raise Damaged("is damaged")
    window.end()


def value(blocks: Iterator[bytes]) -> Any:
    """The value that a small file assigns; raises Damaged if it assigns none."""
    window = _assigned(blocks)
    window.character()
    assigned = window.value()
    window.end()
    return assigned


def _assigned(blocks: Iterator[bytes]) -> "_Window":
    """The window of a file, at the value that it assigns."""
    window = _Window(blocks)
    if window.character() == "\ufeff":
        window.place += 1
    window.character()
    window.fill(_LONGEST_HEAD)
    assignment = _ASSIGNMENT.match(window.text, window.place)
    if assignment is None:
        raise Damaged("does not have the form that X writes")
    window.place = assignment.end()
    return window


class _Window:
    """A part of a file's text, and the place in it up to which it was read."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._ended = False
        self.text = ""
        self.place = 0

    def character(self) -> str:
        """The next character that is no space, at which `place` then is; "" at the end."""
        while True:
            found = _SPACE.match(self.text, self.place)
            self.place = found.end() if found else self.place
            if self.place < len(self.text):
                return self.text[self.place]
            if not self._move():
                return ""

    def fill(self, characters: int) -> None:
        """Hold at least that many characters from `place` on, unless the file ends before."""
        while len(self.text) - self.place < characters and self._move():
            pass

    def passed(self, character: str) -> bool:
        """Whether `character` comes next; it is then passed."""
        found = self.character() == character
        self.place += found
        return found

    def value(self) -> Any:
        """The JSON value that begins at `place`, which is then behind it."""
        while True:
            try:
                found, end = _DECODER.raw_decode(self.text, self.place)
            except JSONDecodeError:
                # It may end beyond the window.
                if not self._move():
                    raise Damaged("is damaged") from None
                continue
            except RecursionError:
                raise Damaged("is damaged") from None
            # A number that touches the window's end may go on.
            if end < len(self.text) or not self._move():
                self.place = end
                return found

    def end(self) -> None:
        """Raise Damaged if more follows than a semicolon."""
        self.passed(";")
        if self.character():
            raise Damaged("is damaged")

    def _move(self) -> bool:
        """Drop what was read, and read on; False at the end of the file.

        The window at least doubles, so that a long entry is not tried too often.
        """
        if self._ended:
            return False
        kept = self.text[self.place :]
        if len(kept) > _LONGEST:
            raise Damaged(f"has an entry of over {_LONGEST >> 20} million characters")
        pieces, added = [kept], 0
        while added < max(_WINDOW, len(kept)) and not self._ended:
            block = next(self._blocks, b"")
            self._ended = not block
            try:
                pieces.append(self._decoder.decode(block, final=self._ended))
            except UnicodeDecodeError:
                raise Damaged("is damaged") from None
            added += len(pieces[-1])
        self.text, self.place = "".join(pieces), 0
        return True
