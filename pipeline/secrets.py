"""Secret Manager as this project uses it: a secret's newest version is read, and one is added.

Secrets are named in full, `projects/P/secrets/S`. Nothing here logs or raises their values.
"""

import base64

import requests

from pipeline import google
from pipeline.google import GoogleError


def latest(secret: str) -> str:
    """The text of a secret's newest version; empty where nobody has given it one.

    A version that was disabled or destroyed counts as none: an older one is never used in its
    place. Source: https://cloud.google.com/secret-manager/docs/reference/rest, versions.access
    """
    answer = _ask("GET", f"{secret}/versions/latest:access")
    if answer.status_code == 404 or google.status(answer) == "FAILED_PRECONDITION":
        return ""
    if not answer.ok:
        raise GoogleError(f"secret {secret} cannot be read: {google.refusal(answer)}")
    try:
        return base64.b64decode(answer.json()["payload"]["data"]).decode()
    except (ValueError, KeyError, TypeError):
        raise GoogleError(f"secret {secret} is no text; set it again") from None


def add_version(secret: str, value: str) -> None:
    """Make `value` the newest version of a secret that the stack declared.

    Source: https://cloud.google.com/secret-manager/docs/reference/rest, secrets.addVersion
    """
    data = base64.b64encode(value.encode()).decode()
    answer = _ask("POST", f"{secret}:addVersion", {"payload": {"data": data}})
    if answer.status_code == 404:
        raise GoogleError(f"secret {secret} is not there: deploy the stack first (`pulumi up`)")
    if not answer.ok:
        raise GoogleError(f"secret {secret} takes no new version: {google.refusal(answer)}")


def _ask(method: str, call: str, body: object = None) -> requests.Response:
    # Adding is never repeated, or there might be two versions.
    with google.session() as session:
        return google.ask(session, method, "secretmanager", call, body)
