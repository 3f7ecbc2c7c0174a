"""Secret Manager's HTTP API, as far as programs use it: add a version, access one.

Stands in for secretmanager.googleapis.com. It cannot show replication, rotation, or audit logs.
"""

import base64
import binascii
import json
import re
from typing import Any

from local.gateway.gateway import not_implemented
from local.gateway.iam import Policy
from local.gateway.server import Request, Response
from local.services.secretmanager.secrets import SecretError, Secrets

METHODS = (
    "secretmanager.projects.secrets.addVersion",
    "secretmanager.projects.secrets.versions.access",
)
PATH = r"/v1/projects/[^/]+/secrets/.*"

_ADD = re.compile(r"/v1/(projects/[^/]+/secrets/([^/:]+)):addVersion")
_ACCESS = re.compile(r"/v1/(projects/[^/]+/secrets/([^/:]+))/versions/([^/:]+):access")


class SecretManager:
    """Answers the calls of Secret Manager for one member at a time."""

    def __init__(self, project: str, policy: Policy, secrets: Secrets) -> None:
        self._project = project
        self._policy = policy
        self._secrets = secrets

    def respond(self, path: re.Match[str], request: Request, member: str) -> Response:
        """Make the call if the member may; HttpError (501) for one that is not played here.

        Source: https://cloud.google.com/secret-manager/docs/reference/rest
        """
        del path
        if request.method == "POST" and (match := _ADD.fullmatch(request.path)):
            resource, secret = match[1], match[2]
            self._require(member, "secretmanager.versions.add", resource)
            number = self._secrets.add_version(secret, _payload(request.body.read()))
            name = f"{resource}/versions/{number}"
            return Response.json(200, {"name": name, "state": "ENABLED"})
        if request.method == "GET" and (match := _ACCESS.fullmatch(request.path)):
            resource, secret, version = match.groups()
            self._require(member, "secretmanager.versions.access", f"{resource}/versions/{version}")
            data = base64.b64encode(self._secrets.access(secret, version)).decode()
            name = f"{resource}/versions/{self._secrets.resolve(secret, version)}"
            return Response.json(200, {"name": name, "payload": {"data": data}})
        raise not_implemented(request)

    def _require(self, member: str, permission: str, resource: str) -> None:
        """Raise Denied before anything reveals whether the secret exists."""
        self._policy.require(member, permission, resource)
        if not resource.startswith(f"projects/{self._project}/"):
            raise SecretError(404, "NOT_FOUND", f"{resource} is not of project {self._project}.")


def _payload(body: bytes) -> bytes:
    try:
        document: Any = json.loads(body)
        return base64.b64decode(document["payload"]["data"], validate=True)
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        message = 'The body is not {"payload": {"data": BASE64}}.'
        raise SecretError(400, "INVALID_ARGUMENT", message) from error
