"""Which call a request to Cloud Storage's JSON API makes, and the request that is passed on.

Only the calls that the programs make are known; all others are errors. The request to
fake-gcs-server is built from the call alone, so nothing reaches it that the grants did not check.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qsl, quote, unquote, urlencode

from local.gateway import bodies
from local.gateway.errors import HttpError
from local.gateway.gateway import not_implemented
from local.gateway.server import Request

Operation = Literal[
    "get-bucket", "list", "get", "insert", "start-upload", "continue-upload", "update", "delete"
]
Json = dict[str, Any]

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
    "PATCH": "update",
    "PUT": "update",
    "DELETE": "delete",
}

_BUCKET = re.compile(r"/storage/v1/b/([^/]+)")
_OBJECTS = re.compile(r"(/upload)?/storage/v1/b/([^/]+)/o")
_OBJECT = re.compile(r"(?:/download)?/storage/v1/b/([^/]+)/o/([^/]+)")

# The parameters that have an effect, here or in fake-gcs-server; one to be ignored is an error.
_ALWAYS = {"alt", "fields", "prettyPrint", "projection"}
_CONDITIONS = {f"if{of}{match}" for of in ("Generation", "Metageneration")
               for match in ("Match", "NotMatch")}  # fmt: skip
_UPLOAD = {"name", "uploadType", *_CONDITIONS}
_QUERY: dict[Operation, set[str]] = {
    "get-bucket": set(),
    "list": {"delimiter", "includeFoldersAsPrefixes", "includeTrailingDelimiter", "maxResults",
             "pageToken", "prefix", "softDeleted", "startOffset", "endOffset", "versions"},
    "get": {"generation", *_CONDITIONS},
    "insert": _UPLOAD,
    "start-upload": _UPLOAD,
    "continue-upload": {"upload_id", *_UPLOAD},
    "update": {"generation", *_CONDITIONS},
    "delete": {"generation", *_CONDITIONS},
}  # fmt: skip
# Headers that may change what a call does, and those among them that are known.
_MEANING = re.compile(r"if-|x-goog-|x-http-method|content-encoding$", re.IGNORECASE)
_KNOWN = {"x-goog-api-client", "x-goog-gcs-idempotency-token", "x-goog-hash",
          "x-goog-request-params", "x-goog-user-project"}  # fmt: skip
_SENT_ON = {
    "get": ("Accept-Encoding", "Range"),
    "continue-upload": ("Content-Range", "Content-Type", "X-Goog-Hash"),
}
_BOUNDARY = "b8f0e6a1c3d94c5e"
# Names of one bucket are one space for all. Source: cloud.google.com/storage/docs/buckets#naming
_BUCKET_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]|\.(?!\.)){1,220}[a-z0-9]")


@dataclass(frozen=True)
class Call:
    """One call on a bucket (`name` empty) or on an object of it."""

    operation: Operation
    bucket: str
    name: str
    query: Mapping[str, str]
    metadata: Json = field(default_factory=dict[str, Any])  # of the new object, without its name
    media: bytes = b""
    upload: str = ""  # id of the resumable upload that the call continues

    @property
    def permission(self) -> str:
        """The permission that the caller needs on `resource`."""
        return _PERMISSIONS[self.operation]

    @property
    def resource(self) -> str:
        """The full name that grants and their conditions use."""
        bucket = f"projects/_/buckets/{self.bucket}"
        return f"{bucket}/objects/{self.name}" if self.name else bucket

    @property
    def writes(self) -> bool:
        """Whether the call makes a new generation; to overwrite also needs permission to delete."""
        return self.operation in ("insert", "start-upload", "continue-upload")

    @property
    def changes(self) -> bool:
        """Whether the call may change the object, so no other change may run beside it."""
        return self.writes or self.operation in ("update", "delete")

    def forwarded(self, request: Request) -> tuple[str, str, bytes, dict[str, str]]:
        """Method, target, body and headers for fake-gcs-server, with the ranges of `request`."""
        names = _SENT_ON.get(self.operation, ())
        headers = {name: request.headers[name] for name in names if name in request.headers}
        bucket = f"/storage/v1/b/{quote(self.bucket, safe='')}"
        named = {"name": self.name, **self.metadata}
        match self.operation:
            case "get-bucket":
                return "GET", bucket, b"", {}
            case "list":
                passed = _QUERY["list"] - {"softDeleted", "versions"}
                given = {name: self.query[name] for name in passed & self.query.keys()}
                query = {"maxResults": "1000", **given}
                return "GET", f"{bucket}/o?{urlencode(query)}", b"", {}
            case "insert":
                kind = named.get("contentType") or "application/octet-stream"
                headers = {"Content-Type": f"multipart/related; boundary={_BOUNDARY}"}
                parts = (("application/json", json.dumps(named).encode()), (kind, self.media))
                body = b"".join(
                    f"--{_BOUNDARY}\r\nContent-Type: {kind}\r\n\r\n".encode() + part + b"\r\n"
                    for kind, part in parts
                )
                target = f"/upload{bucket}/o?uploadType=multipart"
                return "POST", target, body + f"--{_BOUNDARY}--\r\n".encode(), headers
            case "start-upload":
                headers = {"Content-Type": "application/json"}
                target = f"/upload{bucket}/o?uploadType=resumable"
                return "POST", target, json.dumps(named).encode(), headers
            case "continue-upload":
                query = urlencode({"uploadType": "resumable", "upload_id": self.upload})
                return "PUT", f"/upload{bucket}/o?{query}", b"", headers
            case "get" | "update" | "delete":
                query = urlencode(
                    {k: v for k, v in self.query.items() if k in ("alt", "generation")}
                )
                target = f"{bucket}/o/{quote(self.name, safe='')}?{query}"
                body = b""
                if self.operation == "update":
                    headers = {"Content-Type": "application/json"}
                    body = json.dumps(self.metadata).encode()
                return request.method, target, body, headers


def classify(request: Request, begun: Callable[[str], Call | None]) -> Call:
    """The call that a request makes; `begun` finds the call that began a resumable upload, by id.

    The body of a call that continues an upload is not read. Raises HttpError: 404 for an unknown
    upload, 400 for an impossible name or one given twice, 501 for what is not played here.
    """
    call = _classified(request, begun)
    for name, value in call.query.items():
        # gcsfuse sends parameters that ask for nothing: empty ones and false.
        if value not in ("", "false") and name not in _QUERY[call.operation] | _ALWAYS:
            raise HttpError(501, "notImplemented", f"the local cloud does not know the {name} of"
                          f" {call.operation}")  # fmt: skip
    for header in request.headers:
        if _MEANING.match(header) and header.lower() not in _KNOWN:
            raise HttpError(501, "notImplemented", f"the local cloud does not know header {header}")
    if not _BUCKET_NAME.fullmatch(call.bucket):
        raise HttpError(400, "invalid", f"Invalid bucket name: {call.bucket!r}")
    _must_be_a_name(call.name, call.operation)
    _must_be_a_name(call.query.get("prefix", ""), "list")
    return call


def _classified(request: Request, begun: Callable[[str], Call | None]) -> Call:
    method, path = request.method, request.path
    pairs = parse_qsl(request.query, keep_blank_values=True)
    query = dict(pairs)
    if len(query) < len(pairs):
        raise HttpError(400, "invalid", "a parameter is given twice")
    if match := _OBJECTS.fullmatch(path):
        uploads, bucket = match[1], _decoded(match[2])
        if uploads and "upload_id" in query:
            return _continued(method, bucket, query, begun(query["upload_id"]))
        if uploads and method == "POST":
            return _upload(bucket, query, request)
        if not uploads and method == "GET":
            return Call("list", bucket, "", query)
    if (match := _OBJECT.fullmatch(path)) and method in _BY_METHOD:
        bucket, name = _decoded(match[1]), _decoded(match[2])
        operation = _BY_METHOD[method]
        updates = operation == "update"
        metadata = _metadata(request.body.read(), bucket, name) if updates else {}
        return Call(operation, bucket, name, query, metadata)
    if (match := _BUCKET.fullmatch(path)) and method == "GET":
        return Call("get-bucket", _decoded(match[1]), "", query)
    raise not_implemented(request)


def _continued(method: str, bucket: str, query: Mapping[str, str], begun: Call | None) -> Call:
    upload = query["upload_id"]
    if begun is None or method != "PUT":
        raise HttpError(404, "notFound", f"there is no upload {upload}")
    if (bucket, query.get("name", begun.name)) != (begun.bucket, begun.name):
        raise HttpError(400, "invalid", f"upload {upload} is of {begun.resource}, and of no other")
    conditions = {key: value for key, value in begun.query.items() if key in _CONDITIONS}
    return Call("continue-upload", begun.bucket, begun.name, conditions, upload=upload)


def _upload(bucket: str, query: Mapping[str, str], request: Request) -> Call:
    kind, content_type = query.get("uploadType"), request.headers.get("Content-Type", "")
    media = body = request.body.read()
    if kind == "multipart":
        try:
            body, media_type, media = bodies.related(content_type, body)
        except ValueError as error:
            raise HttpError(400, "invalid", str(error)) from error
    elif kind == "resumable":
        media_type, media = request.headers.get("X-Upload-Content-Type", ""), b""
    else:
        media_type, body = content_type, b""
    metadata = _metadata(body, bucket, query.get("name", ""))
    name = query.get("name") or metadata.pop("name", "")
    if not name:
        raise HttpError(400, "required", "an upload without a name")
    if media_type:
        metadata.setdefault("contentType", media_type)
    operation = "start-upload" if kind == "resumable" else "insert"
    return Call(operation, bucket, name, query, metadata, media)


def _metadata(body: bytes, bucket: str, name: str) -> Json:
    """The metadata of an object, without the bucket and name that the URL already gives."""
    try:
        found: Json = bodies.strict_json(body or b"{}")
        if not isinstance(found, dict):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError("no object")
    except ValueError as error:
        raise HttpError(400, "parseError", f"the metadata is no JSON object: {error}") from error
    for key, addressed in (("bucket", bucket), ("name", name)):
        if key in found and not (isinstance(found[key], str) and found[key]):
            raise HttpError(400, "invalid", f"the metadata's {key} is no text")
        if addressed and found.pop(key, addressed) != addressed:
            raise HttpError(400, "invalid", f"the metadata's {key} is not {addressed!r}")
    # fake-gcs-server reads keys whatever their case.
    if any(key.casefold() in ("bucket", "name") for key in found.keys() - {"bucket", "name"}):
        raise HttpError(400, "invalid", "the metadata spells bucket or name in another case")
    return found


def _decoded(part: str) -> str:
    try:
        return unquote(part, errors="strict")
    except UnicodeDecodeError as error:
        raise HttpError(400, "invalid", f"{part!r} is not UTF-8") from error


def _must_be_a_name(name: str, operation: str) -> None:
    """Raise HttpError for names that Cloud Storage rejects or that are paths of fake-gcs-server.

    To Cloud Storage `a//b` and `a/../b` are names like any other. Here an object is a file.
    Source: https://cloud.google.com/storage/docs/objects#naming
    """
    if len(name.encode()) > 1024 or re.search(r"[\r\n\0]", name):
        raise HttpError(400, "invalid", f"{name[:80]!r}… is no name of an object")
    segments = name.split("/")
    if operation in ("get", "list") and segments[-1] == "":
        segments.pop()  # clients ask for folders, which never exist
    if name and any(segment in ("", ".", "..") for segment in segments):
        message = f"{name!r}: objects are files here, so no part of a name is empty, '.' or '..'"
        raise HttpError(400, "invalid", message)
