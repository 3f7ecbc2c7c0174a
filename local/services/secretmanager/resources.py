"""Secrets. Their versions are added through the API, by the programs and the operator.

It cannot show expiry, nor versions that are disabled.
"""

from typing import ClassVar

from local.engine.handler import Json
from local.services.context import Context, GoogleError, short
from local.services.handler import GoogleHandler, must_not_be_protected
from local.services.secretmanager.secrets import SecretError, Secrets

SECRET = "gcp:secretmanager/secret:Secret"  # noqa: S105 - a type token


class Secret(GoogleHandler):
    """A secret. A new one has no version."""

    replace_on: ClassVar = frozenset({"secretId", "project", "replication"})
    full_name: ClassVar = "projects/{project}/secrets/{secretId}"

    def __init__(self, context: Context, secrets: Secrets) -> None:
        super().__init__(context)
        self._secrets = secrets

    def computed(self, inputs: Json) -> Json:
        """Returns the name, which has the project's number where the id has the project's id."""
        return {"name": f"projects/{self._context.number}/secrets/{inputs['secretId']}"}

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """Creates the secret; refused if it exists."""
        try:
            self._secrets.create(inputs["secretId"])
        except SecretError as error:
            raise GoogleError(str(error)) from error
        return super().create(name, inputs)[0], {"createTime": self._context.timestamp()}

    def read(self, id_: str, outputs: Json) -> Json | None:
        """Returns what is recorded while the secret exists."""
        return outputs if self._secrets.exists(short(id_)) else None

    def delete(self, id_: str, outputs: Json) -> None:
        """Deletes the secret with all its versions, including those of the operator."""
        must_not_be_protected("secret", id_, outputs)
        if self._secrets.exists(short(id_)):
            self._secrets.delete(short(id_))
