"""The metadata server: gives each execution its service account's identity and tokens.

Stands in for Google's metadata server. It cannot show how long tokens really live, nor that an
identity may be changed only while a machine is stopped.
"""

import re
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from local.gateway import iam
from local.gateway.errors import HttpError
from local.gateway.server import Request, Response

PATH = r"/as/([^/]+)(/.*)?"
"""Where the metadata server of an execution is: the execution's name, then Google's own path."""

LIFETIME = 3599
"""Seconds that a token claims to live; in fact it is valid as long as this process runs."""

_FLAVOR = ("Metadata-Flavor", "Google")


@dataclass(frozen=True)
class Identity:
    """One execution: its account's e-mail address, and its own values such as `instance/name`."""

    email: str
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])


class Identities:
    """The executions known by name, and the tokens handed out to them."""

    def __init__(self, project: str) -> None:
        self._project = project
        self._identities: dict[str, Identity] = {"operator": Identity(iam.OPERATOR)}
        self._tokens: dict[str, str] = {}
        self._lock = threading.Lock()

    def register(self, name: str, identity: Identity) -> None:
        """Give the execution `name` this identity."""
        if not re.fullmatch(r"[A-Za-z0-9._-]+", name):
            raise ValueError(f"{name!r} cannot stand in an address")
        with self._lock:
            self._identities[name] = identity

    def token(self, email: str) -> str:
        """Make a bearer token for an account."""
        token = f"ya29.{secrets.token_urlsafe(24)}"
        with self._lock:
            self._tokens[token] = email
        return token

    def member(self, authorization: str) -> str:
        """Returns the member that sends this Authorization header; HttpError (401) if unknown."""
        kind, _, token = authorization.partition(" ")
        if not authorization:
            raise HttpError(401, "required", "Anonymous caller: the call carries no credentials.")
        email = self._tokens.get(token) if kind == "Bearer" else None
        if email is None:
            raise HttpError(401, "authError", "Invalid Credentials")
        return iam.member(email)

    def respond(self, path: re.Match[str], request: Request, member: str) -> Response:
        """The metadata server's response at `PATH`; HttpError (403, 404).

        Source: https://cloud.google.com/compute/docs/metadata/predefined-metadata-keys
        """
        del member  # the path tells who asks
        name, key = path[1], (path[2] or "/").rstrip("/")
        identity = self._identities.get(name)
        if identity is None:
            raise HttpError(404, "notFound", f"there is no execution {name}")
        if not key:
            return _text("computeMetadata/")
        if request.headers.get(_FLAVOR[0]) != _FLAVOR[1]:
            raise HttpError(403, "forbidden", "the header Metadata-Flavor: Google is missing")
        key = key.removeprefix("/computeMetadata/v1/")
        accounts = f"instance/service-accounts/(?:default|{re.escape(identity.email)})"
        if re.fullmatch(f"{accounts}/token", key):
            token = self.token(identity.email)
            grant = {"access_token": token, "expires_in": LIFETIME, "token_type": "Bearer"}
            return Response.json(200, grant, [_FLAVOR])
        if re.fullmatch(accounts, key):
            scopes = ["https://www.googleapis.com/auth/cloud-platform"]
            account = {"aliases": ["default"], "email": identity.email, "scopes": scopes}
            return Response.json(200, account, [_FLAVOR])
        texts = {
            "project/project-id": self._project,
            "universe/universe-domain": "googleapis.com",
            "instance/service-accounts/default/email": identity.email,
            f"instance/service-accounts/{identity.email}/email": identity.email,
            **identity.metadata,
        }
        if key not in texts:
            raise HttpError(404, "notFound", f"{name} has no metadata {key}")
        return _text(texts[key])


def _text(value: str) -> Response:
    return Response(200, value.encode(), [_FLAVOR, ("Content-Type", "application/text")])
