"""The registry of a stack's images, through the HTTP API that `docker push` and `docker pull` use.

One call moves a tag: it puts the manifest of one tag under another. The writer role allows that
call, and the tag exists all the time.

Sources: https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md says how manifests
are read and put. Artifact Registry accepts an access token as a bearer token, without the token
exchange that Docker does first
(https://cloud.google.com/artifact-registry/docs/reference/docker-api#auth).
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import requests

from pipeline import google
from pipeline.environment import variable

_ADDRESS = "REGISTRY_ENDPOINT_OVERRIDE"
"""The variable that replaces the registry's address."""

# All types of manifests. A registry hides or converts a manifest whose type is not accepted.
_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)


@dataclass(frozen=True)
class Manifest:
    """The manifest of an image: its bytes, and its media type."""

    data: bytes
    media_type: str

    @property
    def digest(self) -> str:
        """The digest by which the image can be pulled, whatever its tags."""
        return f"sha256:{hashlib.sha256(self.data).hexdigest()}"


class Registry:
    """The images whose names begin with `url`, such as `HOST/PROJECT/REPOSITORY`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = google.session()

    def read(self, image: str, tag: str) -> Manifest | None:
        """Read the manifest of an image's tag; None if there is no such tag.

        Raises:
            PipelineError: It cannot be read.
        """
        response = self._ask("GET", image, tag, headers={"Accept": ", ".join(_TYPES)})
        if response.status_code == 404:
            return None
        if not response.ok:
            problem = f"{self._url}/{image}:{tag} cannot be read"
            raise google.refused(response, problem, _reason(response))
        return Manifest(response.content, response.headers.get("Content-Type", ""))

    def digest(self, image: str, tag: str) -> str | None:
        """The digest of the manifest of an image's tag; see `read`."""
        manifest = self.read(image, tag)
        return manifest and manifest.digest

    def put(self, image: str, tag: str, manifest: Manifest) -> None:
        """Point a tag of an image at a manifest of the same image.

        Raises:
            PipelineError: The tag is not moved.
        """
        headers = {"Content-Type": manifest.media_type}
        response = self._ask("PUT", image, tag, headers=headers, data=manifest.data)
        if not response.ok:
            problem = f"{self._url}/{image}:{tag} cannot be moved"
            raise google.refused(response, problem, _reason(response))

    def _ask(self, method: str, image: str, tag: str, **request: Any) -> requests.Response:
        host, _, path = self._url.partition("/")
        base = variable(_ADDRESS, f"https://{host}").rstrip("/")
        url = f"{base}/v2/{path}/{image}/manifests/{tag}"
        return google.send(self._session, method, url, f"{method} {image}:{tag}", host, **request)


def _reason(response: requests.Response) -> str:
    """The reason of a refusal, from the list of errors in a registry's response."""
    try:
        return str(response.json()["errors"][0]["message"])
    except (ValueError, KeyError, IndexError, TypeError):
        return response.reason
