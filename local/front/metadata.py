"""Who calls: the metadata server that gives each execution its service account, and its tokens.

Stands in for Google's metadata server. It cannot show how long tokens really live, nor that an
identity may be changed only when a machine is stopped.
"""

import json
import re
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from local import iam
from local.front.refusal import Refused

LIFETIME = 3599
"""Seconds that a token is said to live; it is taken for as long as this process runs."""


@dataclass(frozen=True)
class Identity:
    """One execution: its account's address, and values of its own, such as `instance/name`."""

    email: str
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Answer:
    """A value of the metadata server: text, or JSON."""

    kind: str
    body: bytes


class Identities:
    """The executions known by name, and the tokens given out to them."""

    def __init__(self, project: str) -> None:
        self._project = project
        self._identities: dict[str, Identity] = {"operator": Identity(iam.OPERATOR)}
        self._tokens: dict[str, str] = {}
        self._lock = threading.Lock()

    def register(self, name: str, identity: Identity) -> None:
        """Make the metadata server answer `name` with this identity."""
        if not re.fullmatch(r"[A-Za-z0-9._-]+", name):
            raise ValueError(f"{name!r} cannot stand in an address")
        with self._lock:
            self._identities[name] = identity

    def token(self, email: str) -> str:
        """A new bearer token of an account."""
        token = f"ya29.{secrets.token_urlsafe(24)}"
        with self._lock:
            self._tokens[token] = email
        return token

    def member(self, authorization: str) -> str:
        """Who sends this Authorization header; Refused (401) if nobody is known to."""
        kind, _, token = authorization.partition(" ")
        if not authorization:
            raise Refused(401, "required", "Anonymous caller: the call carries no credentials.")
        email = self._tokens.get(token) if kind == "Bearer" else None
        if email is None:
            raise Refused(401, "authError", "Invalid Credentials")
        return iam.member(email)

    def answer(self, name: str, path: str) -> Answer:
        """What the metadata server says to `name` at `path`; Refused (404) if it knows nothing.

        Source: https://cloud.google.com/compute/docs/metadata/predefined-metadata-keys
        """
        identity = self._identities.get(name)
        if identity is None:
            raise Refused(404, "notFound", f"there is no execution {name}")
        if path in ("", "/"):
            return _text("computeMetadata/")
        key = path.removeprefix("/computeMetadata/v1/").rstrip("/")
        accounts = f"instance/service-accounts/(?:default|{re.escape(identity.email)})"
        if re.fullmatch(f"{accounts}/token", key):
            token = self.token(identity.email)
            answer = {"access_token": token, "expires_in": LIFETIME, "token_type": "Bearer"}
            return _json(answer)
        if re.fullmatch(accounts, key):
            scopes = ["https://www.googleapis.com/auth/cloud-platform"]
            return _json({"aliases": ["default"], "email": identity.email, "scopes": scopes})
        if re.fullmatch(f"{accounts}/email", key):
            return _text(identity.email)
        texts = {
            "project/project-id": self._project,
            "universe/universe-domain": "googleapis.com",
            **identity.metadata,
        }
        if key not in texts:
            raise Refused(404, "notFound", f"{name} has no metadata {key}")
        return _text(texts[key])


def _text(value: str) -> Answer:
    return Answer("application/text", value.encode())


def _json(value: object) -> Answer:
    return Answer("application/json", json.dumps(value).encode())
