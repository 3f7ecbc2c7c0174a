"""Whether the account of a build's step or a VM may do what it is about to do to the registry."""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from local.machine.images import Reference
from pipeline.errors import UserError

_IMAGE = re.compile(r"([a-z0-9-]+)-docker\.pkg\.dev/([^/]+)/([^/]+)/.+")
_ACCESS = "/computeMetadata/v1/instance/service-accounts/default/token"


def permit(reference: Reference, permission: str, network: Mapping[str, str]) -> None:
    """Ask the cloud that the `network` leads to; on none, and of other registries, all may.

    Raises:
        UserError: No grant permits it; the text names who lacks what.
    """
    cloud, metadata = network.get("API_ENDPOINT_OVERRIDE"), network.get("GCE_METADATA_HOST")
    match = _IMAGE.fullmatch(reference.repository)
    if match is None or not cloud or not metadata:
        return
    location, project, repository = match.groups()
    name = f"projects/{project}/locations/{location}/repositories/{repository}"
    token = _ask(f"http://{metadata}{_ACCESS}", {"Metadata-Flavor": "Google"})["access_token"]
    _ask(f"{cloud}/registry/{name}?permission={permission}", {"Authorization": f"Bearer {token}"})


def _ask(url: str, headers: dict[str, str]) -> dict[str, Any]:
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the local cloud's
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            said = json.load(error)["error"]["message"]
        raise UserError(f"denied: {said}") from None
    except OSError as error:
        raise UserError(f"the registry does not answer: {error}") from None
