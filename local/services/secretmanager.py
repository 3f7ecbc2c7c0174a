"""Secret Manager: secrets and the versions that a program declares."""

from typing import ClassVar

from local.provider.kinds import Json, Kind
from local.secrets import SecretError
from local.services.world import GoogleError, World, short

SECRET = "gcp:secretmanager/secret:Secret"  # noqa: S105 - a type token
VERSION = "gcp:secretmanager/secretVersion:SecretVersion"


def kinds(world: World) -> dict[str, Kind]:
    """The kinds of this module by type."""
    return {SECRET: Secret(world), VERSION: Version(world)}


class Secret(Kind):
    """A secret, at first without a version."""

    replace_on: ClassVar = frozenset({"secretId", "project", "replication"})

    def __init__(self, world: World) -> None:
        self._world = world

    def computed(self, inputs: Json) -> Json:
        """The name carries the project's number, as Google's does; the id its id."""
        return {"name": f"projects/{self._world.number}/secrets/{inputs['secretId']}"}

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """Create it; refused if it exists."""
        del name
        try:
            self._world.secrets.create(inputs["secretId"])
        except SecretError as error:
            raise GoogleError(str(error)) from error
        created = self._world.timestamp()
        return f"projects/{inputs['project']}/secrets/{inputs['secretId']}", {"createTime": created}

    def read(self, id: str, outputs: Json) -> Json | None:  # noqa: A002
        """As recorded, while it is there."""
        return outputs if self._world.secrets.exists(short(id)) else None

    def delete(self, id: str, outputs: Json) -> None:  # noqa: A002
        """Delete it with all its versions, those of the operator too."""
        if outputs.get("deletionProtection"):
            raise GoogleError(
                f"the secret {short(id)} is protected: set deletionProtection to false and run "
                "`up` before it is destroyed"
            )
        if self._world.secrets.exists(short(id)):
            self._world.secrets.delete(short(id))


class Version(Kind):
    """A version with its data; deleting it destroys the data unless it was to be abandoned."""

    replace_on: ClassVar = frozenset({"secret", "secretData", "isSecretDataBase64"})
    secret_outputs: ClassVar = frozenset({"secretData"})

    def __init__(self, world: World) -> None:
        self._world = world

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """Add it: it is the latest now."""
        del name
        secret = short(inputs["secret"])
        try:
            number = self._world.secrets.add_version(secret, inputs["secretData"].encode())
        except SecretError as error:
            raise GoogleError(str(error)) from error
        version = f"projects/{self._world.number}/secrets/{secret}/versions/{number}"
        return version, {
            "name": version,
            "version": str(number),
            "createTime": self._world.timestamp(),
        }

    def read(self, id: str, outputs: Json) -> Json | None:  # noqa: A002
        """As recorded, while its secret is there."""
        return outputs if self._world.secrets.exists(id.split("/")[3]) else None

    def delete(self, id: str, outputs: Json) -> None:  # noqa: A002
        """Follow its deletion policy."""
        _, _, _, secret, _, number = id.split("/")
        if outputs.get("deletionPolicy", "DELETE") != "ABANDON" and self._world.secrets.exists(
            secret
        ):
            self._world.secrets.destroy_version(secret, int(number))
