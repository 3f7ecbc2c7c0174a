"""Prints structured log lines, which Cloud Logging reads from a container's output."""

import json
from typing import Any, Literal

Severity = Literal["INFO", "NOTICE", "WARNING", "ERROR"]
"""Alerts match ERROR. Cloud Logging knows further severities, which no program needs."""


def log(severity: Severity, message: str, **fields: Any) -> None:
    """Print one line; `fields` become keys of the entry's jsonPayload.

    Source: https://cloud.google.com/logging/docs/structured-logging
    """
    print(json.dumps({"severity": severity, "message": message, **fields}), flush=True)
