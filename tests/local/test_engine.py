"""The local providers, driven by Pulumi's real engine."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, cast

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2 as rpc
from pulumi.runtime.proto.provider_pb2_grpc import ResourceProviderStub

from local.engine.handler import UNKNOWN, Handler, Json
from local.engine.server import Invoke
from local.engine.wire import Secret, encode
from local.resources import ResourceStore
from local.services.artifactregistry.images import Image
from local.services.context import Context
from pipeline.errors import UserError
from tests.local.breakable import EngineFault
from tests.local.engine import Engine

BUCKET = "gcp:storage/bucket:Bucket"
TOPIC = "gcp:pubsub/topic:Topic"
VERSION = "gcp:secretmanager/secretVersion:SecretVersion"
IMAGE = "docker:index/image:Image"


class Bucket(Handler):
    """Stands in for a storage bucket; it keeps nothing, and so cannot show what objects do."""

    replace_on = frozenset({"location"})

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.lost: set[str] = set()

    def check(self, inputs: Json) -> list[tuple[str, str]]:
        location = inputs["location"]
        wrong = location != location.upper()
        return [("location", f"{location!r} is not in capitals")] if wrong else []

    def computed(self, inputs: Json) -> Json:
        return {"url": f"gs://{inputs['name']}"}

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        self.calls.append(f"create {inputs['location']}")
        if inputs["name"] == "taken":
            raise ValueError(
                "the name 'taken' is another project's\nTraceback: none of your business"
            )
        return inputs["name"], {"selfLink": f"https://storage/{inputs['name']}"}

    def update(self, id_: str, old_outputs: Json, inputs: Json) -> Json:
        self.calls.append("update")
        return {}

    def read(self, id_: str, outputs: Json) -> Json | None:
        return None if id_ in self.lost else outputs

    def delete(self, id_: str, outputs: Json) -> None:
        self.calls.append(f"delete {outputs['location']}")


class Version(Handler):
    """Stands in for a secret's version; its `name` is made of the secret, as no real one is."""

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        return "secrets/1", {"name": f"of-{inputs['secretData']}", "version": "1"}


class Built(Image):
    """Stands in for building: the digest of the files is that of the image."""

    def create(self, name: str, inputs: Json) -> tuple[str, Json]:
        return inputs["imageName"], self.update("", {}, inputs)

    def update(self, id_: str, old_outputs: Json, inputs: Json) -> Json:
        name = inputs["imageName"].rsplit(":", 1)[0]
        return {"repoDigest": f"{name}@sha256:{inputs['build']['contextDigest']}"}


def building(root: Path) -> Context:
    """As much of a context as an image asks for."""

    def digest(folder: Path, _dockerfile: Path) -> str:
        return (folder / "main.py").read_text()

    runtime = SimpleNamespace(context_digest=digest)
    return cast("Context", SimpleNamespace(root=root, runtime=runtime))


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


@pytest.fixture
def engine(tmp_path: Path, bucket: Bucket) -> Iterator[Engine]:
    handlers = {
        BUCKET: bucket,
        TOPIC: Handler(),
        VERSION: Version(),
        IMAGE: Built(building(tmp_path)),
    }
    invokes: dict[str, Invoke] = {
        "gcp:organizations/getProject:getProject": lambda given: {"number": f"7-{given['project']}"}
    }
    engine = Engine(tmp_path, handlers, invokes)
    yield engine
    engine.providers.stop()


def test_a_preview_foresees_what_up_does_and_a_second_up_does_nothing(engine: Engine) -> None:
    engine.program("""
        bucket = gcp.storage.Bucket("data", location="EU")
        topic = gcp.pubsub.Topic("events", labels={"of": bucket.name, "at": bucket.self_link})
        pulumi.export("number", gcp.organizations.get_project_output().number)
        pulumi.export("url", bucket.url)
        pulumi.export("link", bucket.self_link)
    """)
    preview, up, again = engine.preview(), engine.up(), engine.up()
    assert preview.counts == {"to create": 3}, preview.text
    assert re.search(r'url +: "gs://data-[0-9a-f]{7}"', preview.text)
    assert re.search(r"link +: \[unknown\]", preview.text)
    assert up.counts == {"created": 3}, up.text
    assert re.search(r'link +: "https://storage/data-[0-9a-f]{7}"', up.text)
    assert re.search(r'number: "7-p1"', up.text)
    assert again.counts == {}, again.text


def test_a_change_updates_in_place_or_replaces_as_the_kind_says(
    engine: Engine, bucket: Bucket
) -> None:
    program = 'gcp.storage.Bucket("data", location="{}", labels=dict(size="{}"))'
    engine.program(program.format("EU", 1))
    assert engine.up().status == 0
    name = engine.store.of_type(BUCKET)[0].id

    engine.program(program.format("EU", 2))
    updated = engine.up("--diff")
    assert updated.counts == {"updated": 1}, updated.text
    assert re.search(r'size: "1" => "2"', updated.text)
    assert engine.store.of_type(BUCKET)[0].id == name
    assert engine.store.of_type(BUCKET)[0].inputs["labels"] == {"size": "2", "stack": "dev"}

    engine.program(program.format("US", 2))
    assert engine.preview().counts == {"to replace": 1}
    assert engine.up().counts == {"replaced": 1}
    assert engine.store.of_type(BUCKET)[0].id != name
    assert bucket.calls == ["create EU", "update", "create US", "delete EU"]


def test_what_the_program_names_is_deleted_before_it_is_replaced(
    engine: Engine, bucket: Bucket
) -> None:
    for location in ("EU", "US"):
        engine.program(f'gcp.storage.Bucket("data", name="mine", location="{location}")')
        assert engine.up().status == 0
    assert bucket.calls == ["create EU", "delete EU", "create US"]


def test_a_changed_default_label_is_a_change_of_every_labelled_resource(engine: Engine) -> None:
    engine.program('gcp.pubsub.Topic("events")')
    engine.up()
    engine.configure("config: {gcp:project: p1, gcp:defaultLabels: {stack: prod}}")
    assert engine.up().counts == {"updated": 1}
    assert engine.store.of_type(TOPIC)[0].inputs["labels"] == {"stack": "prod"}


def test_two_projects_of_one_program_are_told_apart(engine: Engine) -> None:
    engine.program("""
        other = gcp.Provider("other", project="p2")
        gcp.pubsub.Topic("here")
        gcp.pubsub.Topic("there", opts=Options(provider=other))
    """)
    assert engine.up().status == 0
    projects = {topic.urn.split("::")[-1]: topic.inputs["project"] for topic in engine.store.all()}
    assert projects == {"here": "p1", "there": "p2"}


@pytest.mark.parametrize(("when", "made"), [("before", 0), ("after", 1)])
def test_a_call_fails_once_on_demand_and_what_it_had_made_is_not_lost(
    engine: Engine, when: Literal["before", "after"], made: int
) -> None:
    engine.program('gcp.storage.Bucket("data", location="EU")')
    engine.faults.add(EngineFault("Create", BUCKET, when))
    failed = engine.up()
    assert failed.status != 0
    assert "a requested fault" in failed.text
    assert len(engine.store.all()) == made
    assert engine.up().status == 0
    assert len(engine.store.all()) == 1
    assert engine.faults.status() == {"left": [], "hanging": []}
    assert engine.up().counts == {}


def test_a_secret_is_encrypted_wherever_it_gets_to(engine: Engine) -> None:
    engine.program("""
        value = pulumi.Output.secret("hunter2-hunter2")
        version = gcp.secretmanager.SecretVersion("keys", secret="s", secret_data=value)
        pulumi.export("name", version.name)
        pulumi.export("version", version.version)
    """)
    up = engine.up()
    assert re.search(r"name +: \[secret\]", up.text), up.text
    assert re.search(r'version: "1"', up.text)
    assert "hunter2" not in up.text + engine.state()
    assert engine.store.of_type(VERSION)[0].inputs["secretData"] == "hunter2-hunter2"


def test_what_is_gone_is_made_anew_after_a_refresh(engine: Engine, bucket: Bucket) -> None:
    engine.program('gcp.storage.Bucket("data", location="EU")')
    engine.up()
    assert engine.run("refresh", "--yes", "--skip-preview").counts == {}
    bucket.lost.add(engine.store.of_type(BUCKET)[0].id)
    assert engine.run("refresh", "--yes", "--skip-preview").counts == {"deleted": 1}
    assert engine.store.all() == []
    assert engine.up().counts == {"created": 1}


def test_destroy_removes_what_it_is_told_to(engine: Engine) -> None:
    engine.program('gcp.storage.Bucket("data", location="EU")\ngcp.pubsub.Topic("events")')
    engine.up()
    destroy = ("destroy", "--yes", "--skip-preview")
    assert engine.run(*destroy, "--target", "**events").counts == {"deleted": 1}
    assert [resource.type for resource in engine.store.all()] == [BUCKET]
    assert engine.run(*destroy).counts == {"deleted": 2}
    assert ResourceStore(engine.home / "resources.json").all() == []


def test_a_failing_kind_is_one_line_and_leaves_nothing(engine: Engine) -> None:
    engine.program('gcp.storage.Bucket("data", name="taken", location="EU")')
    up = engine.up()
    assert up.status != 0
    assert "error: ValueError: the name 'taken' is another project's" in up.text
    assert "Traceback" not in up.text
    assert engine.store.all() == []
    assert '"taken"' not in engine.state()
    engine.program('gcp.storage.Bucket("data", name="mine", location="EU")')
    assert engine.up().counts == {"created": 1}


def test_a_misspelt_key_fails_in_preview_with_the_path_and_the_right_key(engine: Engine) -> None:
    engine.program("""
        gcp.storage.Bucket("data", location="EU", lifecycle_rules=[
            {"action": {"type": "Delete"}, "condition": {"age_days": 3}}])
    """)
    preview = engine.preview()
    assert preview.status != 0
    assert (
        "lifecycleRules[0].condition.age_days: storage.BucketLifecycleRuleCondition has no"
        " 'age_days'; did you mean"
    ) in preview.text


def test_an_image_is_rebuilt_when_its_files_change_whatever_is_ignored(engine: Engine) -> None:
    app = engine.folder / "app"
    app.mkdir()
    (app / "Dockerfile").touch()
    (app / "main.py").write_text("1")
    program = """
        import pulumi_docker as docker
        image = docker.Image("app", image_name="host/p/bots/app:dev",
            build=docker.DockerBuildArgs(context="app"),
            registry=docker.RegistryArgs(username="me", password=pulumi.Output.secret("{}")),
            opts=Options(ignore_changes=["build"]))
        gcp.pubsub.Topic("user", labels={{"image": image.repo_digest}})
    """
    engine.program(program.format("password-one"))
    assert engine.up().counts == {"created": 3}
    engine.program(program.format("password-two"))
    assert engine.up().counts == {}
    (app / "main.py").write_text("2")
    preview = engine.preview("--diff")
    assert preview.counts == {"to update": 2}, preview.text
    assert 'contextDigest: "1" => "2"' in preview.text
    assert 'image: "host/p/bots/app@sha256:1" => [unknown]' in preview.text
    assert engine.up().counts == {"updated": 2}
    assert engine.store.of_type(TOPIC)[0].inputs["labels"]["image"].endswith("@sha256:2")


@pytest.fixture
def gcp(engine: Engine) -> Iterator[ResourceProviderStub]:
    """The provider as the engine reaches it, without the engine."""
    with grpc.insecure_channel(f"127.0.0.1:{engine.providers.ports['gcp']}") as channel:
        provider: Any = ResourceProviderStub(channel)
        provider.Configure(rpc.ConfigureRequest(args=encode({"project": "p1"})))
        yield provider


def test_a_type_without_a_handler_is_refused(gcp: Any) -> None:
    token = "gcp:pubsub/subscription:Subscription"
    response = gcp.Check(rpc.CheckRequest(type=token, name="s", news=encode({"topic": "t"})))
    assert [failure.reason for failure in response.failures] == [
        f"the local cloud has no {token}; declare it only for Google Cloud"
    ]


def test_a_kind_refuses_in_check(gcp: Any) -> None:
    inputs = encode({"location": "eu", "labels": {"a": Secret("hunter2")}})
    response = gcp.Check(rpc.CheckRequest(type=BUCKET, name="b", news=inputs))
    assert [failure.reason for failure in response.failures] == [
        "location: 'eu' is not in capitals"
    ]


def test_no_reason_tells_a_secret(gcp: Any) -> None:
    inputs = encode({"location": "EU", "forceDestroy": Secret("hunter2")})
    [failure] = gcp.Check(rpc.CheckRequest(type=BUCKET, name="b", news=inputs)).failures
    assert failure.reason == "forceDestroy: '[secret]' is a text; give true or false"
    create = rpc.CreateRequest(type=BUCKET, properties=encode({"location": Secret("hunter2")}))
    with pytest.raises(grpc.RpcError) as refusal:
        gcp.Create(create)
    assert refusal.value.details() == "KeyError: 'name'"


def test_a_name_is_taken_once(gcp: Any, engine: Engine) -> None:
    create = rpc.CreateRequest(type=TOPIC, name="t", properties=encode({"name": "mine"}))
    assert gcp.Create(create).id == "mine"
    with pytest.raises(grpc.RpcError) as refusal:
        gcp.Create(create)
    assert refusal.value.details() == "Topic 'mine' exists already; give another name"
    assert len(engine.store.all()) == 1


def test_an_unknown_function_is_refused(gcp: Any) -> None:
    with pytest.raises(grpc.RpcError, match="has no function gcp:x/y:y"):
        gcp.Invoke(rpc.InvokeRequest(tok="gcp:x/y:y"))


def test_an_image_without_its_dockerfile_is_refused(tmp_path: Path) -> None:
    image = Built(building(tmp_path))
    with pytest.raises(UserError, match=r"there is no file .*app/Dockerfile"):
        image.prepare({"imageName": "i", "build": {"dockerfile": "app/Dockerfile"}})
    with pytest.raises(UserError, match="there is no folder"):
        image.prepare({"imageName": "i", "build": {"context": "app"}})
    unknown = image.prepare({"imageName": "i", "build": {"context": UNKNOWN}})
    assert "contextDigest" not in unknown["build"]
