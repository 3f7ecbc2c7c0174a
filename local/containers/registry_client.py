"""The calls that `docker pull` and `docker push` make to a registry, without the content of images.

The content lies in a folder that all machines share (`image_store`).
"""

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping

from local.containers.references import Reference
from pipeline.errors import UserError

ADDRESS = "REGISTRY_ENDPOINT_OVERRIDE"
"""The variable of the network that holds the address at which the registry answers."""

_ACCESS = "/computeMetadata/v1/instance/service-accounts/default/token"


class RegistryClient:
    """Calls Artifact Registry as the service account that the metadata server names.

    It calls no other registry, and none at all where `network` has no address of the registry.
    `require_credential` raises UserError where the machine has no credential for a host.
    """

    def __init__(
        self, network: Mapping[str, str], require_credential: Callable[[str], None] | None = None
    ) -> None:
        self._network = network
        self._require_credential = require_credential

    def may_pull(self, image: Reference) -> None:
        """Raises UserError where the account may not read the image."""
        self._ask("GET", image, f"manifests/{image.version}", b"", "*/*")

    def push(self, image: Reference, manifest: bytes, media_type: str) -> bool:
        """Puts an image's manifest; False where this registry is not called.

        Raises:
            UserError: The account may not write to the repository.
        """
        if not self._ask("POST", image, "blobs/uploads/", b"", "*/*"):
            return False
        return self._ask("PUT", image, f"manifests/{image.version}", manifest, media_type)

    def _ask(self, method: str, image: Reference, call: str, body: bytes, media_type: str) -> bool:
        """Makes a call; False where this registry is not called."""
        if not image.host.endswith("-docker.pkg.dev"):
            return False
        if self._require_credential is not None:
            self._require_credential(image.host)
        address, metadata = self._network.get(ADDRESS), self._network.get("GCE_METADATA_HOST")
        if not address or not metadata:
            return False
        flavor = {"Metadata-Flavor": "Google"}
        token = json.loads(_fetch("GET", f"http://{metadata}{_ACCESS}", flavor))
        headers = {
            "Authorization": f"Bearer {token['access_token']}",
            "Accept": media_type,
            "Content-Type": media_type,
        }
        path = image.repository.partition("/")[2]
        _fetch(method, f"{address.rstrip('/')}/v2/{path}/{call}", headers, body)
        return True


def _fetch(method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    request = urllib.request.Request(url, body or None, dict(headers), method=method)  # noqa: S310 - the local cloud's
    try:
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            return response.read()
    except urllib.error.HTTPError as error:
        with error:
            said = error.read()
        if (method, error.code) == ("GET", 404):
            return b""  # the image store itself reports what is absent
        denied = "denied: " if error.code in (401, 403) else ""
        raise UserError(f"{denied}{json.loads(said)['errors'][0]['message']}") from None
    except OSError as error:
        raise UserError(f"the registry does not answer: {error}") from None
