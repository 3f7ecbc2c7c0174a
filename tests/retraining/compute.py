"""A stand-in for Compute Engine's REST API: machines inserted from templates, as one zone allows.

It answers with operations that need a look or two to be done, merges an insert with its template as
Compute does, and lets each test say what becomes of a machine. It cannot show what real stock-outs,
quotas and pre-emptions answer beyond the documented bodies, nor check grants.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from local import discovery
from tests.retraining.emulator import TOKEN

Json = dict[str, Any]


@dataclass
class Machine:
    """One machine; at each sleep of the workflow `lives` is called until it is off."""

    name: str
    zone: str
    template: str
    properties: Json
    status: str = "RUNNING"
    age: int = 0


@dataclass
class Refusal:
    """How an insert fails: at once with an HTTP status, or in its operation where that is 0."""

    code: str
    message: str = ""
    status: int = 0


@dataclass
class Compute:
    """All zones of one project.

    `refuse` says whether an insert (zone, template, name) fails; `life` is called for each running
    machine whenever time has passed, and may change its status, or delete it by "GONE".
    """

    templates: dict[str, Json]
    refuse: Callable[[str, str, str], Refusal | None] = lambda zone, template, name: None
    life: Callable[[Machine], None] = lambda machine: None
    machines: dict[tuple[str, str], Machine] = field(default_factory=dict)
    started: list[Machine] = field(default_factory=list)
    inserts: list[tuple[str, str]] = field(default_factory=list)
    # Answers in place of the real ones: a status, or 0 to cut the connection after the effect.
    faults: list[tuple[str, int]] = field(default_factory=list)
    url: str = ""
    _operations: dict[str, Json] = field(default_factory=dict)

    def time_passed(self) -> None:
        for machine in list(self.machines.values()):
            if machine.status == "RUNNING":
                machine.age += 1
                self.life(machine)
            if machine.status == "GONE":
                del self.machines[machine.zone, machine.name]
        for operation in self._operations.values():
            operation["status"] = "DONE"

    def answer(self, method: str, path: str, query: dict[str, str], body: Json) -> tuple[int, Json]:
        match = re.fullmatch(r"/zones/([^/]+)/(instances|operations)(?:/([^/]+))?", path)
        if match is None:
            return _error(404, "notFound", f"{path} leads nowhere")
        zone, kind, name = match.groups()
        if kind == "operations":
            done = self._operations[name]
            return 200, done if done["status"] == "DONE" else {"name": name, "status": "RUNNING"}
        if method == "POST":
            return self._insert(zone, query["sourceInstanceTemplate"], body)
        if (machine := self.machines.get((zone, name))) is None:
            # Google's own text, with quotes and a path.
            return _error(404, "notFound", f"The resource 'zones/{zone}/{name}' was not found")
        if method == "DELETE":
            del self.machines[zone, name]
            return 200, self._operation()
        return 200, {"name": name, "status": machine.status}

    def _insert(self, zone: str, template: str, body: Json) -> tuple[int, Json]:
        name = body["name"]
        self.inserts.append((zone, template))
        if template not in self.templates:
            return _error(404, "notFound", f"The resource '{template}' was not found")
        if (zone, name) in self.machines:
            return _error(409, "alreadyExists", f"The resource '{name}' already exists")
        refusal = self.refuse(zone, template, name)
        if refusal is not None and refusal.status:
            return _error(refusal.status, refusal.code, refusal.message)
        if refusal is not None:
            errors = [{"code": refusal.code, "message": refusal.message}]
            return 200, self._operation(error={"errors": errors})
        machine = Machine(name, zone, template, merged(self.templates[template], body))
        self.machines[zone, name] = machine
        self.started.append(machine)
        return 200, self._operation()

    def _operation(self, **outcome: Any) -> Json:
        name = f"operation-{len(self._operations)}"
        self._operations[name] = {"name": name, "status": "PENDING", **outcome}
        return {"name": name, "status": "PENDING"}


def merged(template: Json, override: Json) -> Json:
    """As Compute inserts from a template: by JSON merge patch (RFC 7396), lists replaced whole."""
    result = dict(template)
    for key, value in override.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


def _error(status: int, reason: str, message: str) -> tuple[int, Json]:
    errors = [{"domain": "global", "reason": reason, "message": message}]
    return status, {"error": {"code": status, "message": message, "errors": errors}}


@contextmanager
def serving(compute: Compute) -> Iterator[Compute]:
    """Let it answer on a port of its own, at `compute.url`."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

        def serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            self.body = self.rfile.read(length)
            body = json.loads(self.body or b"{}")
            split = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(split.query).items()}
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                return self.reply(*_error(401, "required", "Login Required."))
            fault = next((f for f in compute.faults if f[0] == self.command), None)
            if fault is not None:
                compute.faults.remove(fault)
                if fault[1]:
                    return self.reply(*_error(fault[1], "backendError", "try: 'again'"))
            answer = compute.answer(self.command, split.path, query, body)
            if fault is not None:
                self.close_connection = True
                return None
            return self.reply(*answer)

        do_GET = do_POST = do_DELETE = serve  # noqa: N815

        def reply(self, status: int, document: Json) -> None:
            data = json.dumps(document).encode()
            target = f"/compute/v1/projects/p{self.path}"
            if self.path.startswith("/zones/"):
                discovery.check(self.command, target, self.body, status, data)
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=UTF-8")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    compute.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield compute
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
