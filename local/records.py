"""Documents by name in one JSON file: what a local cloud has to remember."""

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from local.containers.files import write
from pipeline.errors import UserError

Record = TypeVar("Record", bound=BaseModel)


class Records(Generic[Record]):
    """Documents of one model. Safe for threads, not for processes."""

    def __init__(self, file: Path, model: type[Record]) -> None:
        self._file = file
        self._lock = threading.Lock()
        try:
            stored: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
            self._records = {name: model.model_validate(record) for name, record in stored.items()}
        except (ValueError, AttributeError) as error:
            raise UserError(
                f"{file} is not what the local cloud wrote ({error}); "
                "remove the local cloud's folder and start again"
            ) from error

    def get(self, name: str) -> Record | None:
        """Returns the document of this name, if there is one."""
        with self._lock:
            return self._records.get(name)

    def all(self) -> list[Record]:
        """Returns all documents, oldest first."""
        with self._lock:
            return list(self._records.values())

    def put(self, name: str, record: Record) -> None:
        """Stores `record` in place of the one of this name."""
        self.put_all({name: record})

    def put_all(self, records: Mapping[str, Record]) -> None:
        """Stores records by their names, all at once."""
        with self._lock:
            self._store({**self._records, **records})

    def add(self, name: str, record: Record) -> bool:
        """Stores a new `record`; returns False if the name is taken."""
        with self._lock:
            if name in self._records:
                return False
            self._store({**self._records, name: record})
            return True

    def remove(self, name: str) -> None:
        """Removes a document, if it is there."""
        with self._lock:
            self._store({key: kept for key, kept in self._records.items() if key != name})

    def _store(self, records: dict[str, Record]) -> None:
        documents = {name: record.model_dump(mode="json") for name, record in records.items()}
        replace_file(self._file, json.dumps(documents, indent=1))
        self._records = records


def replace_file(file: Path, text: str) -> None:
    """Writes a file that its owner alone can read, whole: a killed process leaves old or new."""
    write(file, text.encode(), 0o600)
