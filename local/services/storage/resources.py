"""Buckets, objects that a program writes, managed folders, and notifications of changes.

It cannot show what storage classes, retention, encryption keys, and lifecycle rules but that on
noncurrent versions do, which are only recorded.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from google.api_core.exceptions import GoogleAPIError, NotFound
from google.cloud import storage  # pyright: ignore[reportMissingTypeStubs]
from google.oauth2.credentials import Credentials

from local.client import Client
from local.engine.handler import Failure, Json
from local.gateway import iam
from local.services.context import Context, GoogleError, items, short
from local.services.handler import GoogleHandler
from local.services.pubsub.resources import TOPIC, topic_name
from local.services.storage.server import StorageServer

BUCKET = "gcp:storage/bucket:Bucket"
MANAGED_FOLDER = "gcp:storage/managedFolder:ManagedFolder"
OBJECT = "gcp:storage/bucketObject:BucketObject"
NOTIFICATION = "gcp:storage/notification:Notification"

_EVENTS = ("OBJECT_FINALIZE", "OBJECT_METADATA_UPDATE", "OBJECT_DELETE", "OBJECT_ARCHIVE")
_LINK = "https://www.googleapis.com/storage/v1"


class _BucketHandler(GoogleHandler):
    """What lies in the buckets of a storage server."""

    def __init__(self, context: Context, server: StorageServer) -> None:
        super().__init__(context)
        self._server = server


class Bucket(_BucketHandler):
    """A bucket, which really exists in the storage server."""

    replace_on: ClassVar = frozenset({"name", "location", "project", "storageClass"})
    formats: ClassVar = {
        "name": (
            r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]",
            "3 to 63 lower-case letters, digits, '-', '_' and '.'",
        )
    }

    def computed(self, inputs: Json) -> Json:
        """Returns the bucket's addresses."""
        name = inputs["name"]
        return {"url": f"gs://{name}", "selfLink": f"{_LINK}/b/{name}"}

    def create(self, _name: str, inputs: Json) -> tuple[str, Json]:
        """Creates the bucket. As at Google, one that exists is refused, whoever made it."""
        bucket = inputs["name"]
        if self._server.exists(bucket):
            raise GoogleError(
                f"the bucket {bucket} exists already, and bucket names are unique: "
                "delete it or choose another name"
            )
        self._server.create_bucket(bucket)
        return bucket, {"projectNumber": int(self._context.number)}

    def read(self, id_: str, outputs: Json) -> Json | None:
        """Returns what is recorded while the server has the bucket."""
        return outputs if self._server.exists(id_) else None

    def delete(self, id_: str, outputs: Json) -> None:
        """Deletes the bucket. One that holds objects needs forceDestroy."""
        storage = self._server
        if not storage.exists(id_):
            return
        if not storage.bucket_empty(id_, self._context.clock.now()):
            if not outputs.get("forceDestroy"):
                raise GoogleError(
                    f"the bucket {id_} is not empty: delete its objects, "
                    "or set forceDestroy and run `up` before it is destroyed"
                )
            storage.clear_bucket(id_)
        storage.delete_bucket(id_)


class ManagedFolder(_BucketHandler):
    """A folder that can have an IAM policy of its own. Its objects exist without it, too.

    Source: https://cloud.google.com/storage/docs/managed-folders, and the provider's
    resource_storage_managed_folder.go (2026-11).
    """

    replace_on: ClassVar = frozenset({"bucket", "name"})
    physical_name: ClassVar = None

    def check(self, inputs: Json) -> Iterator[Failure]:
        """Refuses a name that is not a path of at most 15 folders with a slash at the end."""
        name = inputs["name"]
        if not name.endswith("/"):
            yield "name", f"{name!r} does not end with '/': write '{name}/'"
        folders = name.removesuffix("/").split("/")
        if len(folders) > 15 or {"", ".", ".."} & {*folders}:
            yield "name", f"{name!r} is not 1 to 15 folders, none of them '', '.' or '..'"

    def create(self, _name: str, inputs: Json) -> tuple[str, Json]:
        """Records the folder. Its bucket must have uniform bucket-level access."""
        bucket = self._context.declared(BUCKET, short(inputs["bucket"]))
        if not bucket.inputs.get("uniformBucketLevelAccess"):
            raise GoogleError(
                f"the bucket {bucket.id} has no uniform bucket-level access, which managed folders"
                " need: set uniformBucketLevelAccess"
            )
        return f"{bucket.id}/{inputs['name']}", {}

    def delete(self, id_: str, outputs: Json) -> None:
        """Removes the folder. One with objects needs forceDestroy, and the objects stay."""
        bucket, _, folder = id_.partition("/")
        if not outputs.get("forceDestroy") and self._server.holds(bucket, folder):
            raise GoogleError(
                f"the managed folder {folder} of {bucket} is not empty: delete its objects, or set"
                " forceDestroy, which leaves them, and run `up` before it is removed"
            )


class Object(GoogleHandler):
    """An object that the program writes, as the operator and through the gateway.

    Writing it causes an event. Only `content` changes in place; all else makes a new object.
    """

    replace_on: ClassVar = frozenset(
        {"bucket", "name", "contentType", "cacheControl", "metadata", "storageClass", "source"}
    )
    renewed: ClassVar = frozenset({"generation", "md5hash", "crc32c", "detectMd5hash"})

    def check(self, inputs: Json) -> Iterator[Failure]:
        """Refuses anything but exactly one of content and source."""
        if ("content" in inputs) == ("source" in inputs):
            yield "content", "give exactly one of content and source"

    def computed(self, inputs: Json) -> Json:
        """Returns the name again, under the name that programs use."""
        return {"outputName": inputs["name"]}

    def create(self, _name: str, inputs: Json) -> tuple[str, Json]:
        """Writes the object, over whatever is there."""
        return f"{inputs['bucket']}-{inputs['name']}", self.update("", {}, inputs)

    def update(self, _id: str, _old_outputs: Json, inputs: Json) -> Json:
        """Writes the object."""
        blob = self._blob(inputs)
        data = _data(inputs, self._context.root)
        media_type = inputs.get("contentType") or "text/plain; charset=utf-8"
        try:
            blob.upload_from_string(data, content_type=media_type)
        except GoogleAPIError as error:
            raise GoogleError(str(error)) from error
        path = f"/b/{inputs['bucket']}/o/{quote(inputs['name'], safe='')}"
        return {
            "generation": blob.generation,
            "md5hash": blob.md5_hash,
            "detectMd5hash": blob.md5_hash,
            "crc32c": blob.crc32c,
            "selfLink": f"{_LINK}{path}",
            "mediaLink": f"https://storage.googleapis.com/download/storage/v1{path}?alt=media",
        }

    def read(self, _id: str, outputs: Json) -> Json | None:
        """Returns the generation as it is now. Like the provider, compares no content."""
        blob = self._blob(outputs)
        try:
            blob.reload()
        except NotFound:
            return None
        return outputs | {"generation": blob.generation}

    def delete(self, _id: str, outputs: Json) -> None:
        """Deletes the live object."""
        with contextlib.suppress(NotFound):
            self._blob(outputs).delete()

    def _blob(self, inputs: Json) -> Any:
        """Returns the object as the operator reaches it through the gateway."""
        url = self._context.network("operator", iam.OPERATOR, {})["API_ENDPOINT_OVERRIDE"]
        client: Any = storage.Client(
            project=self._context.project,
            credentials=Credentials(Client(url).token()),
            client_options={"api_endpoint": url},
        )
        return client.bucket(inputs["bucket"]).blob(inputs["name"])


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


class Notification(_BucketHandler):
    """Sends a bucket's events to a topic. Any change makes a new one."""

    replace_on: ClassVar = frozenset(
        {"bucket", "topic", "payloadFormat", "eventTypes", "objectNamePrefix", "customAttributes"}
    )

    def check(self, inputs: Json) -> Iterator[Failure]:
        """Refuses values that Cloud Storage does not know and the SDK's types allow."""
        if inputs["payloadFormat"] not in ("JSON_API_V1", "NONE"):
            yield "payloadFormat", f"{inputs['payloadFormat']!r} is not 'JSON_API_V1' or 'NONE'"
        for event in items(inputs, "eventTypes"):
            if event not in _EVENTS:
                yield "eventTypes", f"{event!r} is not one of {', '.join(_EVENTS)}"

    def create(self, _name: str, inputs: Json) -> tuple[str, Json]:
        """Records it; refused unless Cloud Storage's own account may publish to the topic."""
        context = self._context
        bucket, topic = short(inputs["bucket"]), topic_name(inputs["topic"], context.project)
        agent = context.storage_agent
        if not self._server.exists(bucket):
            raise GoogleError(f"the bucket {bucket} was not found")
        context.declared(TOPIC, topic)
        if not context.policy.allows(iam.member(agent), "pubsub.topics.publish", topic):
            raise GoogleError(
                f"{agent} may not publish to {topic}: grant it "
                "roles/pubsub.publisher on the topic, and let the notification depend on the grant"
            )
        numbers = [
            int(held.outputs["notificationId"])
            for held in context.resources.of_type(NOTIFICATION)
            if short(held.inputs["bucket"]) == bucket
        ]
        number = 1 + max(numbers, default=0)
        path = f"{bucket}/notificationConfigs/{number}"
        return path, {"notificationId": str(number), "selfLink": f"{_LINK}/b/{path}"}
