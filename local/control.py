"""The calls under /local/ by which a person's commands steer the local cloud.

Each responds with JSON: the result, or `{"error": one line}` with status 400. GET
/local/logs/COLLECTION/NAME responds with the text of a log.
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from local.gateway.gateway import Api
from local.gateway.server import Request, Response
from pipeline.errors import UserError

PATH = r"/local/(.*)"

Json = dict[str, Any]
Calls = Mapping[tuple[str, str], Callable[[Json], Any]]
"""By HTTP method and name: what takes the JSON of a request, and returns that of the response."""


def api(calls: Calls, home: Path, used: Callable[[], None]) -> Api:
    """Returns the API that makes `calls`. Whoever reaches the local cloud's address may use it.

    Args:
        calls: The calls.
        home: The folder in which the logs are.
        used: Is told of each call.
    """

    def respond(path: re.Match[str], request: Request, _member: str) -> Response:
        used()
        name = unquote(path[1]).strip("/")
        try:
            if request.method == "GET" and name.startswith("logs/"):
                text = ("Content-Type", "text/plain; charset=utf-8")
                return Response(200, _log(home, name).read_bytes(), [text])
            call = calls.get((request.method, name))
            if call is None:
                raise UserError(f"the local cloud has no call {request.method} /local/{name}")
            result = call(json.loads(request.body.read() or b"{}"))
        except (UserError, ValueError, KeyError) as error:
            return Response.json(400, {"error": str(error)})
        return Response(200, json.dumps(result, default=str).encode())

    return respond


def _log(home: Path, name: str) -> Path:
    """Returns the file of logs/executions/NAME, logs/builds/ID, and so on."""
    file = (home / f"{name}.log").resolve()
    if not file.is_relative_to(home / "logs") or not file.is_file():
        raise UserError(f"there is no log {name.removeprefix('logs/')}")
    return file
