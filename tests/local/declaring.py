"""A client of the local cloud's providers that declares one resource at a time.

It stands in for Pulumi's engine, speaks its protocol to the real gRPC servers, and cannot show what
the engine itself decides: order, replacement, state. Those tests run the real engine.
"""

from pathlib import Path
from typing import Any

import grpc
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import provider_pb2 as rpc
from pulumi.runtime.proto.provider_pb2_grpc import ResourceProviderStub

from local.cloud import Cloud
from local.engine.wire import decode, encode, reveal
from local.services.serviceusage import resources as apis

PROJECT = "test-project"
REGION = "europe-west4"
REGISTRY = f"{REGION}-docker.pkg.dev/{PROJECT}/bots"

ACCOUNT = "gcp:serviceaccount/account:Account"
BUCKET = "gcp:storage/bucket:Bucket"
BUCKET_GRANT = "gcp:storage/bucketIAMMember:BucketIAMMember"
CUSTOM_ROLE = "gcp:projects/iAMCustomRole:IAMCustomRole"
LISTING = "gcp:storage/bucketIAMBinding:BucketIAMBinding"
FOLDER = "gcp:storage/managedFolder:ManagedFolder"
FOLDER_GRANT = "gcp:storage/managedFolderIamMember:ManagedFolderIamMember"
IMAGE = "docker:index/image:Image"
INDEX = "docker-build:index:Index"
INSTANCE = "gcp:compute/instanceFromTemplate:InstanceFromTemplate"
JOB = "gcp:cloudrunv2/job:Job"
JOB_GRANT = "gcp:cloudrunv2/jobIamMember:JobIamMember"
NOTIFICATION = "gcp:storage/notification:Notification"
OBJECT = "gcp:storage/bucketObject:BucketObject"
PROJECT_GRANT = "gcp:projects/iAMMember:IAMMember"
REPOSITORY_GRANT = "gcp:artifactregistry/repositoryIamMember:RepositoryIamMember"
REPOSITORY = "gcp:artifactregistry/repository:Repository"
SCHEDULE = "gcp:cloudscheduler/job:Job"
SECRET = "gcp:secretmanager/secret:Secret"
SECRET_GRANT = "gcp:secretmanager/secretIamMember:SecretIamMember"
SERVICE = "gcp:cloudrunv2/service:Service"
SERVICE_GRANT = "gcp:cloudrunv2/serviceIamMember:ServiceIamMember"
TEMPLATE = "gcp:compute/instanceTemplate:InstanceTemplate"
TOPIC = "gcp:pubsub/topic:Topic"
TOPIC_GRANT = "gcp:pubsub/topicIAMMember:TopicIAMMember"
TRIGGER = "gcp:cloudbuild/trigger:Trigger"


class Refused(Exception):
    """What a person would read at the CLI."""


class Declarer:
    """Declares, changes and removes resources of one cloud; outputs come as plain JSON."""

    def __init__(self, cloud: Cloud, project: str = PROJECT) -> None:
        self.cloud = cloud
        self._inputs: dict[tuple[str, str], dict[str, Any]] = {}
        self._outputs: dict[tuple[str, str], dict[str, Any]] = {}
        self._providers: dict[str, Any] = {}
        self._channels: list[Any] = []
        configuration = {"project": project, "region": REGION, "zone": f"{REGION}-a"}
        for package, port in cloud.providers.ports.items():
            channel = grpc.insecure_channel(f"127.0.0.1:{port}")
            self._channels.append(channel)
            self._providers[package] = ResourceProviderStub(channel)
            self._providers[package].Configure(rpc.ConfigureRequest(args=encode(configuration)))

    def close(self) -> None:
        for channel in self._channels:
            channel.close()

    def declare(self, token: str, name: str, /, **inputs: Any) -> dict[str, Any]:
        """Create the resource, or change it in place if it was declared before.

        The API that it calls is enabled before.
        """
        api = apis.api_of(token)
        if api and token != apis.SERVICE and (apis.SERVICE, api) not in self._inputs:
            for enabled in dict.fromkeys(["cloudresourcemanager", api]):
                self.declare(apis.SERVICE, enabled, service=f"{enabled}.googleapis.com")
        provider, urn = self._providers[token.partition(":")[0]], _urn(token, name)
        old = self._inputs.get((token, name), {})
        checked = provider.Check(
            rpc.CheckRequest(urn=urn, name=name, type=token, news=encode(inputs), olds=encode(old))
        )
        if checked.failures:
            raise Refused("; ".join(f"{f.property}: {f.reason}" for f in checked.failures))
        try:
            outputs = (
                self._update(provider, token, name, checked.inputs)
                if old
                else self._create(provider, token, name, checked.inputs)
            )
        except grpc.RpcError as error:
            raise Refused(error.details()) from None
        self._inputs[token, name] = reveal(decode(checked.inputs))
        self._outputs[token, name] = outputs
        return outputs

    def _create(self, provider: Any, token: str, name: str, inputs: Struct) -> dict[str, Any]:
        made = provider.Create(
            rpc.CreateRequest(urn=_urn(token, name), name=name, type=token, properties=inputs)
        )
        return {**reveal(decode(made.properties)), "id": made.id}

    def _update(self, provider: Any, token: str, name: str, inputs: Struct) -> dict[str, Any]:
        old = self._outputs[token, name]
        made = provider.Update(
            rpc.UpdateRequest(
                urn=_urn(token, name),
                name=name,
                type=token,
                id=old["id"],
                olds=encode(old),
                old_inputs=encode(self._inputs[token, name]),
                news=inputs,
            )
        )
        return {**reveal(decode(made.properties)), "id": old["id"]}

    def read(self, token: str, name: str) -> dict[str, Any] | None:
        """As it is now; None if it is gone."""
        old = self._outputs[token, name]
        found = self._providers[token.partition(":")[0]].Read(
            rpc.ReadRequest(
                urn=_urn(token, name), name=name, type=token, id=old["id"], properties=encode(old)
            )
        )
        return {**reveal(decode(found.properties)), "id": found.id} if found.id else None

    def remove(self, token: str, name: str) -> None:
        old = self._outputs[token, name]
        try:
            self._providers[token.partition(":")[0]].Delete(
                rpc.DeleteRequest(
                    urn=_urn(token, name),
                    name=name,
                    type=token,
                    id=old["id"],
                    properties=encode(old),
                )
            )
        except grpc.RpcError as error:
            raise Refused(error.details()) from None
        del self._inputs[token, name], self._outputs[token, name]

    # What many tests begin with.

    def account(self, name: str) -> dict[str, Any]:
        return self.declare(ACCOUNT, name, accountId=f"{name}-account")

    def bucket(self, name: str, **more: Any) -> dict[str, Any]:
        return self.declare(BUCKET, name, name=name, location=REGION, **more)

    def image(self, name: str, program: str, entry: str = '["python", "/srv/main.py"]') -> str:
        """An image of one Python program, pushed; returns its name."""
        if (REPOSITORY, "bots") not in self._outputs:
            self.declare(REPOSITORY, "bots", repositoryId="bots", location=REGION, format="DOCKER")
        folder = self.cloud.context.root / name
        folder.mkdir(exist_ok=True)
        (folder / "main.py").write_text(program)
        (folder / "Dockerfile").write_text(
            f"FROM python:3.11-slim\nCOPY main.py /srv/main.py\nENTRYPOINT {entry}\n"
        )
        build = {"context": name, "dockerfile": f"{name}/Dockerfile"}
        self.declare(IMAGE, name, imageName=f"{REGISTRY}/{name}:test", build=build)
        return f"{REGISTRY}/{name}:test"

    def job(self, name: str, image: str, *, envs: Any = (), **task: Any) -> dict[str, Any]:
        container = {"image": image, "envs": list(envs)}
        for key in ("args", "commands"):
            if key in task:
                container[key] = task.pop(key)
        execution = {"taskCount": task.pop("taskCount", 1)}
        return self.declare(
            JOB,
            name,
            name=name,
            location=REGION,
            deletionProtection=False,
            template={
                **execution,
                "template": {"containers": [container], "maxRetries": 0, **task},
            },
        )

    def service(self, name: str, image: str, *, envs: Any = (), **more: Any) -> dict[str, Any]:
        """A service of one container, which is known to have started by GET /health."""
        container = {
            "image": image,
            "envs": list(envs),
            "startupProbe": {"httpGet": {"path": "/health"}, "failureThreshold": 24},
            **more.pop("container", {}),
        }
        return self.declare(
            SERVICE,
            name,
            name=name,
            location=REGION,
            deletionProtection=more.pop("deletionProtection", False),
            template={"containers": [container], **more},
        )

    def scheduled(self, name: str, image: str, schedule: str, **more: Any) -> dict[str, Any]:
        """A job, and a schedule that may run it."""
        caller = self.account(f"{name}-caller")
        job = self.job(name, image)
        self.declare(
            JOB_GRANT,
            name,
            name=job["name"],
            location=REGION,
            role="roles/run.jobsExecutor",
            member=caller["member"],
        )
        target = {
            "uri": f"https://run.googleapis.com/v2/{job['id']}:run",
            "httpMethod": "POST",
            "oauthToken": {"serviceAccountEmail": caller["email"]},
        }
        given = {"schedule": schedule, "timeZone": "Etc/UTC", "httpTarget": target, **more}
        return self.declare(SCHEDULE, name, name=name, region=REGION, **given)


def _urn(token: str, name: str) -> str:
    return f"urn:pulumi:test::test::{token}::{name}"


def log(file: str | Path) -> str:
    """What an execution, a build or an instance printed."""
    return Path(file).read_text()
