"""A stand-in for Compute Engine's REST API: machines inserted from templates, as one zone allows.

It answers with operations that need a look or two to be done, merges an insert with its template as
Compute does, and lets each test say what becomes of a machine. It takes no path, parameter or
property that the program does not use. It cannot show what real stock-outs, quotas and pre-emptions
answer beyond the documented bodies, nor check grants.
Source: https://cloud.google.com/compute/docs/reference/rest/v1/instances
"""

import json
import re
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

from tests import google_api

Json = dict[str, Any]
TOKEN = "of-the-job"
PROJECT = "example-bots-prod"
_ZONE = rf"/compute/v1/projects/{PROJECT}/zones/([^/]+)"
_INSERT = re.compile(rf"{_ZONE}/instances")
_INSTANCE = re.compile(rf"{_ZONE}/instances/([^/]+)")
_OPERATION = re.compile(rf"{_ZONE}/operations/([^/]+)")
_ALL = f"/compute/v1/projects/{PROJECT}/aggregated/instances"


@dataclass
class Machine:
    """One machine; each time that time has passed, `life` is called until it is off."""

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
    machines: dict[tuple[str, str], Machine] = field(default_factory=dict[tuple[str, str], Machine])
    started: list[Machine] = field(default_factory=list[Machine])
    inserts: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    # Answers in place of the real ones: a status, or 0 to cut the connection after the effect.
    faults: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    calls: list[str] = field(default_factory=list[str])
    url: str = ""
    lock: Any = field(default_factory=threading.RLock)
    _operations: dict[str, Json] = field(default_factory=dict[str, Json])

    def add(self, name: str, zone: str, status: str = "RUNNING") -> None:
        """A machine that somebody else made."""
        self.machines[zone, name] = Machine(name, zone, "", {}, status)

    def time_passed(self) -> None:
        with self.lock:
            for machine in list(self.machines.values()):
                if machine.status == "RUNNING":
                    machine.age += 1
                    self.life(machine)
                if machine.status == "GONE":
                    del self.machines[machine.zone, machine.name]
            for operation in self._operations.values():
                operation["status"] = "DONE"

    def answer(self, method: str, path: str, query: dict[str, str], body: Json) -> tuple[int, Json]:
        self.calls.append(f"{method} {path}")
        if method == "POST" and (match := _INSERT.fullmatch(path)):
            assert set(query) == {"sourceInstanceTemplate"}, query
            assert set(body) == {"name"}, body
            return self._insert(match[1], query["sourceInstanceTemplate"], body)
        assert body == {}, body
        if method == "GET" and path == _ALL:
            assert set(query) <= {"pageToken"}, query
            return 200, self._page(int(query.get("pageToken", 0)))
        assert query == {}, query
        if method == "GET" and (match := _OPERATION.fullmatch(path)):
            done = self._operations.get(match[2])
            if done is None or done["zone"] != match[1]:
                return _error(404, "notFound", f"The resource '{path}' was not found")
            return 200, done if done["status"] == "DONE" else {
                k: v for k, v in done.items() if k != "error"
            }
        match = _INSTANCE.fullmatch(path)
        assert match is not None, path
        zone, name = match.groups()
        if (machine := self.machines.get((zone, name))) is None:
            # Google's own text, with quotes and a path.
            return _error(404, "notFound", f"The resource 'zones/{zone}/{name}' was not found")
        if method == "DELETE":
            del self.machines[zone, name]
            return 200, self._operation(zone)
        assert method == "GET", method
        return 200, _described(machine)

    def _page(self, page: int) -> Json:
        """The machines of one zone; every zone has a page of its own, be it empty."""
        zones = [*sorted({machine.zone for machine in self.machines.values()}), "us-central1-a"]
        zone = zones[page]
        there = [_described(m) for m in self.machines.values() if m.zone == zone]
        nothing = {"warning": {"code": "NO_RESULTS_ON_PAGE", "message": "There are no results"}}
        further = {"nextPageToken": str(page + 1)} if page + 1 < len(zones) else {}
        return {
            "kind": "compute#instanceAggregatedList",
            "items": {f"zones/{zone}": {"instances": there} if there else nothing},
            **further,
        }

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
            return 200, self._operation(zone, error={"errors": errors})
        machine = Machine(name, zone, template, merged(self.templates[template], body))
        self.machines[zone, name] = machine
        self.started.append(machine)
        return 200, self._operation(zone)

    def _operation(self, zone: str, **outcome: Any) -> Json:
        name = f"operation-{len(self._operations)}"
        operation = {"kind": "compute#operation", "name": name, "zone": zone, "status": "PENDING"}
        self._operations[name] = {**operation, **outcome}
        return operation


def _described(machine: Machine) -> Json:
    kind = "compute#instance"
    return {"kind": kind, "name": machine.name, "zone": machine.zone, "status": machine.status}


def merged(template: Json, override: Json) -> Json:
    """As Compute inserts from a template: by JSON merge patch (RFC 7396), lists replaced whole."""
    result = dict(template)
    for key, value in override.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], cast("Json", value))
        else:
            result[key] = value
    return result


def _error(status: int, reason: str, message: str) -> tuple[int, Json]:
    errors = [{"domain": "global", "reason": reason, "message": message}]
    return status, {"error": {"code": status, "message": message, "errors": errors}}


@contextmanager
def serving(compute: Compute) -> Generator[Compute]:
    """Let it answer on a port of its own, at `compute.url`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

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
            with compute.lock:
                fault = next((f for f in compute.faults if f[0] == self.command), None)
                if fault is not None:
                    compute.faults.remove(fault)
                    if fault[1]:
                        return self.reply(*_error(fault[1], "backendError", "try: 'again'"))
                try:
                    answer = compute.answer(self.command, split.path, query, body)
                except AssertionError as error:
                    answer = _error(400, "invalid", f"{self.command} {split.path}: {error}")
            if fault is not None:
                self.close_connection = True
                return None
            return self.reply(*answer)

        do_GET = do_POST = do_DELETE = serve  # noqa: N815

        def reply(self, status: int, document: Json) -> None:
            data = json.dumps(document).encode()
            google_api.check(self.command, self.path, self.body, status, data)
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=UTF-8")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    compute.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield compute
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
