"""The local cloud's time: real time plus an offset that only grows, so that it can be advanced."""

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipeline.clock import Clock


def _real_time() -> datetime:
    return datetime.now(UTC)


class LocalClock:
    """A clock whose offset is kept in `file`; `real` is what it runs by."""

    def __init__(self, file: Path, real: Clock = _real_time) -> None:
        self._file = file
        self._real = real
        self._lock = threading.Lock()
        self._offset = timedelta(
            seconds=json.loads(file.read_text())["offset_seconds"] if file.exists() else 0
        )

    def now(self) -> datetime:
        """The time, aware and in UTC."""
        with self._lock:
            return self._real() + self._offset

    def advance_to(self, time: datetime) -> None:
        """Make it `time` now; a time that is past already changes nothing."""
        with self._lock:
            offset = max(self._offset, time - self._real())
            if offset == self._offset:
                return
            self._file.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._file.with_suffix(".new")
            temporary.write_text(json.dumps({"offset_seconds": offset.total_seconds()}))
            temporary.replace(self._file)
            self._offset = offset
