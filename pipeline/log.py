"""Prints structured log lines, which Cloud Logging reads from a container's output."""

import json
from typing import Any


def log(severity: str, message: str, **fields: Any) -> None:
    """Print one line; `fields` become keys of the entry's jsonPayload.

    Source: https://cloud.google.com/logging/docs/structured-logging
    """
    print(json.dumps({"severity": severity, "message": message, **fields}), flush=True)
