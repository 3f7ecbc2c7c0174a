"""The way to fake-gcs-server: one connection, kept for as long as the caller keeps its own."""

import http.client
import json
import select
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from local.front.refusal import Refused
from local.storage import ALIAS
from local.web import Body

BLOCK = 1 << 18
"""Bytes passed on at a time."""


class Upstream:
    """A connection to the storage server; what it cannot do is Refused with 503."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url).netloc
        self._connection = http.client.HTTPConnection(address, timeout=300, blocksize=BLOCK)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def ask(
        self, method: str, target: str, body: bytes | Body | None, headers: Mapping[str, str]
    ) -> http.client.HTTPResponse:
        """The answer to one request; it must be read to its end before the next is asked."""
        self._drop_if_stale()
        try:
            self._connection.request(method, target, body, {**headers, "Host": ALIAS})  # pyright: ignore[reportArgumentType] - a Body reads as a file does
            return self._connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Refused(503, "backendError", "the storage server does not answer") from error

    def metadata(self, bucket: str, name: str) -> dict[str, Any] | None:
        """What is known of an object; None where there is none."""
        target = f"/storage/v1/b/{quote(bucket)}/o/{quote(name, safe='')}"
        with self.ask("GET", target, None, {}) as response:
            data = response.read()
            return json.loads(data) if response.status == 200 else None

    def has_bucket(self, bucket: str) -> bool:
        """Whether there is such a bucket."""
        with self.ask("GET", f"/storage/v1/b/{quote(bucket, safe='')}", None, {}) as response:
            response.read()
            return response.status == 200

    def _drop_if_stale(self) -> None:
        # A connection between two requests is readable only when the other side has ended it, as
        # it does when the server is killed and started again.
        sock = self._connection.sock
        if sock is not None and select.select([sock], [], [], 0)[0]:
            self.close()
