"""Google's discovery documents: whether a call exists, and whether request and response fit it.

The documents ship in google-api-python-client. They say nothing about headers and errors, and mark
only some of the fields that a call needs.
Source: https://developers.google.com/discovery/v1/type-format
"""

import base64
import binascii
import functools
import importlib.util
import json
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from local.gateway import bodies

FILE = "DISCOVERY_MISFITS"
"""Environment variable that names a file to append misfits to; the tests fail for each line."""

Json = dict[str, Any]

# Names of documents by the prefix of their paths.
_DOCUMENTS = {
    "/storage/v1/": ("storage.v1",),
    "/upload/storage/v1/": ("storage.v1",),
    "/download/storage/v1/": ("storage.v1",),
    "/compute/v1/": ("compute.v1",),
    "/v1/": ("secretmanager.v1", "pubsub.v1", "artifactregistry.v1", "cloudscheduler.v1"),
    "/v2/": ("run.v2", "logging.v2"),
}
# Every API takes these. Source: https://cloud.google.com/apis/docs/system-parameters
_SYSTEM = frozenset({"$alt", "$callback", "$fields", "$key", "$prettyPrint", "$userProject"})
_RANGES = {"int32": (-(2**31), 2**31 - 1), "uint32": (0, 2**32 - 1),
           "int64": (-(2**63), 2**63 - 1), "uint64": (0, 2**64 - 1)}  # fmt: skip

_log = logging.getLogger(__name__)


def report(misfits: Iterable[str]) -> None:
    """Report misfits to the log and to the tests."""
    for misfit in misfits:
        _log.error("differs from Google's discovery documents: %s", misfit)
        if file := os.environ.get(FILE):
            with Path(file).open("a") as lines:
                lines.write(f"{' '.join(misfit.split())}\n")


def find(verb: str, path: str) -> "Method | None":
    """The method that a request calls; `path` is still encoded."""
    names = next((names for prefix, names in _DOCUMENTS.items() if path.startswith(prefix)), ())
    for name in names:
        for method in _methods(name):
            if method.verb == verb and method.matches(path):
                return method
    # A resumable upload continues by PUT. Source: cloud.google.com/storage/docs/resumable-uploads
    upload = verb == "PUT" and path.startswith("/upload/")
    return find("POST", path) if upload else None


@dataclass(frozen=True)
class Method:
    """One method of an API at one of its paths."""

    verb: str
    path: re.Pattern[str]
    document: Json
    schemas: Mapping[str, Json]
    parameters: Mapping[str, Json]
    kind: str = ""  # "upload" or "download", for the paths of media

    def matches(self, path: str) -> bool:
        """Whether a path is this method's."""
        return self.path.fullmatch(path) is not None

    def request(self, query: str, content_type: str, body: bytes) -> list[str]:
        """How a request does not fit; empty if it does."""
        pairs = parse_qsl(query, keep_blank_values=True)
        asked = dict(pairs)
        misfits = [*self._parameters(pairs), *self._sent_body(asked, content_type, body)]
        return [f"{self.document['id']}: {misfit}" for misfit in misfits]

    def response(self, query: str, content_type: str, body: bytes) -> list[str]:
        """How a response of success does not fit; empty if it does."""
        misfits = self._returned(dict(parse_qsl(query)), content_type, body)
        return [f"{self.document['id']} responds: {misfit}" for misfit in misfits]

    def _parameters(self, pairs: list[tuple[str, str]]) -> Iterator[str]:
        asked = dict(pairs)
        known = {k: v for k, v in self.parameters.items() if v["location"] == "query"}
        if self.kind == "upload":
            known["upload_id"] = {}
        for name in sorted(asked.keys() - known - _SYSTEM):
            yield f"there is no parameter {name!r}"
        for name, value in pairs:
            if value and (misfit := _word(value, known.get(name, {}))):
                yield f"parameter {name!r} {misfit}"
        names = [name for name, _ in pairs]
        for name, parameter in known.items():
            if parameter.get("required") and name not in asked:
                yield f"parameter {name!r} is missing"
            if names.count(name) > 1 and not parameter.get("repeated"):
                yield f"parameter {name!r} is given {names.count(name)} times"
        if asked.get("alt") == "media" and not self.document.get("supportsMediaDownload"):
            yield "it has no media to download"

    def _sent_body(self, asked: Mapping[str, str], content_type: str, body: bytes) -> Iterator[str]:
        how = asked.get("uploadType")
        if self.kind == "upload" and how not in ("media", "multipart", "resumable"):
            yield "an upload needs uploadType=media, multipart or resumable"
        elif self.kind == "upload" and (how == "media" or "upload_id" in asked):
            pass  # the object itself
        elif self.kind == "upload" and how == "multipart":
            try:
                metadata = bodies.related(content_type, body)[0]
            except ValueError as error:
                yield str(error)
            else:
                yield from self._body("request", metadata, asks=True)
        else:
            yield from self._body("request", body, asks=True)

    def _returned(self, asked: Mapping[str, str], content_type: str, body: bytes) -> Iterator[str]:
        begins = self.kind == "upload" and asked.get("uploadType") == "resumable"
        if asked.get("alt") == "media" or (begins and not body):
            return
        if body and "json" not in content_type:
            yield f"its media type is {content_type!r}"
        else:
            yield from self._body("response", body, asks=False)

    def _body(self, of: str, body: bytes, *, asks: bool) -> Iterator[str]:
        schema = self.document.get(of)
        if schema is None:
            if body not in (b"", b"{}"):
                yield f"it has no {of} body"
            return
        if not body and asks:
            body = b"{}"
        try:
            document = bodies.strict_json(body)
        except ValueError as error:
            yield f"the {of} body is no JSON: {error}"
            return
        yield from _SchemaCheck(self.document["id"], self.schemas, asks).misfits(
            schema, document, ""
        )


@dataclass(frozen=True)
class _SchemaCheck:
    """Whether JSON fits schemas; a request (`asks`) may hold nulls and numbers for strings."""

    method: str
    schemas: Mapping[str, Json]
    asks: bool

    def misfits(self, schema: Json, value: Any, at: str) -> Iterator[str]:
        """How a value at the path `at` does not fit."""
        if "$ref" in schema:
            schema = self.schemas[schema["$ref"]]
        if value is None and self.asks:
            return
        match schema.get("type"), value:
            case "object", dict():
                yield from self._object(schema, value, at)  # pyright: ignore[reportUnknownArgumentType]
            case "array", list():
                for number, item in enumerate(value):  # pyright: ignore[reportUnknownArgumentType,reportUnknownVariableType]
                    yield from self.misfits(schema["items"], item, f"{at}[{number}]")
            case (("any" | None), _):
                pass
            case _:
                if misfit := self._scalar(schema, value):
                    yield f"{at.removeprefix('.') or 'the body'} {misfit}"

    def _scalar(self, schema: Json, value: Any) -> str | None:
        kind = schema["type"]
        number = isinstance(value, int | float) and not isinstance(value, bool)
        fits = {
            "boolean": isinstance(value, bool),
            "integer": number and isinstance(value, int),
            "number": number,
            "string": isinstance(value, str)
            or (self.asks and number and "int" in schema.get("format", "")),
        }
        if not fits.get(kind):
            return f"is {value!r:.60}, not of type {kind}"
        return None if isinstance(value, bool) else _word(str(value), schema)

    def _object(self, schema: Json, value: Json, at: str) -> Iterator[str]:
        properties: Json = schema.get("properties", {})
        for key, item in value.items():
            inner = properties.get(key, schema.get("additionalProperties"))
            if inner is None:
                yield f"{schema.get('id', at or 'the body')} has no field {key!r}"
            else:
                yield from self.misfits(inner, item, f"{at}.{key}")
        if not self.asks:
            return
        for key, inner in properties.items():
            required = inner.get("annotations", {}).get("required", ())
            if self.method in required and value.get(key) is None:
                yield f"{at.removeprefix('.')}{'.' if at else ''}{key} is missing"


def _word(value: str, schema: Json) -> str | None:
    """How the text of a scalar does not fit its type, format, pattern or enum."""
    if "enum" in schema and value not in schema["enum"]:
        return f"is {value!r}, not one of {', '.join(schema['enum'])}"
    if "pattern" in schema and not re.search(schema["pattern"], value):
        return f"is {value!r}, which does not match {schema['pattern']}"
    # Google's own client for Python writes True.
    if schema.get("type") == "boolean" and value.lower() not in ("true", "false"):
        return f"is {value!r}, not true or false"
    form = schema.get("format", "")
    try:
        fits = _well_formed(value, form, schema)
    except (ValueError, binascii.Error):
        fits = False
    return None if fits else f"is {value!r:.60}, not of format {form}"


def _well_formed(value: str, form: str, schema: Json) -> bool:
    if form in _RANGES:
        low, high = _RANGES[form]
        low, high = int(schema.get("minimum", low)), int(schema.get("maximum", high))
        return low <= int(value) <= high
    if form == "byte":
        base64.b64decode(value.translate({ord("-"): "+", ord("_"): "/"}), validate=True)
    if form in ("date-time", "google-datetime"):
        return "T" in value and datetime.fromisoformat(value).tzinfo is not None
    if form == "google-duration":
        return re.fullmatch(r"-?\d+(\.\d{1,9})?s", value) is not None
    return True


@functools.cache
def _methods(name: str) -> list[Method]:
    """All methods of one document, at each of their paths."""
    spec = importlib.util.find_spec("googleapiclient")
    if spec is None or spec.origin is None:
        raise RuntimeError("google-api-python-client is missing: run `make setup`")
    folder = Path(spec.origin).parent / "discovery_cache/documents"
    document: Json = json.loads((folder / f"{name}.json").read_bytes())
    return list(_of(document, document))


def _of(resource: Json, document: Json) -> Iterator[Method]:
    for method in resource.get("methods", {}).values():
        flat = "flatPath" in method
        path = method["flatPath"] if flat else method["path"]
        below = [("", document["servicePath"] + path)]
        if method.get("supportsMediaUpload"):
            below.append(
                ("upload", method["mediaUpload"]["protocols"]["simple"]["path"].lstrip("/"))
            )
        if method.get("useMediaDownloadService"):
            below.append(("download", f"download/{document['servicePath']}{path}"))
        # A verb follows a colon, except in Cloud Storage, whose names may hold colons.
        name = "[^/:]+" if flat else "[^/]+"
        for kind, place in below:
            yield Method(
                method["httpMethod"],
                re.compile("/" + re.sub(r"\\{\w+\\}", name, re.escape(place))),
                method,
                document["schemas"],
                {**document["parameters"], **method.get("parameters", {})},
                kind,
            )
    for inner in resource.get("resources", {}).values():
        yield from _of(inner, document)
