"""Cloud Storage: buckets, the objects that a program writes, and the notifications of changes."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import requests

from local import iam
from local.provider.kinds import Json, Kind
from local.services.iam import MANAGED_FOLDER
from local.services.pubsub import TOPIC, Messages, topic_name
from local.services.world import GoogleError, World, items, section, short

BUCKET = "gcp:storage/bucket:Bucket"
OBJECT = "gcp:storage/bucketObject:BucketObject"
NOTIFICATION = "gcp:storage/notification:Notification"

_EVENTS = ("OBJECT_FINALIZE", "OBJECT_METADATA_UPDATE", "OBJECT_DELETE", "OBJECT_ARCHIVE")


def kinds(world: World) -> dict[str, Kind]:
    """The kinds of this module by type."""
    return {
        BUCKET: Bucket(world),
        MANAGED_FOLDER: ManagedFolder(world),
        OBJECT: Object(world),
        NOTIFICATION: Notification(world),
    }


class Bucket(Kind):
    """A bucket, real in the storage server."""

    replace_on: ClassVar = frozenset({"name", "location", "project", "storageClass"})

    def __init__(self, world: World) -> None:
        self._world = world

    def check(self, inputs: Json) -> list[tuple[str, str]]:
        """Bucket names are 3 to 63 characters."""
        name = inputs["name"]
        if re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]", name):
            return []
        return [("name", f"{name!r} is not 3 to 63 lower-case letters, digits, '-', '_' and '.'")]

    def computed(self, inputs: Json) -> Json:
        """Where it answers."""
        name = inputs["name"]
        return {
            "url": f"gs://{name}",
            "selfLink": f"https://www.googleapis.com/storage/v1/b/{name}",
        }

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """Create it empty; one that is there, whoever made it, is refused as at Google."""
        del name
        bucket = inputs["name"]
        if self._world.storage.exists(bucket):
            raise GoogleError(
                f"the bucket {bucket} exists already, and bucket names are unique: "
                "delete it or choose another name"
            )
        self._world.storage.create_bucket(bucket)
        return bucket, {"projectNumber": int(self._world.number)}

    def read(self, id: str, outputs: Json) -> Json | None:  # noqa: A002
        """As recorded, while the server has it."""
        return outputs if self._world.storage.exists(id) else None

    def delete(self, id: str, outputs: Json) -> None:  # noqa: A002
        """Refused for a bucket that holds objects, unless it was declared to be emptied."""
        storage = self._world.storage
        if not storage.exists(id):
            return
        if not storage.bucket_empty(id):
            if not outputs.get("forceDestroy"):
                raise GoogleError(
                    f"the bucket {id} is not empty: delete its objects, "
                    "or set forceDestroy and run `up` before it is destroyed"
                )
            storage.clear_bucket(id)
        storage.delete_bucket(id)


class ManagedFolder(Kind):
    """A folder that can have an IAM policy of its own; its objects are there without it, too.

    Source: https://cloud.google.com/storage/docs/managed-folders, and the provider's
    resource_storage_managed_folder.go (2026-11).
    """

    replace_on: ClassVar = frozenset({"bucket", "name"})
    physical_name: ClassVar = None

    def __init__(self, world: World) -> None:
        self._world = world

    def check(self, inputs: Json) -> list[tuple[str, str]]:
        """A path of 15 folders at most, which ends with a slash."""
        name = inputs["name"]
        if not name.endswith("/"):
            return [("name", f"{name!r} does not end with '/': write '{name}/'")]
        folders = name.removesuffix("/").split("/")
        if len(folders) > 15 or {"", ".", ".."} & {*folders}:
            return [("name", f"{name!r} is not 1 to 15 folders, none of them '', '.' or '..'")]
        return []

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """Refused in a bucket whose objects may have access lists of their own."""
        del name
        bucket = self._world.declared(BUCKET, short(inputs["bucket"]))
        if not bucket.inputs.get("uniformBucketLevelAccess"):
            raise GoogleError(
                f"the bucket {bucket.id} has no uniform bucket-level access, which managed folders"
                " need: set uniformBucketLevelAccess"
            )
        return f"{bucket.id}/{inputs['name']}", {}

    def delete(self, id: str, outputs: Json) -> None:  # noqa: A002
        """Refused where there are objects in it, unless declared otherwise; then these stay."""
        bucket, _, folder = id.partition("/")
        if not outputs.get("forceDestroy") and self._world.storage.holds(bucket, folder):
            raise GoogleError(
                f"the managed folder {folder} of {bucket} is not empty: delete its objects, or set"
                " forceDestroy, which leaves them, and run `up` before it is removed"
            )


class Object(Kind):
    """An object that the program writes, as its operator and through the front: an event follows.

    Only `content` changes in place; all else makes a new object.
    """

    replace_on: ClassVar = frozenset(
        {"bucket", "name", "contentType", "cacheControl", "metadata", "storageClass", "source"}
    )
    renewed: ClassVar = frozenset({"generation", "md5hash", "crc32c", "detectMd5hash"})

    def __init__(self, world: World) -> None:
        self._world = world

    def check(self, inputs: Json) -> list[tuple[str, str]]:
        """Either content or a source."""
        if ("content" in inputs) == ("source" in inputs):
            return [("content", "give exactly one of content and source")]
        return []

    def computed(self, inputs: Json) -> Json:
        """What programs use as its name."""
        return {"outputName": inputs["name"]}

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """Write it, over whatever is there."""
        del name
        return f"{inputs['bucket']}-{inputs['name']}", self._write(inputs)

    def update(self, id: str, old_outputs: Json, inputs: Json) -> Json:  # noqa: A002
        """Write it again."""
        del id, old_outputs
        return self._write(inputs)

    def read(self, id: str, outputs: Json) -> Json | None:  # noqa: A002
        """Its generation as it is now; its content is not compared, as the provider does not."""
        del id
        found = self._ask("GET", _path(outputs))
        if found.status_code == 404:
            return None
        return outputs | {"generation": int(_metadata(found)["generation"])}

    def delete(self, id: str, outputs: Json) -> None:  # noqa: A002
        """Delete the live object."""
        del id
        found = self._ask("DELETE", _path(outputs))
        if found.status_code != 404:
            _metadata(found)

    def _write(self, inputs: Json) -> Json:
        data = _data(inputs, self._world.root)
        path = f"/upload/storage/v1/b/{inputs['bucket']}/o?uploadType=media&name="
        written = _metadata(
            self._ask(
                "POST",
                path + quote(inputs["name"], safe=""),
                data,
                {"Content-Type": inputs.get("contentType") or "text/plain; charset=utf-8"},
            )
        )
        md5 = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
        return {
            "generation": int(written["generation"]),
            "md5hash": md5,
            "detectMd5hash": md5,
            "crc32c": written.get("crc32c", ""),
            "selfLink": f"https://www.googleapis.com/storage/v1{_path(inputs)[11:]}",
            "mediaLink": f"https://storage.googleapis.com/download{_path(inputs)}?alt=media",
        }

    def _ask(
        self, method: str, path: str, data: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> requests.Response:
        network = self._world.network("operator", iam.OPERATOR, {})
        token = requests.get(
            f"http://{network['GCE_METADATA_HOST']}"
            "/computeMetadata/v1/instance/service-accounts/default/token",
            headers={"Metadata-Flavor": "Google"},
            timeout=30,
        ).json()["access_token"]
        return requests.request(
            method,
            network["API_ENDPOINT_OVERRIDE"] + path,
            data=data,
            headers={"Authorization": f"Bearer {token}", **(headers or {})},
            timeout=60,
        )


def _path(inputs: Json) -> str:
    return f"/storage/v1/b/{inputs['bucket']}/o/{quote(inputs['name'], safe='')}"


def _data(inputs: Json, root: Path) -> bytes:
    if "content" in inputs:
        return str(inputs["content"]).encode()
    # An asset: a text, or a file by its path.
    asset: Json = inputs["source"]
    if "text" in asset:
        return str(asset["text"]).encode()
    file = root / str(asset.get("path", ""))
    if not file.is_file():
        raise GoogleError(f"the object's source {file} is no file")
    return file.read_bytes()


def _metadata(response: requests.Response) -> dict[str, Any]:
    if not response.ok:
        raise GoogleError(f"Cloud Storage answered {response.status_code}: {response.text[:300]}")
    return response.json() if response.content else {}


class Notification(Kind):
    """Sends a bucket's events to a topic; any change makes a new one."""

    replace_on: ClassVar = frozenset(
        {"bucket", "topic", "payloadFormat", "eventTypes", "objectNamePrefix", "customAttributes"}
    )

    def __init__(self, world: World) -> None:
        self._world = world

    def check(self, inputs: Json) -> list[tuple[str, str]]:
        """What the SDK's types leave open."""
        wrong: list[tuple[str, str]] = []
        if inputs["payloadFormat"] not in ("JSON_API_V1", "NONE"):
            wrong.append(
                ("payloadFormat", f"{inputs['payloadFormat']!r} is not 'JSON_API_V1' or 'NONE'")
            )
        wrong += [
            ("eventTypes", f"{event!r} is not one of {', '.join(_EVENTS)}")
            for event in items(inputs, "eventTypes")
            if event not in _EVENTS
        ]
        return wrong

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        """Refused unless Cloud Storage's own account may publish to the topic."""
        del name
        world = self._world
        bucket, topic = short(inputs["bucket"]), topic_name(inputs["topic"], world.project)
        if not world.storage.exists(bucket):
            raise GoogleError(f"the bucket {bucket} was not found")
        world.declared(TOPIC, topic)
        if not world.policy.allows(iam.member(world.storage_agent), "pubsub.topics.publish", topic):
            raise GoogleError(
                f"{world.storage_agent} may not publish to {topic}: grant it "
                "roles/pubsub.publisher on the topic, and let the notification depend on the grant"
            )
        number = 1 + max(
            (
                int(held.outputs["notificationId"])
                for held in world.resources.of_type(NOTIFICATION)
                if short(held.inputs["bucket"]) == bucket
            ),
            default=0,
        )
        link = f"{bucket}/notificationConfigs/{number}"
        return link, {
            "notificationId": str(number),
            "selfLink": f"https://www.googleapis.com/storage/v1/b/{link}",
        }


class Notifier:
    """Publishes what happens to objects, as the declared notifications want it."""

    def __init__(self, world: World, messages: Messages) -> None:
        self._world = world
        self._messages = messages

    def finalized(self, attributes: Mapping[str, str], metadata: Mapping[str, Any]) -> None:
        """Tell every notification that matches of a new generation of an object."""
        for notification in self._world.resources.of_type(NOTIFICATION):
            inputs = notification.inputs
            if (
                short(inputs["bucket"]) == attributes["bucketId"]
                and attributes["objectId"].startswith(inputs.get("objectNamePrefix") or "")
                and attributes["eventType"]
                in (inputs.get("eventTypes") or [attributes["eventType"]])
            ):
                self._messages.publish(
                    self._world.storage_agent,
                    topic_name(inputs["topic"], self._world.project),
                    {
                        **attributes,
                        **section(inputs, "customAttributes"),
                        "payloadFormat": inputs["payloadFormat"],
                        "notificationConfig": f"projects/_/buckets/{notification.id}",
                    },
                    json.dumps(metadata) if inputs["payloadFormat"] == "JSON_API_V1" else "",
                )
