"""What the SDKs' types forbid, and what the providers make of inputs; no engine is involved."""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.engine.changes import changes, is_replacing
from local.engine.declaration import Declaration
from local.engine.handler import UNKNOWN, Handler, Json
from local.engine.schema import ANYTHING, Shape, properties, resource_type
from local.engine.wire import Secret, decode, encode, guard, redact, reveal

JOB = "gcp:cloudrunv2/job:Job"
TOPIC = "gcp:pubsub/topic:Topic"

SERVICES = (
    "artifactregistry",
    "billing",
    "cloudbuild",
    "cloudrunv2",
    "cloudscheduler",
    "compute",
    "logging",
    "monitoring",
    "projects",
    "pubsub",
    "secretmanager",
    "serviceaccount",
    "storage",
)


def failures(token: str, inputs: Json) -> list[str]:
    declared = resource_type(token)
    assert declared is not None
    return [f"{path}: {reason}" for path, reason in declared.failures(inputs)]


def job(**container: object) -> Json:
    containers = [{"image": "host/p/r/i", **container}]
    return {"location": "europe-west4", "template": {"template": {"containers": containers}}}


def tokens() -> list[str]:
    """Every resource type of the services that the stacks use, and of both Docker SDKs."""
    found: list[str] = []
    for package in ("pulumi_gcp", "pulumi_docker", "pulumi_docker_build"):
        source = Path(importlib.import_module(package).__file__ or "").read_text()
        found += re.findall(r'^   "([a-z-]+:[^"]+)": "\w+"', source, re.MULTILINE)
    return [
        token
        for token in found
        if token.split(":")[0] != "gcp" or token.split(":")[1].split("/")[0] in SERVICES
    ]


def test_a_complete_job_is_accepted() -> None:
    inputs = job(
        envs=[
            {"name": "ACCOUNT", "value": "keeper"},
            {
                "name": "X_KEYS",
                "valueSource": {"secretKeyRef": {"secret": "s", "version": "latest"}},
            },
        ],
        resources={"limits": {"cpu": "1", "memory": "512Mi"}},
    )
    assert failures(JOB, inputs | {"deletionProtection": False, "labels": {"a.b/c": "d"}}) == []


@pytest.mark.parametrize(
    ("inputs", "failure"),
    [
        pytest.param(
            job(imag="i"),
            "template.template.containers[0].imag: cloudrunv2.JobTemplateTemplateContainer has no"
            " 'imag'; did you mean 'image'?",
            id="a misspelt nested key",
        ),
        pytest.param(
            {"location": "x", "template": {"template": {"max_retries": 3}}},
            "template.template.max_retries: cloudrunv2.JobTemplateTemplate has no 'max_retries';"
            " did you mean 'maxRetries'?",
            id="a key in Python's spelling",
        ),
        pytest.param(
            job(envs=[{"value": "v"}]),
            "template.template.containers[0].envs[0].name: missing;"
            " cloudrunv2.JobTemplateTemplateContainerEnv needs a text",
            id="a missing nested key",
        ),
        pytest.param(
            {"location": "x"},
            "template: missing; cloudrunv2.Job needs a cloudrunv2.JobTemplate",
            id="a missing key",
        ),
        pytest.param(
            {"location": "x", "template": {"template": {"executionEnvironment": "GEN3"}}},
            "template.template.executionEnvironment: 'GEN3' is not allowed; give"
            " EXECUTION_ENVIRONMENT_GEN1 or EXECUTION_ENVIRONMENT_GEN2",
            id="a bad enum",
        ),
        pytest.param(
            {"location": "x", "template": {"template": {}, "taskCount": "3"}},
            "template.taskCount: '3' is a text; give a whole number",
            id="a text for a number",
        ),
        pytest.param(
            {"location": "x", "template": {"template": {}, "taskCount": 1.5}},
            "template.taskCount: 1.5 is a number; give a whole number",
            id="a fraction for a whole number",
        ),
        pytest.param(
            {"location": "x", "template": {"template": {}, "taskCount": True}},
            "template.taskCount: True is true or false; give a whole number",
            id="a truth value for a number",
        ),
        pytest.param(
            job() | {"deletionProtection": "no"},
            "deletionProtection: 'no' is a text; give true or false",
            id="a text for a truth value",
        ),
        pytest.param(
            job() | {"labels": {"a.b": 3}},
            'labels["a.b"]: 3 is a number; give a text',
            id="a number in a map of texts",
        ),
        pytest.param(
            job(envs={"A": "b"}),
            "template.template.containers[0].envs: {'A': 'b'} is an object; give a list",
            id="an object for a list",
        ),
        pytest.param(
            {"location": "x", "template": "t"},
            "template: 't' is a text; give a cloudrunv2.JobTemplate",
            id="a text for an object",
        ),
    ],
)
def test_a_mistake_is_named_with_its_path_and_its_mend(inputs: Json, failure: str) -> None:
    assert failures(JOB, inputs) == [failure]


def test_what_is_not_known_yet_passes_at_every_depth() -> None:
    assert failures(JOB, {"location": UNKNOWN, "template": UNKNOWN}) == []
    assert failures(JOB, job(image=UNKNOWN, envs=UNKNOWN) | {"deletionProtection": UNKNOWN}) == []


def test_enums_of_classes_and_assets_are_known() -> None:
    image = {"imageName": "i", "build": {"builderVersion": "V9"}}
    assert failures("docker:index/image:Image", image) == [
        "build.builderVersion: 'V9' is not allowed; give BuilderV1 or BuilderBuildKit"
    ]
    bucket_object = "gcp:storage/bucketObject:BucketObject"
    asset = {"4dabf18193072939515e22adb298388d": "c44067f5952c0a294b673a41bacd8c17", "text": "t"}
    assert failures(bucket_object, {"bucket": "b", "source": asset}) == []
    assert failures(bucket_object, {"bucket": "b", "source": "file.txt"}) == [
        "source: 'file.txt' is a text; give a pulumi.Asset or Archive"
    ]


def shapes(shape: Shape, seen: set[type]) -> Iterator[Shape]:
    """A shape and all within it, each Args class once."""
    yield shape
    if shape.item:
        yield from shapes(shape.item, seen)
    if shape.args and shape.args not in seen:
        seen.add(shape.args)
        for declared in properties(shape.args).values():
            yield from shapes(declared.shape, seen)


def test_every_property_of_the_services_that_are_used_has_a_shape() -> None:
    seen: set[type] = set()
    for token in tokens():
        declared = resource_type(token)
        assert declared is not None, token
        loose = [s for s in shapes(declared.inputs, seen) if s == ANYTHING]
        assert loose == [], token
    assert len(seen) > 1000, "the list of types was not found"


@pytest.mark.parametrize("token", ["gcp:storage/bucket:Buckett", "aws:s3/bucket:Bucket"])
def test_a_type_that_no_sdk_has_is_none(token: str) -> None:
    assert resource_type(token) is None


def declaration(handler: Handler | None = None, **configuration: object) -> Declaration:
    declared = resource_type(TOPIC)
    assert declared is not None
    return Declaration(declared, handler or Handler(), {"project": "p1", **configuration})


def test_a_generated_name_lasts_until_the_program_gives_one() -> None:
    topic = declaration()
    first = topic.prepare("events", {}, {})
    assert re.fullmatch(r"events-[0-9a-f]{7}", first["name"])
    assert topic.prepare("events", {"labels": {}}, first)["name"] == first["name"]
    named = topic.prepare("events", {"name": "mine"}, first)
    assert named == {"name": "mine"}
    assert topic.prepare("events", {}, named)["name"] != "mine"
    assert topic.is_named_by_program(named)
    assert not topic.is_named_by_program(first)


def test_a_resource_without_a_project_is_refused() -> None:
    assert declaration().refused({"name": "t"}) == []
    [(path, reason)] = declaration(project=None).refused({"name": "t"})
    assert path == "project"
    assert "gcp:project" in reason


def test_labels_are_the_programs_over_the_providers() -> None:
    topic = declaration(defaultLabels={"stack": "dev", "part": "x"})
    inputs = {"name": "t", "labels": {"part": "y"}}
    assert topic.complete(inputs)["labels"] == {"stack": "dev", "part": "y"}
    outputs = topic.outputs(inputs, {})
    assert outputs["labels"] == {"part": "y"}
    assert outputs["effectiveLabels"] == {"stack": "dev", "part": "y"}
    assert "labels" not in topic.outputs({"name": "t"}, {})


def test_a_changed_configuration_is_a_change_of_what_it_gave() -> None:
    old = declaration(defaultLabels={"stack": "dev"})
    new = declaration(project="p2", defaultLabels={"stack": "prod"})
    inputs = {"name": "t", "labels": {"a": "b"}}
    outputs = old.outputs(inputs, {})
    assert old.diff(inputs, outputs, inputs, []) == {}
    found = new.diff(inputs, outputs, inputs, [])
    assert {path: is_replacing(change) for path, change in found.items()} == {
        "labels.stack": False,
        "project": True,
    }
    assert new.diff(inputs, outputs, inputs, ["*"]) == {}


def test_a_failure_of_a_value_that_is_not_known_yet_waits() -> None:
    class Picky(Handler):
        def check(self, inputs: Json) -> list[tuple[str, str]]:
            return [("labels.a", "bad"), ("labels.b", "bad"), ("name", f"{inputs['name']} is bad")]

    topic = declaration(Picky())
    inputs = {"name": f"x-{UNKNOWN}", "labels": {"a": UNKNOWN, "b": "c"}}
    assert topic.refused(inputs) == [("labels.b", "bad")]


def test_what_follows_from_an_unknown_is_unknown_as_a_whole() -> None:
    class Linked(Handler):
        def computed(self, inputs: Json) -> Json:
            return {"id": f"projects/{inputs['project']}/topics/{inputs['name']}"}

    topic = declaration(Linked())
    assert topic.foreseen({"name": "t"})["id"] == "projects/p1/topics/t"
    assert topic.foreseen({"name": UNKNOWN})["id"] == UNKNOWN
    assert topic.foreseen({"name": "t"})["pulumiLabels"] == {}


def test_an_update_keeps_what_was_made_and_follows_what_changed() -> None:
    class Linked(Handler):
        def computed(self, inputs: Json) -> Json:
            return {"size": len(inputs.get("labels", {}))}

    topic = declaration(Linked())
    old = {"name": "t", "labels": {"a": "b"}, "kmsKeyName": "k"}
    old_outputs = topic.outputs(old, {"etag": "1", "at": "x"})
    new = {"name": "t", "labels": {"a": "b", "c": "d"}}
    outputs = topic.outputs(new, {"etag": "2"}, topic.kept(old, old_outputs))
    assert (outputs["at"], outputs["etag"], outputs["size"]) == ("x", "2", 2)
    assert "kmsKeyName" not in outputs


def test_what_the_provider_alone_knows_is_unknown_in_preview() -> None:
    declared = resource_type("gcp:storage/bucket:Bucket")
    assert declared is not None
    foreseen = Declaration(declared, Handler(), {"project": "p1"}).foreseen({"name": "b"})
    assert foreseen["selfLink"] == UNKNOWN
    assert foreseen["name"] == "b"


def test_changes_are_named_as_deep_as_they_are() -> None:
    old = {"a": {"b": [{"c": 1}, 2]}, "gone": 1, "same": {"x": 1}, "quiet": {"p": 1, "q": 1}}
    new = {"a": {"b": [{"c": 2}]}, "new": {"d": 1}, "same": {"x": 1}, "quiet": {"p": 2, "q": 1}}
    found = changes(old, new, replace_on={"a.b", "n"}, insignificant={"quiet.p"})
    assert sorted(found) == ["a.b[0].c", "a.b[1]", "gone", "new"]
    assert [path for path in sorted(found) if is_replacing(found[path])] == ["a.b[0].c", "a.b[1]"]


def test_values_survive_the_wire() -> None:
    values = {"n": 3, "f": 0.5, "b": True, "l": [{"s": Secret({"k": ["v"]})}], "u": UNKNOWN}
    assert decode(encode(values)) == values
    assert isinstance(decode(encode(values))["n"], int)
    assert reveal(values)["l"] == [{"s": {"k": ["v"]}}]


def test_what_contains_a_secret_is_secret_and_never_told() -> None:
    inputs = {"list": [{"key": Secret("hunter2")}], "name": "n", "short": Secret("a")}
    outputs = {
        "list": [{"key": "hunter2"}],
        "url": "https://x:hunter2@h",
        "name": "name",
        "short": "a",
    }
    assert guard(outputs, inputs) == {
        "list": [{"key": Secret("hunter2")}],
        "url": Secret("https://x:hunter2@h"),
        "name": "name",
        "short": Secret("a"),
    }
    assert redact("cannot use hunter2 here", {"x": Secret("hunter2")}) == "cannot use [secret] here"
