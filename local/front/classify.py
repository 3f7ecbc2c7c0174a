"""From an HTTP request of Cloud Storage's JSON API to the call that it makes.

Only what the programs use is known; all else is refused here, so that nothing reaches the server
behind by a way that the grants do not watch.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote

from local.front.refusal import Refused

Operation = Literal[
    "get-bucket", "list", "get", "insert", "start-upload", "continue-upload", "update", "delete"
]

_PERMISSIONS: dict[Operation, str] = {
    "get-bucket": "storage.buckets.get",
    "list": "storage.objects.list",
    "get": "storage.objects.get",
    "insert": "storage.objects.create",
    "start-upload": "storage.objects.create",
    "continue-upload": "storage.objects.create",
    "update": "storage.objects.update",
    "delete": "storage.objects.delete",
}

_BY_METHOD: dict[str, Operation] = {
    "GET": "get",
    "HEAD": "get",
    "PATCH": "update",
    "PUT": "update",
    "DELETE": "delete",
}

_BUCKET = re.compile(r"/storage/v1/b/([^/]+)/?")
_OBJECTS = re.compile(r"(/upload)?/storage/v1/b/([^/]+)/o/?")
_OBJECT = re.compile(r"(?:/download)?/storage/v1/b/([^/]+)/o/([^/]+)")


@dataclass(frozen=True)
class Call:
    """One call on a bucket (`name` empty) or on an object of it."""

    operation: Operation
    bucket: str
    name: str
    query: Mapping[str, str]
    upload: str = ""  # the id of the resumable upload that is continued

    @property
    def permission(self) -> str:
        """What the caller needs on `resource`."""
        return _PERMISSIONS[self.operation]

    @property
    def resource(self) -> str:
        """The full name, as grants and their conditions write it."""
        bucket = f"projects/_/buckets/{self.bucket}"
        return f"{bucket}/objects/{self.name}" if self.name else bucket

    @property
    def writes(self) -> bool:
        """Whether the call makes a new generation, so that overwriting needs deleting as well."""
        return self.operation in ("insert", "start-upload", "continue-upload")

    @property
    def changes(self) -> bool:
        """Whether the call may change the object, so that it is made alone."""
        return self.writes or self.operation in ("update", "delete")


def classify(method: str, path: str, query: str, body: bytes, sessions: Mapping[str, Call]) -> Call:
    """The call that a request makes; `sessions` holds the calls that began resumable uploads.

    `body` may be empty where it is large: no name stands in the body of such a request. Raises
    Refused: 404 for an unknown session, 400 for an upload with no name, 501 for all that is
    not known here.
    """
    parameters = dict(parse_qsl(query, keep_blank_values=True))
    if match := _OBJECTS.fullmatch(path):
        uploads, bucket = match[1], unquote(match[2])
        if uploads and "upload_id" in parameters:
            return _continued(method, parameters["upload_id"], sessions)
        if uploads and method == "POST":
            return _upload(bucket, parameters, body)
        if not uploads and method == "GET":
            return Call("list", bucket, "", parameters)
    if (match := _OBJECT.fullmatch(path)) and method in _BY_METHOD:
        return Call(_BY_METHOD[method], unquote(match[1]), unquote(match[2]), parameters)
    if (match := _BUCKET.fullmatch(path)) and method == "GET":
        return Call("get-bucket", unquote(match[1]), "", parameters)
    raise Refused(501, "notImplemented", f"the local cloud does not know {method} {path}")


def _continued(method: str, upload: str, sessions: Mapping[str, Call]) -> Call:
    begun = sessions.get(upload)
    if begun is None or method != "PUT":
        raise Refused(404, "notFound", f"there is no upload {upload}")
    return Call("continue-upload", begun.bucket, begun.name, begun.query, upload)


def _upload(bucket: str, parameters: Mapping[str, str], body: bytes) -> Call:
    kind = parameters.get("uploadType")
    name = parameters.get("name") or _name_in_body(kind, body)
    if not name:
        raise Refused(400, "required", "an upload without a name")
    return Call("start-upload" if kind == "resumable" else "insert", bucket, name, parameters)


def _name_in_body(kind: str | None, body: bytes) -> str | None:
    # The first part of a multipart upload, and the whole of what begins a resumable one, is the
    # object's metadata in JSON.
    if kind == "multipart":
        part = re.search(rb"\r?\n\r?\n(.*?)\r?\n--", body, re.DOTALL)
        body = part[1] if part else b""
    try:
        metadata: Any = json.loads(body)
        return metadata["name"]
    except (ValueError, KeyError, TypeError):
        return None
