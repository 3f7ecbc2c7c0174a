"""Invariants of what the real program declares, for every environment."""

import json
import re
import subprocess
import sys
from typing import Any

import pulumi
import pytest
import yaml
from pulumi.runtime.mocks import MockResourceArgs

from control_image.rollout import KEEP_ALIVE
from local.services import filters
from tests.stacks.recorder import ROOT, STORAGE_AGENT, Recorder, declare, stack_values

ENVIRONMENTS = ["local", "dev", "prod"]
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


def walk(value: Any) -> list[Any]:
    """Every value inside nested inputs."""
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
    assert all("aaa" in name for _, name in new)
    unchanged = {(r.type, r.name): r.inputs for r in after.resources}
    # Alerts name the jobs that they watch; tests/stacks/test_monitoring.py says how far that goes.
    # Who may list a bucket stands in one grant.
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
def test_of_the_sdk_nothing_is_loaded_that_the_stack_declares_none_of(part: str) -> None:
    package = {"training": "compute", "monitoring": "monitoring"}[part]

    def loaded(values: dict[str, Any]) -> bool:
        # In a process of its own, since modules stay loaded; the packages themselves are lazy.
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
    # The watcher is no account's: it heals lost builds wherever there may be some.
    for kind in ("gcp:cloudrunv2/job:Job", "gcp:cloudscheduler/job:Job"):
        assert [job.inputs["name"] for job in recorder.of(kind)] == ["dev-watcher"]


def test_a_machine_is_declared_only_where_the_stack_file_names_a_run() -> None:
    values = stack_values("prod")
    machine = "gcp:compute/instanceFromTemplate:InstanceFromTemplate"
    assert not declare("prod", values).of(machine)
    values["gpt2-bots:training"]["run"] = "2026-11-23"
    (vm,) = declare("prod", values).of(machine)
    assert vm.inputs["name"] == "train-prod-2026-11-23"
    # Overriding metadata would replace the template's, and with it the start-up.
    assert "metadata" not in vm.inputs
    assert vm.inputs["scheduling"]["instanceTerminationAction"] == "STOP"


def test_a_machine_has_a_hard_limit_and_is_never_restarted(declared: Recorder) -> None:
    for kind in ("instanceTemplate:InstanceTemplate", "instanceFromTemplate:InstanceFromTemplate"):
        found = declared.of(f"gcp:compute/{kind}")
        assert found
        for one in found:
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
        # By which the machine asks whether its run is finished, and fetches the base model.
        assert "RESULT=runs/MACHINE/result.json\n" in machine
        assert re.search(r"^BASE=base/\w+/$", machine, re.MULTILINE)
        assert "ExecStopPost" in files["/etc/systemd/system/trainer.service"]


def test_nothing_is_protected_from_deletion_that_a_redeploy_must_remove(
    declared: Recorder,
) -> None:
    for job in declared.of("gcp:cloudrunv2/job:Job"):
        assert job.inputs["deletionProtection"] is False
    for secret in declared.of("gcp:secretmanager/secret:Secret"):
        assert secret.inputs["deletionProtection"] is False


def test_services_are_never_disabled_on_destroy(declared: Recorder) -> None:
    for service in declared.of("gcp:projects/service:Service"):
        assert service.inputs["disableOnDestroy"] is False


def test_buckets_are_private_and_lose_only_old_versions(declared: Recorder) -> None:
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


def test_only_a_throw_away_stack_destroys_buckets_with_their_content() -> None:
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


def test_a_name_is_asked_for_by_all_who_may_list_and_by_one_grant(declared: Recorder) -> None:
    bindings = declared.of("gcp:storage/bucketIAMBinding:BucketIAMBinding")
    assert {b.inputs["bucket"].rpartition("-")[2] for b in bindings} == {"data", "models"}
    for binding in bindings:
        assert binding.inputs["role"] == "roles/storage.legacyBucketReader"
        # As Google has it on every new bucket: a binding takes from all whom it does not name.
        assert f"projectViewer:{declared.project}" in binding.inputs["members"]


def test_removing_an_account_is_not_refused_for_its_posts(declared: Recorder) -> None:
    folders = declared.of("gcp:storage/managedFolder:ManagedFolder")
    assert folders
    for folder in folders:
        assert folder.inputs["forceDestroy"] is True


def test_a_poster_reaches_its_own_posts_and_secret_and_no_others(declared: Recorder) -> None:
    for job in declared.of("gcp:cloudrunv2/job:Job"):
        template = job.inputs["template"]["template"]
        if template["containers"][0].get("args") != ["post"]:
            continue
        env = {e["name"]: e for e in template["containers"][0]["envs"]}
        account, member = env["ACCOUNT"]["value"], f"serviceAccount:{template['serviceAccount']}"
        granted = [r for r in declared.resources if r.inputs.get("member") == member]
        written = [r for r in granted if r.inputs["role"] == "roles/storage.objectUser"]
        assert [w.inputs["managedFolder"] for w in written] == [f"posts/{account}/"]
        (secret,) = [r for r in granted if r.inputs["role"].endswith("secretAccessor")]
        (keys,) = [
            s
            for s in declared.of("gcp:secretmanager/secret:Secret")
            if s.inputs["secretId"] == secret.inputs["secretId"]
        ]
        assert env["X_KEYS_SECRET"]["value"] == f"{keys.name}-id"


def test_a_schedule_starts_its_own_job_with_an_oauth_token(declared: Recorder) -> None:
    jobs = {j.inputs["name"]: j for j in declared.of("gcp:cloudrunv2/job:Job")}
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
    for job in declared.of("gcp:cloudrunv2/job:Job"):
        container = job.inputs["template"]["template"]["containers"][0]
        if container.get("args") != ["post"]:
            continue
        env = {e["name"]: e.get("value") for e in container["envs"]}
        schedule = schedules[job.inputs["name"]]
        assert (env["SCHEDULE"], env["TIME_ZONE"]) == (schedule["schedule"], schedule["timeZone"])
        assert f"{env['TASK_TIMEOUT']}s" == job.inputs["template"]["template"]["timeout"]


def test_posters_run_the_live_tag_and_scrapers_a_digest(declared: Recorder) -> None:
    for job in declared.of("gcp:cloudrunv2/job:Job"):
        container = job.inputs["template"]["template"]["containers"][0]
        if container.get("args") == ["post"]:
            assert container["image"].endswith(":live")
        else:
            assert "@sha256:" in container["image"]


def test_storage_may_publish_before_it_is_told_to_notify(declared: Recorder) -> None:
    grant = declared.one("gcp:pubsub/topicIAMMember:TopicIAMMember", "storage-agent")
    assert grant.inputs["member"] == f"serviceAccount:{STORAGE_AGENT}"
    order = [(r.type, r.name) for r in declared.resources]
    notification = ("gcp:storage/notification:Notification", "pointers")
    assert order.index((grant.type, grant.name)) < order.index(notification)


def test_text_from_outside_reaches_the_build_as_a_value_only(declared: Recorder) -> None:
    (trigger,) = declared.of("gcp:cloudbuild/trigger:Trigger")
    steps = {step["id"]: step for step in trigger.inputs["build"]["steps"]}
    for name in ("fetch", "live"):
        assert "OBJECT=$_OBJECT" in steps[name]["envs"]
        assert steps[name]["args"] == [name]
    for name in ("open", "bundle"):
        # Cloud Build substitutes nothing in a script.
        assert "script" in steps[name]
        assert "$_" not in str(steps[name].get("envs"))
    assert trigger.inputs["build"]["options"]["logging"] == "CLOUD_LOGGING_ONLY"


def test_a_pointers_event_starts_a_build_and_a_message_that_keeps_alive_does_not(
    declared: Recorder,
) -> None:
    (trigger,) = declared.of("gcp:cloudbuild/trigger:Trigger")
    lets_through = filters.parse(trigger.inputs["filter"])
    taken = {
        name: place.removeprefix("$(body.message.attributes.").removesuffix(")")
        for name, place in trigger.inputs["substitutions"].items()
    }
    event = {"eventType": "OBJECT_FINALIZE", "objectId": "rollout/live/keeper.json"}
    assert lets_through({name: event[key] for name, key in taken.items()})
    assert not lets_through({name: KEEP_ALIVE[key] for name, key in taken.items()})


def test_builds_run_the_control_image_by_digest_where_the_stack_file_says(
    declared: Recorder,
) -> None:
    (trigger,) = declared.of("gcp:cloudbuild/trigger:Trigger")
    assert trigger.inputs["location"] == "global"
    images = {step["id"]: step["name"] for step in trigger.inputs["build"]["steps"]}
    assert images["fetch"] == images["live"]
    assert re.search("/control.*@sha256:", images["fetch"])
    # A tag without a version of Docker moves.
    assert re.fullmatch(r"gcr\.io/cloud-builders/docker:[0-9]+\.[0-9]+\.[0-9]+", images["bundle"])


def test_a_release_is_tried_in_the_memory_of_the_job_that_posts(declared: Recorder) -> None:
    (trigger,) = declared.of("gcp:cloudbuild/trigger:Trigger")
    (bundle,) = (s for s in trigger.inputs["build"]["steps"] if s["id"] == "bundle")
    jobs = [job.inputs["template"]["template"] for job in declared.of("gcp:cloudrunv2/job:Job")]
    memory = {
        container["resources"]["limits"]["memory"]
        for job in jobs
        for container in job["containers"]
        if container.get("args") == ["post"]
    }
    assert bundle["envs"] == [f"MEMORY={amount}" for amount in memory]
    for flag in ("--network none", "--cap-drop ALL", "no-new-privileges"):
        assert flag in bundle["script"]


def test_no_version_of_a_secret_is_declared(declared: Recorder) -> None:
    """One that were made anew would be the newest, and shadow the operator's."""
    assert declared.of("gcp:secretmanager/secret:Secret")
    assert not declared.of("gcp:secretmanager/secretVersion:SecretVersion")


def test_no_output_was_turned_into_text_before_it_was_known(declared: Recorder) -> None:
    for resource in declared.resources:
        for value in walk(dict(resource.inputs)):
            assert "Calling __str__" not in str(value)


def test_the_base_pointer_names_the_app_by_digest_and_the_seed(declared: Recorder) -> None:
    pointers = [
        r
        for r in declared.of("gcp:storage/bucketObject:BucketObject")
        if r.inputs["name"].startswith("rollout/base/")
    ]
    assert pointers
    for pointer in pointers:
        content = json.loads(pointer.inputs["content"]["value"])
        assert "/app@sha256:" in content["base"]
        assert ":live@sha256:" in content["seed"]


def test_a_mistake_in_the_stack_file_is_one_line_and_declares_nothing() -> None:
    values = stack_values("dev")
    values["gpt2-bots:accounts"]["keeper"]["hande"] = "x"
    with pytest.raises(pulumi.RunError, match=r"keeper\.hande: unknown key; did you mean 'handle'"):
        declare("dev", values)


def test_the_recorder_refuses_two_resources_of_one_name() -> None:
    recorder = Recorder("p")
    recorder.new_resource(MockResourceArgs("t", "n", {}))
    with pytest.raises(AssertionError, match="declared twice"):
        recorder.new_resource(MockResourceArgs("t", "n", {}))
