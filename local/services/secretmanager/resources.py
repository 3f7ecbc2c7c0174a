"""Secrets, and the versions that a program declares.

It cannot show expiry, nor versions that are disabled.
"""

from typing import ClassVar

from local.engine.handler import Json
from local.services.context import Context, GoogleError, short
from local.services.handler import GoogleHandler, must_not_be_protected
from local.services.secretmanager.secrets import SecretError, Secrets

SECRET = "gcp:secretmanager/secret:Secret"  # noqa: S105 - a type token
VERSION = "gcp:secretmanager/secretVersion:SecretVersion"


class _SecretHandler(GoogleHandler):
    """What is kept among the secrets."""

    def __init__(self, context: Context, secrets: Secrets) -> None:
        super().__init__(context)
        self._secrets = secrets


class Secret(_SecretHandler):
    """A secret. A new one has no version."""

    replace_on: ClassVar = frozenset({"secretId", "project", "replication"})
    full_name: ClassVar = "projects/{project}/secrets/{secretId}"

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


class Version(_SecretHandler):
    """A version with its data. Deleting it destroys the data unless the policy is ABANDON."""

    replace_on: ClassVar = frozenset({"secret", "secretData", "isSecretDataBase64"})
    secret_outputs: ClassVar = frozenset({"secretData"})

    def create(self, _name: str, inputs: Json) -> tuple[str, Json]:
        """Adds the version, which then is the latest."""
        secret = short(inputs["secret"])
        try:
            number = self._secrets.add_version(secret, inputs["secretData"].encode())
        except SecretError as error:
            raise GoogleError(str(error)) from error
        version = f"projects/{self._context.number}/secrets/{secret}/versions/{number}"
        created = self._context.timestamp()
        return version, {"name": version, "version": str(number), "createTime": created}

    def read(self, id_: str, outputs: Json) -> Json | None:
        """Returns what is recorded while the secret exists."""
        return outputs if self._secrets.exists(id_.split("/")[3]) else None

    def delete(self, id_: str, outputs: Json) -> None:
        """Follows the deletion policy."""
        _, _, _, secret, _, number = id_.split("/")
        abandoned = outputs.get("deletionPolicy") == "ABANDON"
        if not abandoned and self._secrets.exists(secret):
            self._secrets.destroy_version(secret, int(number))
