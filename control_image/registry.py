"""The registry of a stack's images, by the HTTP API that `docker push` and `docker pull` speak.

A tag moves in one call: the manifest that one tag means is put under another. The writer's role
allows it, and at no moment is there no such tag. Sources: manifests are read and put as in
https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md; Artifact Registry takes an
access token as a bearer token, without Docker's exchange of tokens before it
(https://cloud.google.com/artifact-registry/docs/reference/docker-api#auth).
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import requests

from pipeline import google
from pipeline.environment import variable
from pipeline.google import GoogleError

_ADDRESS = "REGISTRY_ENDPOINT_OVERRIDE"
"""The variable with another address of the registry than its name."""

# All that a tag can mean: without its type here, a registry hides a manifest or converts it.
_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)


@dataclass(frozen=True)
class Manifest:
    """What a tag means: the bytes of a document, and its media type."""

    data: bytes
    media_type: str

    @property
    def digest(self) -> str:
        """The name by which the image can be pulled for ever."""
        return f"sha256:{hashlib.sha256(self.data).hexdigest()}"


class Registry:
    """The images whose names begin with `url`, such as `HOST/PROJECT/REPOSITORY`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = google.session()

    def read(self, image: str, tag: str) -> Manifest | None:
        """What a tag of an image means; None where there is no such tag.

        Raises:
            GoogleError: It cannot be read.
        """
        answer = self._ask("GET", image, tag, headers={"Accept": ", ".join(_TYPES)})
        if answer.status_code == 404:
            return None
        if not answer.ok:
            raise GoogleError(f"{self._url}/{image}:{tag} cannot be read: {_refusal(answer)}")
        return Manifest(answer.content, answer.headers.get("Content-Type", ""))

    def digest(self, image: str, tag: str) -> str | None:
        """The digest of what a tag of an image means; see `read`."""
        found = self.read(image, tag)
        return found and found.digest

    def put(self, image: str, tag: str, manifest: Manifest) -> None:
        """Make a tag of an image mean a manifest that the registry holds of the same image.

        Raises:
            GoogleError: The tag is not moved.
        """
        headers = {"Content-Type": manifest.media_type}
        answer = self._ask("PUT", image, tag, headers=headers, data=manifest.data)
        if not answer.ok:
            raise GoogleError(f"{self._url}/{image}:{tag} cannot be moved: {_refusal(answer)}")

    def _ask(self, method: str, image: str, tag: str, **request: Any) -> requests.Response:
        host, _, path = self._url.partition("/")
        base = variable(_ADDRESS, f"https://{host}").rstrip("/")
        url = f"{base}/v2/{path}/{image}/manifests/{tag}"
        return google.send(self._session, method, url, f"{method} {image}:{tag}", host, **request)


def _refusal(answer: requests.Response) -> str:
    """Status and reason on one line, from the list of errors that a registry answers with."""
    try:
        reason = str(answer.json()["errors"][0]["message"])
    except (ValueError, KeyError, IndexError, TypeError):
        reason = answer.reason
    return f"{answer.status_code} {' '.join(reason.split())[:300]}"
