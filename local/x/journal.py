"""Append-only files of records, one line of JSON each."""

from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel

T = TypeVar("T", bound=BaseModel)


class Journal(Generic[T]):
    """A file of records of one type, readable by its owner only; a torn last line is dropped."""

    def __init__(self, file: Path, record: type[T]) -> None:
        self._file = file
        self._record = record

    def read(self) -> list[T]:
        """All records, oldest first."""
        if not self._file.exists():
            return []
        data = self._file.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if whole != data:
            self._file.write_bytes(whole)
        return [self._record.model_validate_json(line) for line in whole.splitlines()]

    def add(self, record: T) -> None:
        """Append a record; the operating system has it when this returns."""
        if not self._file.exists():
            self._file.touch(mode=0o600)
        with self._file.open("ab") as file:
            file.write(record.model_dump_json().encode() + b"\n")
