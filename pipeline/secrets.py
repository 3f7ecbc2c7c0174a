"""Reads the newest version of a secret in Secret Manager, and adds versions.

Secrets are named in full, `projects/P/secrets/S`. Nothing here logs or raises their values.
"""

import base64

import requests

from pipeline import google
from pipeline.errors import UserError


def latest(secret: str) -> str:
    """The text of a secret's newest version; empty if the secret has no version.

    If the newest version was disabled or destroyed, the secret counts as empty: an older version is
    never used in its place.

    Source: https://cloud.google.com/secret-manager/docs/reference/rest, versions.access
    """
    response = _ask("GET", f"{secret}/versions/latest:access")
    if response.status_code == 404 or google.status(response) == "FAILED_PRECONDITION":
        return ""
    if not response.ok:
        raise google.refused(response, f"secret {secret} cannot be read")
    try:
        return base64.b64decode(response.json()["payload"]["data"]).decode()
    except (ValueError, KeyError, TypeError):
        raise UserError(
            f"secret {secret} is not text; set it again with `bots credentials`"
        ) from None


def add_version(secret: str, value: str) -> None:
    """Make `value` the newest version of a secret that the stack declared.

    Source: https://cloud.google.com/secret-manager/docs/reference/rest, secrets.addVersion
    """
    data = base64.b64encode(value.encode()).decode()
    response = _ask("POST", f"{secret}:addVersion", {"payload": {"data": data}})
    if response.status_code == 404:
        raise UserError(f"secret {secret} does not exist: deploy the stack first (`pulumi up`)")
    if not response.ok:
        raise google.refused(response, f"secret {secret} cannot get a new version")


def _ask(method: str, call: str, body: object = None) -> requests.Response:
    # POST requests are not repeated, since each could add a version.
    with google.session() as session:
        return google.ask(session, method, "secretmanager", call, body)
