"""Structured log lines, in the form that Cloud Logging reads from a container's output."""

import json
from typing import Any


def log(severity: str, message: str, **fields: Any) -> None:
    """Print one line: `severity` and `message` are Cloud Logging's own, `fields` its jsonPayload.

    Source: https://cloud.google.com/logging/docs/structured-logging
    """
    print(json.dumps({"severity": severity, "message": message, **fields}), flush=True)
