"""What happened, kept: documents by name in one JSON file, oldest first."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

Record = TypeVar("Record", bound=BaseModel)


class Records(Generic[Record]):
    """Documents of one model; safe for threads, not for processes.

    The file is replaced whole at each change: a killed process leaves the old or the new one.
    """

    def __init__(self, file: Path, model: type[Record]) -> None:
        self._file = file
        self._lock = threading.Lock()
        stored: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
        self._records = {name: model.model_validate(record) for name, record in stored.items()}

    def get(self, name: str) -> Record | None:
        """The document of this name, if there is one."""
        with self._lock:
            return self._records.get(name)

    def all(self) -> dict[str, Record]:
        """All documents, oldest first."""
        with self._lock:
            return dict(self._records)

    def put(self, name: str, record: Record) -> None:
        """Keep `record`, in place of the one of this name."""
        self._change(lambda records: records.update({name: record}))

    def remove(self, name: str) -> None:
        """Forget a document; one that is not there is forgotten already."""
        self._change(lambda records: records.pop(name, None))

    def _change(self, change: Callable[[dict[str, Record]], object]) -> None:
        with self._lock:
            changed = dict(self._records)
            change(changed)
            self._file.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._file.with_suffix(".new")
            temporary.write_text(
                json.dumps(
                    {name: record.model_dump(mode="json") for name, record in changed.items()},
                    indent=1,
                )
            )
            temporary.replace(self._file)
            self._records = changed
