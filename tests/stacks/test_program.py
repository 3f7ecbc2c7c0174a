"""What the real program declares for each stack."""

import json
import re
import subprocess
import sys
from typing import Any

import pulumi
import pytest
import yaml
from pulumi.runtime.mocks import MockResourceArgs
from pydantic import JsonValue

from control_image.rollout import KEEP_ALIVE
from local.services.cloudbuild import filters
from pipeline import __version__, layout
from tests.stacks.recorder import ROOT, STORAGE_AGENT, Declared, Recorder, declare, stack_values

ENVIRONMENTS = ["local", "dev", "prod"]
JOB = "gcp:cloudrunv2/job:Job"
SECRET = "gcp:secretmanager/secret:Secret"
ACCOUNT = {
    "handle": "weatherfrog",
    "source": "timeline",
    "consent": "a made-up account",
    "x_terms_acknowledged": True,
    "collect": "0 4 * * *",
    "post": "0 12 * * *",
}


@pytest.fixture(scope="module", params=ENVIRONMENTS)
def declared(request: pytest.FixtureRequest) -> Recorder:
    values = stack_values(request.param)
    values["gpt2-bots:training"]["run"] = "2026-11-23"
    return declare(request.param, values)


def keys(recorder: Recorder) -> set[tuple[str, str]]:
    return {(r.type, r.name) for r in recorder.resources}


def container(job: Declared) -> dict[str, Any]:
    """The only container of a job."""
    (only,) = job.inputs["template"]["template"]["containers"]
    return only


def posts(job: Declared) -> bool:
    return container(job).get("args") == ["post"]


def walk(value: JsonValue) -> list[Any]:
    """Every value in nested inputs."""
    if isinstance(value, dict):
        return [x for inner in value.values() for x in walk(inner)]
    if isinstance(value, list):
        return [x for inner in value for x in walk(inner)]
    return [value]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_adding_an_account_declares_that_accounts_resources_and_changes_no_other(
    environment: str,
) -> None:
    values = stack_values(environment)
    before = declare(environment, values)
    values["gpt2-bots:accounts"] = {"aaa": ACCOUNT, **values["gpt2-bots:accounts"]}
    after = declare(environment, values)
    new = keys(after) - keys(before)
    assert keys(before) <= keys(after)
    assert new
    assert all("aaa" in name for _, name in new)
    unchanged = {(r.type, r.name): r.inputs for r in after.resources}
    # Alerts name the jobs that they watch, as tests/stacks/test_monitoring.py holds in detail. One
    # grant names all who may list a bucket.
    of_all = (
        "gcp:monitoring/alertPolicy:AlertPolicy",
        "gcp:storage/bucketIAMBinding:BucketIAMBinding",
    )
    assert all(
        unchanged[r.type, r.name] == r.inputs for r in before.resources if r.type not in of_all
    )


def test_an_account_has_at_most_sixteen_provider_resources() -> None:
    values = stack_values("prod")
    before = declare("prod", values)
    values["gpt2-bots:accounts"]["weather"] = ACCOUNT
    after = declare("prod", values)
    assert len(after.providers_resources) - len(before.providers_resources) <= 16


@pytest.mark.parametrize("part", ["training", "monitoring"])
def test_a_part_of_the_sdk_is_loaded_only_if_the_stack_declares_something_of_it(part: str) -> None:
    package = {"training": "compute", "monitoring": "monitoring"}[part]

    def loaded(values: dict[str, Any]) -> bool:
        # In a new process, because modules stay loaded. The packages load their modules when used.
        script = (
            "import json, sys; from tests.stacks.recorder import declare;"
            "declare('prod', json.load(sys.stdin));"
            f"print(any(m.startswith('pulumi_gcp.{package}.') for m in sys.modules))"
        )
        done = subprocess.run(
            [sys.executable, "-c", script],
            input=json.dumps(values),
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            check=True,
        )
        return done.stdout.strip() == "True"

    values = stack_values("prod")
    assert loaded(values)
    del values[f"gpt2-bots:{part}"]
    assert not loaded(values)


def test_what_is_not_configured_is_not_declared() -> None:
    values = stack_values("dev")
    del values["gpt2-bots:training"]
    values["gpt2-bots:accounts"]["keeper"].pop("post")
    recorder = declare("dev", values)
    assert not [r for r in recorder.resources if r.type.startswith("gcp:compute")]
    # The watcher belongs to no account. It repeats lost builds, which every stack may have.
    for kind in (JOB, "gcp:cloudscheduler/job:Job"):
        assert [job.inputs["name"] for job in recorder.of(kind)] == ["dev-watcher"]


def test_a_machine_is_declared_only_if_the_stack_file_names_a_run() -> None:
    values = stack_values("prod")
    machine = "gcp:compute/instanceFromTemplate:InstanceFromTemplate"
    assert not declare("prod", values).any_of(machine)
    values["gpt2-bots:training"]["run"] = "2026-11-23"
    vm = declare("prod", values).one(machine)
    assert vm.inputs["name"] == "train-prod-2026-11-23"
    # Metadata would replace the template's metadata, which has the start-up.
    assert "metadata" not in vm.inputs
    assert vm.inputs["scheduling"]["instanceTerminationAction"] == "STOP"


def test_a_job_is_tried_again_once_and_no_oftener(declared: Recorder) -> None:
    """One retry is for a container that was killed.

    After an outage the schedule's next tick tries again. More retries would only cost more: each
    may buy tweets, or start machines.
    """
    for job in declared.of(JOB):
        assert job.inputs["template"]["template"]["maxRetries"] == 1


def test_a_machine_has_a_hard_limit_and_is_never_restarted(declared: Recorder) -> None:
    for kind in ("instanceTemplate:InstanceTemplate", "instanceFromTemplate:InstanceFromTemplate"):
        for one in declared.of(f"gcp:compute/{kind}"):
            scheduling = one.inputs["scheduling"]
            assert scheduling["onHostMaintenance"] == "TERMINATE"
            assert scheduling["automaticRestart"] is False
            assert scheduling["maxRunDuration"]["seconds"] > 0


def test_user_data_is_cloud_config_that_names_the_trainer_by_digest(declared: Recorder) -> None:
    for template in declared.of("gcp:compute/instanceTemplate:InstanceTemplate"):
        text = template.inputs["metadata"]["user-data"]
        assert text.startswith("#cloud-config\n")
        files = {f["path"]: f["content"] for f in yaml.safe_load(text)["write_files"]}
        machine = files["/etc/trainer/machine.env"]
        assert "@sha256:" in machine
        # The names by which the machine checks its run's result and fetches the base model.
        assert "RESULT=runs/MACHINE/result.json\n" in machine
        assert re.search(r"^BASE=base/\w+/$", machine, re.MULTILINE)
        assert "ExecStopPost" in files["/etc/systemd/system/trainer.service"]


def test_jobs_and_secrets_are_not_protected_from_deletion(
    declared: Recorder,
) -> None:
    for job in declared.of(JOB):
        assert job.inputs["deletionProtection"] is False
    for secret in declared.of(SECRET):
        assert secret.inputs["deletionProtection"] is False


def test_services_are_never_disabled_on_destroy(declared: Recorder) -> None:
    for service in declared.of("gcp:projects/service:Service"):
        assert service.inputs["disableOnDestroy"] is False


def test_buckets_are_private_and_delete_only_old_versions(declared: Recorder) -> None:
    buckets = declared.of("gcp:storage/bucket:Bucket")
    assert len(buckets) == 2
    for bucket in buckets:
        assert bucket.inputs["publicAccessPrevention"] == "enforced"
        assert bucket.inputs["uniformBucketLevelAccess"] is True
        assert bucket.inputs["versioning"] == {"enabled": True}
        for rule in bucket.inputs["lifecycleRules"]:
            assert (
                rule["action"]["type"] == "AbortIncompleteMultipartUpload"
                or rule["condition"]["withState"] == "ARCHIVED"
            )


def test_only_a_throw_away_stack_deletes_buckets_with_their_objects() -> None:
    forced = {
        environment: {
            b.inputs["forceDestroy"]
            for b in declare(environment, stack_values(environment)).of("gcp:storage/bucket:Bucket")
        }
        for environment in ENVIRONMENTS
    }
    assert forced == {"local": {True}, "dev": {True}, "prod": {False}}


def test_grants_are_of_service_accounts_and_never_primitive_or_public(declared: Recorder) -> None:
    viewers = f"projectViewer:{declared.project}"
    for r in declared.resources:
        assert not r.type.endswith(("IAMPolicy", "IamPolicy"))
        if "role" in r.inputs:
            assert r.inputs["role"] not in {"roles/owner", "roles/editor", "roles/viewer"}
            for member in r.inputs.get("members") or [r.inputs["member"]]:
                assert member.startswith("serviceAccount:") or member == viewers


def test_objects_are_read_and_written_under_prefixes_only(declared: Recorder) -> None:
    for grant in declared.of("gcp:storage/bucketIAMMember:BucketIAMMember"):
        assert grant.inputs["role"].startswith("roles/storage.object")
        expression = grant.inputs["condition"]["expression"]
        assert f"/buckets/{grant.inputs['bucket']}/objects/" in expression


def test_each_bucket_has_one_grant_to_list(declared: Recorder) -> None:
    bindings = declared.of("gcp:storage/bucketIAMBinding:BucketIAMBinding")
    assert {b.inputs["bucket"].rpartition("-")[2] for b in bindings} == {"data", "models"}
    for binding in bindings:
        assert binding.inputs["role"] == "roles/storage.legacyBucketReader"
        # Google grants it to them on every new bucket, and a binding would take it away.
        assert f"projectViewer:{declared.project}" in binding.inputs["members"]


def test_an_account_can_be_removed_although_its_folder_has_posts(declared: Recorder) -> None:
    for folder in declared.of("gcp:storage/managedFolder:ManagedFolder"):
        assert folder.inputs["forceDestroy"] is True


def test_a_poster_may_use_its_own_posts_and_secret_and_no_others(declared: Recorder) -> None:
    for job in declared.of(JOB, posts):
        template = job.inputs["template"]["template"]
        env = {e["name"]: e for e in container(job)["envs"]}
        account, member = env["ACCOUNT"]["value"], f"serviceAccount:{template['serviceAccount']}"
        granted = [r for r in declared.resources if r.inputs.get("member") == member]
        written = [r for r in granted if r.inputs["role"] == "roles/storage.objectUser"]
        assert [w.inputs["managedFolder"] for w in written] == [f"posts/{account}/"]
        (secret,) = [r for r in granted if r.inputs["role"].endswith("secretAccessor")]
        (keys,) = declared.of(
            SECRET, lambda s, of=secret: s.inputs["secretId"] == of.inputs["secretId"]
        )
        assert env["X_KEYS_SECRET"]["value"] == f"{keys.name}-id"


def test_a_schedule_starts_its_own_job_with_an_oauth_token(declared: Recorder) -> None:
    jobs = {j.inputs["name"]: j for j in declared.of(JOB)}
    schedules = declared.of("gcp:cloudscheduler/job:Job")
    assert {s.inputs["name"] for s in schedules} == set(jobs)
    for schedule in schedules:
        target = schedule.inputs["httpTarget"]
        job = jobs[schedule.inputs["name"]]
        assert target["uri"] == f"https://run.googleapis.com/v2/{job.name}-id:run"
        assert target["httpMethod"] == "POST"
        assert "oidcToken" not in target
        assert "oauthToken" in target


def test_a_posters_schedule_and_its_jobs_environment_agree(declared: Recorder) -> None:
    schedules = {s.inputs["name"]: s.inputs for s in declared.of("gcp:cloudscheduler/job:Job")}
    for job in declared.of(JOB, posts):
        env = {e["name"]: e.get("value") for e in container(job)["envs"]}
        schedule = schedules[job.inputs["name"]]
        assert (env["SCHEDULE"], env["TIME_ZONE"]) == (schedule["schedule"], schedule["timeZone"])
        assert f"{env['TASK_TIMEOUT']}s" == job.inputs["template"]["template"]["timeout"]


def test_posters_run_the_live_tag_and_scrapers_a_digest(declared: Recorder) -> None:
    for job in declared.of(JOB, posts):
        assert container(job)["image"].endswith(":live")
    for job in declared.of(JOB, lambda job: not posts(job)):
        assert "@sha256:" in container(job)["image"]


def test_cloud_storage_may_publish_before_it_has_to_notify(declared: Recorder) -> None:
    grant = declared.one("gcp:pubsub/topicIAMMember:TopicIAMMember", "storage-agent")
    assert grant.inputs["member"] == f"serviceAccount:{STORAGE_AGENT}"
    order = [(r.type, r.name) for r in declared.resources]
    notification = ("gcp:storage/notification:Notification", "pointers")
    assert order.index((grant.type, grant.name)) < order.index(notification)


def test_a_build_gets_text_from_outside_only_as_a_value(declared: Recorder) -> None:
    trigger = declared.one("gcp:cloudbuild/trigger:Trigger")
    steps = {step["id"]: step for step in trigger.inputs["build"]["steps"]}
    for name in ("fetch", "live"):
        assert "OBJECT=$_OBJECT" in steps[name]["envs"]
        assert steps[name]["args"] == [name]
    for name in ("open", "bundle"):
        # Cloud Build makes no substitutions in a script.
        assert "script" in steps[name]
        assert "$_" not in str(steps[name].get("envs"))
    assert trigger.inputs["build"]["options"]["logging"] == "CLOUD_LOGGING_ONLY"


def test_a_pointers_event_starts_a_build_and_a_keep_alive_message_does_not(
    declared: Recorder,
) -> None:
    trigger = declared.one("gcp:cloudbuild/trigger:Trigger")
    lets_through = filters.parse(trigger.inputs["filter"])
    taken = {
        name: place.removeprefix("$(body.message.attributes.").removesuffix(")")
        for name, place in trigger.inputs["substitutions"].items()
    }
    event = {"eventType": "OBJECT_FINALIZE", "objectId": "rollout/live/keeper.json"}
    assert lets_through({name: event[key] for name, key in taken.items()})
    assert not lets_through({name: KEEP_ALIVE[key] for name, key in taken.items()})


def test_builds_run_the_control_image_by_digest_in_the_build_region(
    declared: Recorder,
) -> None:
    trigger = declared.one("gcp:cloudbuild/trigger:Trigger")
    assert trigger.inputs["location"] == "global"
    images = {step["id"]: step["name"] for step in trigger.inputs["build"]["steps"]}
    assert images["fetch"] == images["live"]
    assert re.search("/control.*@sha256:", images["fetch"])
    # A tag without Docker's version would move.
    assert re.fullmatch(r"gcr\.io/cloud-builders/docker:[0-9]+\.[0-9]+\.[0-9]+", images["bundle"])


def test_a_release_is_tested_with_the_memory_of_the_job_that_posts(declared: Recorder) -> None:
    trigger = declared.one("gcp:cloudbuild/trigger:Trigger")
    (bundle,) = (s for s in trigger.inputs["build"]["steps"] if s["id"] == "bundle")
    memory = {container(job)["resources"]["limits"]["memory"] for job in declared.of(JOB, posts)}
    assert bundle["envs"] == [f"MEMORY={amount}" for amount in memory]
    for flag in ("--network none", "--cap-drop ALL", "no-new-privileges"):
        assert flag in bundle["script"]


def test_no_version_of_a_secret_is_declared(declared: Recorder) -> None:
    """A replaced version would be the newest, and would hide the operator's."""
    assert declared.of(SECRET)
    assert not declared.any_of("gcp:secretmanager/secretVersion:SecretVersion")


def test_no_output_is_turned_into_a_text_before_it_is_known(declared: Recorder) -> None:
    for resource in declared.resources:
        for value in walk(dict(resource.inputs)):
            assert "Calling __str__" not in str(value)


def test_the_base_pointer_names_the_app_by_digest_and_the_first_live_image(
    declared: Recorder,
) -> None:
    objects, pointers = "gcp:storage/bucketObject:BucketObject", layout.all_base_pointers()
    for pointer in declared.of(objects, lambda o: o.inputs["name"].startswith(pointers)):
        content = json.loads(pointer.inputs["content"]["value"])
        assert "/app@sha256:" in content["base"]
        assert ":live@sha256:" in content["seed"]


def test_a_mistake_in_the_stack_file_is_one_line_of_error() -> None:
    values = stack_values("dev")
    values["gpt2-bots:accounts"]["keeper"]["hande"] = "x"
    with pytest.raises(pulumi.RunError, match=r"keeper\.hande: unknown key; did you mean 'handle'"):
        declare("dev", values)


def test_the_stack_tells_the_version_of_the_program(declared: Recorder) -> None:
    assert declared.outputs["version"] == __version__


def test_the_recorder_refuses_an_empty_answer() -> None:
    recorder = Recorder("p")
    recorder.new_resource(MockResourceArgs("t", "n", {}))
    assert recorder.of("t") == [recorder.one("t")] == [recorder.one("t", "n")]
    for empty in (
        lambda: recorder.of("u"),
        lambda: recorder.of("t", lambda resource: resource.name == "m"),
        lambda: recorder.one("t", "m"),
    ):
        with pytest.raises(AssertionError, match=r"no such [tu] is declared"):
            empty()
    assert recorder.any_of("u") == []


def test_the_recorder_refuses_two_resources_of_one_name() -> None:
    recorder = Recorder("p")
    recorder.new_resource(MockResourceArgs("t", "n", {}))
    with pytest.raises(AssertionError, match="declared twice"):
        recorder.new_resource(MockResourceArgs("t", "n", {}))
