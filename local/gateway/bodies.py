"""Bodies of requests that must mean one thing only: strict JSON, and multipart uploads."""

import email
import json
from email.message import Message
from typing import Any


def strict_json(data: bytes) -> Any:
    """Parses JSON; ValueError also for a repeated key, of which parsers take either value."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            raise ValueError(f"a key is given twice: {', '.join(key for key, _ in pairs)}")
        return made

    return json.loads(data, object_pairs_hook=once)


def related(content_type: str, body: bytes) -> tuple[bytes, str, bytes]:
    """Metadata, media type and media of a multipart/related upload; ValueError if malformed.

    Source: https://cloud.google.com/storage/docs/uploading-objects#rest-upload-objects
    """
    header = Message()
    header["Content-Type"] = content_type
    boundary = header.get_boundary()
    if header.get_content_type() != "multipart/related" or not boundary:
        raise ValueError(f"{content_type!r} is not multipart/related with a boundary")
    before, *parts = (b"\r\n" + body).split(b"\r\n--" + boundary.encode())
    if before or len(parts) != 3 or not parts[2].startswith(b"--"):
        raise ValueError("a multipart upload has two parts: the metadata, and the media")
    (_, metadata), (head, media) = (_part(part) for part in parts[:2])
    return metadata, email.message_from_bytes(head).get_content_type(), media


def _part(part: bytes) -> tuple[bytes, bytes]:
    head, separator, content = part.partition(b"\r\n\r\n")
    if not separator:
        raise ValueError("a part of a multipart upload has no empty line after its headers")
    return head.lstrip(), content
