"""Cloud Storage as programs see it: grants, preconditions, sessions and events over a plain server.

Stands in for Cloud Storage's JSON API, with fake-gcs-server keeping the objects. It cannot show old
generations, soft deletion, an object named as another one's folder (`a` beside `a/b`), nor how fast
or how consistent the real one is; a resumable upload does not survive its restart.
"""

import http.client
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from local.front.classify import Call, classify
from local.front.refusal import Refused
from local.front.upstream import BLOCK, Upstream
from local.iam import ALL_USERS, Denied, Policy
from local.storage import ALIAS
from local.web import Request, Response
from pipeline.clock import Clock

Finalized = Callable[[dict[str, str], dict[str, Any]], None]
"""Takes a new generation: the attributes of its notification, and the object's metadata."""

# What belongs to one connection and not to the message.
_HOP_BY_HOP = {"connection", "expect", "host", "keep-alive", "te", "transfer-encoding", "upgrade"}
_LARGE = 1 << 20


@dataclass
class _Upload:
    """A resumable upload: the call that began it, how far it came, and how it ended."""

    begun: Call
    received: list[tuple[str, str]]
    result: Response | None = None


class Storage:
    """Answers the calls of Cloud Storage for one member at a time."""

    def __init__(self, policy: Policy, clock: Clock, on_finalize: Finalized) -> None:
        self._policy = policy
        self._clock = clock
        self._on_finalize = on_finalize
        self._uploads: dict[str, _Upload] = {}
        # Objects share the locks by their hash: a change is checked and made under one.
        self._locks = [threading.Lock() for _ in range(64)]

    def classify(self, request: Request, body: bytes) -> Call:
        """The call that a request makes; Refused if it is none that is known."""
        begun = {key: upload.begun for key, upload in self._uploads.items()}
        return classify(request, body, begun)

    def answer(
        self, call: Call, member: str, request: Request, body: bytes | None, upstream: Upstream
    ) -> Response:
        """Make the call if the member may; `body` is None where it is passed on as it comes."""
        self._permit(call, member, upstream)
        if not call.changes:
            self._check_conditions(call, member, request.method, upstream)
            return self._forward(call, member, request, body, upstream)
        with self._locks[hash(call.resource) % len(self._locks)]:
            upload = self._uploads.get(call.upload)
            if upload and (upload.result or _asks_for_progress(request)):
                return upload.result or Response(308, b"", upload.received)
            self._check_conditions(call, member, request.method, upstream)
            response = self._forward(call, member, request, body, upstream)
        if call.writes and response.status == 200 and call.operation != "start-upload":
            self._announce(json.loads(_whole(response)))
        return response

    def _permit(self, call: Call, member: str, upstream: Upstream) -> None:
        try:
            self._policy.require(member, call.permission, call.resource)
        except Denied as denied:
            # That a bucket does not exist is no secret: bucket names are one space for all.
            if not upstream.has_bucket(call.bucket):
                raise Refused(404, "notFound", "The specified bucket does not exist.") from None
            raise _forbidden(denied, member) from denied

    def _check_conditions(self, call: Call, member: str, method: str, upstream: Upstream) -> None:
        """The preconditions of a call, of which fake-gcs-server ignores most."""
        conditional = any(key.startswith("if") or key == "generation" for key in call.query)
        overwrites = call.writes and not self._allows(member, "storage.objects.delete", call)
        if not call.name or not (conditional or overwrites):
            return
        held = upstream.metadata(call.bucket, call.name)
        if held is not None or call.writes:
            _compare(call, held or {"generation": "0", "metageneration": "0"}, method)
        if held is not None and overwrites:
            self._require(member, "storage.objects.delete", call)

    def _forward(
        self, call: Call, member: str, request: Request, body: bytes | None, upstream: Upstream
    ) -> Response:
        method, target, sent, headers = call.forwarded(request)
        if call.operation == "continue-upload":
            with_body = request.body if body is None else body
        else:
            with_body = sent or None
        answer = upstream.ask(method, target, with_body, headers)
        if answer.status == 404 and call.name and not self._lists(member, call):
            answer.read()
            # Who may not list is not told that an object is absent.
            self._refuse_absent(call, member)
        response = _rewritten(answer, request.base)
        if response.status == 200 and call.operation in ("delete", "update"):
            # fake-gcs-server answers with an object in a form of its own.
            changed = call.operation == "update" and upstream.metadata(call.bucket, call.name)
            return Response.json(200, changed) if changed else Response(204)
        if call.operation == "start-upload" and response.status == 200:
            self._uploads[_upload_id(response)] = _Upload(call, [])
        elif upload := self._uploads.get(call.upload):
            upload.received = [pair for pair in response.headers if pair[0] == "Range"]
            upload.result = response if response.status == 200 else None
        return response

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

    def _allows(self, member: str, permission: str, call: Call) -> bool:
        return self._policy.allows(member, permission, call.resource)

    def _lists(self, member: str, call: Call) -> bool:
        bucket = f"projects/_/buckets/{call.bucket}"
        return self._policy.allows(member, "storage.objects.list", bucket)

    def _require(self, member: str, permission: str, call: Call) -> None:
        try:
            self._policy.require(member, permission, call.resource)
        except Denied as denied:
            raise _forbidden(denied, member) from denied

    def _refuse_absent(self, call: Call, member: str) -> None:
        bucket = f"projects/_/buckets/{call.bucket}"
        try:
            self._policy.require(member, "storage.objects.list", bucket)
        except Denied as denied:
            message = f"{denied} (or {call.resource} does not exist)"
            raise _forbidden(message, member) from denied


def _forbidden(reason: object, member: str) -> Refused:
    if member == ALL_USERS:
        return Refused(401, "required", f"Anonymous caller: {reason}")
    return Refused(403, "forbidden", str(reason))


def _compare(call: Call, held: dict[str, Any], method: str) -> None:
    """Raise Refused (304, 404 or 412) unless what is held meets the call's conditions."""
    if call.query.get("generation", str(held["generation"])) != str(held["generation"]):
        raise Refused(404, "notFound", f"No such object: {call.resource} of that generation")
    for condition in ("Generation", "Metageneration"):
        now = str(held[condition.lower()])
        if call.query.get(f"if{condition}NotMatch") == now:
            unchanged = method in ("GET", "HEAD")
            raise Refused(304 if unchanged else 412, "conditionNotMet", f"{condition} is {now}.")
        if call.query.get(f"if{condition}Match", now) != now:
            raise Refused(412, "conditionNotMet", f"{condition} is {now}.")


def _asks_for_progress(request: Request) -> bool:
    # fake-gcs-server would take the question for data.
    return request.headers.get("Content-Range", "").startswith("bytes */")


def _upload_id(response: Response) -> str:
    location = dict(response.headers)["Location"]
    found = re.search(r"upload_id=([^&]+)", location)
    if found is None:
        raise ValueError(f"fake-gcs-server began an upload without an id: {location}")
    return found[1]


def _rewritten(answer: http.client.HTTPResponse, base: str) -> Response:
    """The server's answer with its addresses replaced; media as it comes, JSON whole."""
    alias = f"http://{ALIAS}"
    headers = [
        (key, value.replace(alias, base) if key == "Location" else value)
        for key, value in answer.getheaders()
        if key.lower() not in _HOP_BY_HOP
    ]
    if "json" in answer.getheader("Content-Type", ""):
        data = answer.read().replace(alias.encode(), base.encode())
        return Response(answer.status, data, _without_length(headers))
    if answer.status == 200 and (answer.length or 0) >= _LARGE:
        return Response(answer.status, _parts(answer), headers)
    return Response(answer.status, answer.read(), _without_length(headers))


def _without_length(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [pair for pair in headers if pair[0].lower() != "content-length"]


def _parts(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    with answer:
        while part := answer.read(BLOCK):
            yield part


def _whole(response: Response) -> bytes:
    return response.body if isinstance(response.body, bytes) else b"".join(response.body)
