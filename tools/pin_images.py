"""Raises the base images of all Dockerfiles to their newest patch release, and pins their digests.

`make pin-images` needs to reach Docker Hub. It raises only the last number of a version:
`python:3.11.15-slim-bookworm` stays Python 3.11 on Debian bookworm. The digest is that of the index
of all platforms. `docker build` compares the image that it pulls with the digest.
"""

import json
import re
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

_HUB = "https://registry-1.docker.io"
_FROM = re.compile(r"^(FROM )(\w+):([\d.]+)\.(\d+)(-[\w-]+)?(?:@sha256:\w+)?", re.MULTILINE)
_KINDS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)


def main() -> None:
    """Rewrite all Dockerfiles. The argument is the address of a registry other than Docker Hub."""
    registry = Registry(sys.argv[1] if len(sys.argv) > 1 else _HUB)
    for dockerfile in sorted(Path().glob("*/Dockerfile")):
        text = dockerfile.read_text()
        try:
            raised = _FROM.sub(lambda match: match[1] + registry.newest(match), text)
        except OSError as error:
            sys.exit(f"{dockerfile}: cannot read the newest base from {registry.address}: {error}")
        dockerfile.write_text(raised)
        print(f"{dockerfile}: {'unchanged' if raised == text else 'raised'}")


class Registry:
    """A registry of public images. It may require a token, which it gives to anybody."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        self._known: dict[str, str] = {}

    def newest(self, match: re.Match[str]) -> str:
        """The newest patch release of a base, with its digest: `name:tag@sha256:…`."""
        name, series, current, suffix = match[2], match[3], int(match[4]), match[5] or ""
        key = f"{name}:{series}{suffix}"
        if key not in self._known:
            pattern = re.compile(rf"{re.escape(series)}\.(\d+){re.escape(suffix)}")
            tags = self._tags(name)
            patches = [int(found[1]) for tag in tags if (found := pattern.fullmatch(tag))]
            tag = f"{series}.{max([*patches, current])}{suffix}"
            digest = self._ask("HEAD", f"library/{name}/manifests/{tag}").headers
            self._known[key] = f"{name}:{tag}@{digest['Docker-Content-Digest']}"
        return self._known[key]

    def _tags(self, name: str) -> list[str]:
        """All tags. The registry returns them page by page."""
        path, tags = f"library/{name}/tags/list?n=1000", list[str]()
        while path:
            with self._ask("GET", path) as response:
                tags += json.load(response)["tags"]
                link = response.headers["Link"] or ""
            following = re.match(r"<(?:https?://[^/]+)?/v2/([^>]+)>", link)
            path = following[1] if following else ""
        return tags

    def _ask(self, method: str, path: str) -> Any:
        headers = {"Accept": ", ".join(_KINDS), **self._authorization(path)}
        url = f"{self.address}/v2/{path}"
        request = urllib.request.Request(url, method=method, headers=headers)  # noqa: S310
        return urllib.request.urlopen(request, timeout=60)  # noqa: S310

    def _authorization(self, path: str) -> dict[str, str]:
        """The header that the registry requires, if it responds with 401 to an anonymous caller."""
        try:
            urllib.request.urlopen(f"{self.address}/v2/{path}", timeout=60).close()  # noqa: S310
        except urllib.error.HTTPError as error:
            with error:
                challenge = dict(
                    re.findall(r'(\w+)="([^"]*)"', error.headers["WWW-Authenticate"] or "")
                )
            if error.code != 401:
                raise
            query = f"service={challenge['service']}&scope={challenge['scope']}"
            with urllib.request.urlopen(f"{challenge['realm']}?{query}", timeout=60) as response:  # noqa: S310
                return {"Authorization": f"Bearer {json.load(response)['token']}"}
        return {}


if __name__ == "__main__":
    main()
