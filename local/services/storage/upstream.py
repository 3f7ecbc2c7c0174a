"""fake-gcs-server, which keeps the objects behind Cloud Storage's API."""

import json
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import quote

import urllib3

from local.gateway.errors import HttpError
from local.gateway.server import Body
from local.services.storage.server import ALIAS

BLOCK = 1 << 18
"""Bytes passed on at a time."""


class Upstream:
    """Calls the storage server; raises HttpError (503) while that does not respond."""

    def __init__(self, url: str) -> None:
        self._pool = urllib3.connection_from_url(url, maxsize=64, timeout=300, blocksize=BLOCK)

    def call(
        self, method: str, target: str, body: bytes | Body | None, headers: Mapping[str, str]
    ) -> urllib3.BaseHTTPResponse:
        """Make one call; read the response to its end, or its connection is not used again."""
        try:
            return self._pool.urlopen(
                method,
                target,
                body=iter(partial(body.read, BLOCK), b"") if isinstance(body, Body) else body,
                headers={**headers, "Host": ALIAS},
                retries=False,
                preload_content=False,
                decode_content=False,
            )
        except urllib3.exceptions.HTTPError as error:
            message = "the storage server does not respond"
            raise HttpError(503, "backendError", message) from error

    def metadata(self, bucket: str, name: str) -> dict[str, Any] | None:
        """The metadata of an object; None if there is none."""
        target = f"/storage/v1/b/{quote(bucket)}/o/{quote(name, safe='')}"
        response = self.call("GET", target, None, {})
        data = response.read()
        return json.loads(data) if response.status == 200 else None

    def has_bucket(self, bucket: str) -> bool:
        """Whether there is such a bucket."""
        response = self.call("GET", f"/storage/v1/b/{quote(bucket, safe='')}", None, {})
        response.read()
        return response.status == 200
