"""Cloud Storage's HTTP API: grants, preconditions, resumable uploads and events.

Stands in for Cloud Storage's JSON API, with fake-gcs-server keeping the live objects. It cannot
show an object named like another one's folder (`a` beside `a/b`), the pages of a listing of
versions, nor how fast or how consistent Cloud Storage is; a resumable upload does not survive a
restart.
"""

import json
import re
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import urllib3

from local.gateway.errors import HttpError
from local.gateway.iam import ALL_USERS, Denied, Policy
from local.gateway.server import Request, Response
from local.services.storage.calls import Call, classify
from local.services.storage.past import Version
from local.services.storage.server import ALIAS, StorageServer
from local.services.storage.upstream import BLOCK, Upstream
from pipeline.clock import Clock

METHODS = (
    "storage.buckets.get",
    "storage.objects.delete",
    "storage.objects.get",
    "storage.objects.insert",
    "storage.objects.list",
    "storage.objects.patch",
    "storage.objects.update",
)
PATH = r"/(?:(?:upload|download)/)?storage/v1/.*"

Finalized = Callable[[dict[str, str], dict[str, Any]], None]
"""Takes a new generation: the attributes of its notification, and the object's metadata."""

# Headers that belong to one connection and not to the message.
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "upgrade"}
_LARGE = 1 << 20


@dataclass
class _Upload:
    """A resumable upload: the call that began it, how far it came, and how it ended."""

    begun: Call
    received: list[tuple[str, str]]
    result: Response | None = None


@dataclass
class _Kept:
    """Whether the version that a call may replace or delete has gone."""

    gone: bool = False


class CloudStorage:
    """Responds to the calls of Cloud Storage.

    `on_finalize` is called for every new generation of an object, on the writer's own thread and
    before the response: it must be quick and must not raise.
    """

    def __init__(
        self, server: StorageServer, policy: Policy, clock: Clock, on_finalize: Finalized
    ) -> None:
        self._upstream = Upstream(server.upstream)
        self._past = server.past
        self._policy = policy
        self._clock = clock
        self._on_finalize = on_finalize
        self._uploads: dict[str, _Upload] = {}
        # Objects share these locks by hash. A change is checked and made under one lock.
        self._locks = [threading.Lock() for _ in range(64)]

    def respond(self, path: re.Match[str], request: Request, member: str) -> Response:
        """Make the call if the member may; raises HttpError."""
        del path
        return self.make(classify(request, self._begun), request, member)

    def _begun(self, upload: str) -> Call | None:
        found = self._uploads.get(upload)
        return found and found.begun

    def make(self, call: Call, request: Request, member: str) -> Response:
        """Make a call that is known here; raises HttpError."""
        self._permit(call, member)
        if version := self._noncurrent(call):
            return self._on_noncurrent(call, version)
        if not call.changes:
            self._check_conditions(call, member, request.method)
            return self._versions(call) or self._forward(call, member, request)
        with self._locks[hash(call.resource) % len(self._locks)]:
            upload = self._uploads.get(call.upload)
            if upload and (upload.result or _asks_for_progress(request)):
                return upload.result or Response(308, b"", upload.received)
            self._check_conditions(call, member, request.method)
            with self._kept(call) as kept:
                response = self._forward(call, member, request)
                kept.gone = response.status in (200, 204)
        if call.writes and response.status == 200 and call.operation != "start-upload":
            self._announce(json.loads(_whole(response)))
        return response

    def _permit(self, call: Call, member: str) -> None:
        try:
            self._policy.require(member, call.permission, call.resource)
        except Denied as denied:
            # All projects share one space of bucket names: that a bucket is absent is no secret.
            if not self._upstream.has_bucket(call.bucket):
                message = "The specified bucket does not exist."
                raise HttpError(404, "notFound", message) from None
            raise _forbidden(denied, member) from denied

    def _check_conditions(self, call: Call, member: str, method: str) -> None:
        """The preconditions of a call: fake-gcs-server ignores most of them."""
        conditional = any(key.startswith("if") or key == "generation" for key in call.query)
        overwrites = call.writes and not self._policy.allows(
            member, "storage.objects.delete", call.resource
        )
        if not call.name or not (conditional or overwrites):
            return
        held = self._upstream.metadata(call.bucket, call.name)
        if held is not None or call.writes:
            _compare(call, held or {"generation": "0", "metageneration": "0"}, method)
        if held is not None and overwrites:
            self._require(member, "storage.objects.delete", call.resource)

    def _forward(self, call: Call, member: str, request: Request) -> Response:
        method, target, body, headers = call.forwarded(request)
        continues = call.operation == "continue-upload"
        sent = request.body if continues else body or None
        response = _rewritten(self._upstream.call(method, target, sent, headers), request.base)
        if response.status == 404 and call.name:
            # A caller who may not list is not told that an object is absent.
            self._require(
                member,
                "storage.objects.list",
                f"projects/_/buckets/{call.bucket}",
                f" (or {call.resource} does not exist)",
            )
        if response.status == 200 and call.operation in ("delete", "update"):
            # fake-gcs-server responds with an object in a form of its own.
            changed = call.operation == "update" and self._upstream.metadata(call.bucket, call.name)
            return Response.json(200, changed) if changed else Response(204)
        if call.operation == "start-upload" and response.status == 200:
            self._uploads[_upload_id(response)] = _Upload(call, [])
        elif upload := self._uploads.get(call.upload):
            upload.received = [pair for pair in response.headers if pair[0] == "Range"]
            upload.result = response if response.status == 200 else None
        return response

    @contextmanager
    def _kept(self, call: Call) -> Generator["_Kept"]:
        """Keep the version that a call replaces or deletes, if it does."""
        kept = _Kept()
        goes = call.operation in ("insert", "continue-upload", "delete")
        held = goes and self._past.keeps(call.bucket) and self._metadata(call)
        if not held:
            yield kept
            return
        media = self._upstream.call("GET", f"{_path(call)}?alt=media", None, {})
        copy = self._past.copy(held, media.stream(BLOCK))
        try:
            yield kept
        finally:
            if kept.gone:
                for_good = call.operation == "delete" and "generation" in call.query
                self._past.keep(held, copy, self._clock(), for_good=for_good)
            else:
                copy.unlink()

    def _metadata(self, call: Call) -> dict[str, Any] | None:
        return self._upstream.metadata(call.bucket, call.name)

    def _noncurrent(self, call: Call) -> Version | None:
        """The noncurrent version that a call names by its generation."""
        generation = call.query.get("generation")
        if not generation or call.operation not in ("get", "delete"):
            return None
        return self._past.find(call.bucket, call.name, generation, self._clock())

    def _on_noncurrent(self, call: Call, version: Version) -> Response:
        if any(key.startswith("if") for key in call.query):
            raise HttpError(
                501, "notImplemented", "the local cloud does not know conditions on old versions"
            )
        if call.operation == "delete":
            self._past.delete(version, self._clock())
            return Response(204)
        if call.query.get("alt") != "media":
            return Response.json(200, version.metadata)
        headers = [
            ("Content-Type", version.metadata.get("contentType", "application/octet-stream")),
            ("X-Goog-Generation", version.generation),
        ]
        return Response(200, version.file.read_bytes(), headers)

    def _versions(self, call: Call) -> Response | None:
        """All versions, on one page, if the call asks for more than the live ones."""
        soft, versions = (
            call.query.get(key, "").lower() == "true" for key in ("softDeleted", "versions")
        )
        if call.operation != "list" or not (soft or versions):
            return None
        if "delimiter" in call.query:
            raise HttpError(
                501, "notImplemented", "the local cloud does not know a delimiter of versions"
            )
        prefix = call.query.get("prefix", "")
        items = [
            version.metadata
            for version in self._past.versions(call.bucket, self._clock())
            if version.soft_deleted == soft and version.name.startswith(prefix)
        ]
        if versions:
            items += self._live(call.bucket, prefix)
        items.sort(key=lambda item: (item["name"], int(item["generation"])))
        return Response.json(200, {"kind": "storage#objects", "items": items})

    def _live(self, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
        page = ""
        while True:
            query = urlencode({"prefix": prefix, "pageToken": page})
            target = f"/storage/v1/b/{quote(bucket)}/o?{query}"
            listed = json.loads(self._upstream.call("GET", target, None, {}).read())
            yield from listed.get("items", [])
            page = listed.get("nextPageToken", "")
            if not page:
                return

    def _announce(self, made: dict[str, Any]) -> None:
        # Source: https://cloud.google.com/storage/docs/pubsub-notifications#attributes
        attributes = {
            "eventType": "OBJECT_FINALIZE",
            "payloadFormat": "JSON_API_V1",
            "bucketId": made["bucket"],
            "objectId": made["name"],
            "objectGeneration": str(made["generation"]),
            "eventTime": self._clock().isoformat(),
        }
        self._on_finalize(attributes, made)

    def _require(self, member: str, permission: str, resource: str, remark: str = "") -> None:
        try:
            self._policy.require(member, permission, resource)
        except Denied as denied:
            raise _forbidden(f"{denied}{remark}", member) from denied


def _path(call: Call) -> str:
    return f"/storage/v1/b/{quote(call.bucket, safe='')}/o/{quote(call.name, safe='')}"


def _forbidden(reason: object, member: str) -> HttpError:
    if member == ALL_USERS:
        return HttpError(401, "required", f"Anonymous caller: {reason}")
    return HttpError(403, "forbidden", str(reason))


def _compare(call: Call, held: dict[str, Any], method: str) -> None:
    """Raise HttpError (304, 404 or 412) unless the object that is held meets the conditions."""
    if call.query.get("generation", str(held["generation"])) != str(held["generation"]):
        raise HttpError(404, "notFound", f"No such object: {call.resource} of that generation")
    for condition in ("Generation", "Metageneration"):
        now = str(held[condition.lower()])
        if call.query.get(f"if{condition}NotMatch") == now:
            unchanged = method in ("GET", "HEAD")
            raise HttpError(304 if unchanged else 412, "conditionNotMet", f"{condition} is {now}.")
        if call.query.get(f"if{condition}Match", now) != now:
            raise HttpError(412, "conditionNotMet", f"{condition} is {now}.")


def _asks_for_progress(request: Request) -> bool:
    # fake-gcs-server would take the question for data.
    return request.headers.get("Content-Range", "").startswith("bytes */")


def _upload_id(response: Response) -> str:
    location = dict(response.headers)["Location"]
    found = re.search(r"upload_id=([^&]+)", location)
    if found is None:
        raise ValueError(f"fake-gcs-server began an upload without an id: {location}")
    return found[1]


def _rewritten(upstream: urllib3.BaseHTTPResponse, base: str) -> Response:
    """The server's response with its addresses replaced; large media is passed on as it comes."""
    alias = f"http://{ALIAS}"
    headers = [
        (key, value.replace(alias, base) if key == "Location" else value)
        for key, value in upstream.headers.items()
        if key.lower() not in _HOP_BY_HOP
    ]
    large = int(upstream.headers.get("Content-Length", "0")) >= _LARGE
    if upstream.status == 200 and large and "json" not in upstream.headers["Content-Type"]:
        return Response(200, upstream.stream(BLOCK), headers)
    data = upstream.read()
    if "json" in upstream.headers.get("Content-Type", ""):
        data = data.replace(alias.encode(), base.encode())
    whole = [pair for pair in headers if pair[0].lower() != "content-length"]
    return Response(upstream.status, data, whole)


def _whole(response: Response) -> bytes:
    return response.body if isinstance(response.body, bytes) else b"".join(response.body)
