"""The local cloud's time: real time plus an offset that only grows, so that it can be advanced."""

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

from local.records import replace_file
from pipeline.clock import Clock


def _real_time() -> datetime:
    return datetime.now(UTC)


class LocalClock:
    """A clock whose offset from `real` is kept in `file`."""

    def __init__(self, file: Path, real: Clock = _real_time) -> None:
        self._file = file
        self._real = real
        self._lock = threading.Lock()
        self._offset = timedelta(
            seconds=json.loads(file.read_text())["offset_seconds"] if file.exists() else 0
        )

    def now(self) -> datetime:
        """Returns the time, aware and in UTC."""
        with self._lock:
            return self._real() + self._offset

    def advance_to(self, time: datetime) -> None:
        """Makes it `time` now. A time in the past changes nothing."""
        with self._lock:
            offset = max(self._offset, time - self._real())
            if offset != self._offset:
                replace_file(self._file, json.dumps({"offset_seconds": offset.total_seconds()}))
                self._offset = offset
