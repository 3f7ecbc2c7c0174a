"""Cloud Run jobs: what is declared is what happens."""

import threading
import time
from datetime import timedelta

import pytest

from local.cloud import Cloud
from local.services.run.executions import Execution
from tests.local.declaring import (
    INDEX,
    JOB,
    REGISTRY,
    SECRET,
    SECRET_GRANT,
    Declarer,
    Refused,
    log,
)

SAYS = "import os, sys; print(sys.argv[1:], os.environ.get('WHAT'))"


def run(cloud: Cloud, job: str) -> Execution:
    execution = cloud.run(job)
    assert isinstance(execution, Execution)
    return execution


def secret(declarer: Declarer, name: str, data: str, *readers: str) -> None:
    declarer.declare(SECRET, name, secretId=name, replication={"auto": {}})
    declarer.cloud.secrets.add_version(name, data.encode())
    for reader in readers:
        declarer.declare(
            SECRET_GRANT,
            f"{name}-{reader}",
            secretId=name,
            role="roles/secretmanager.secretAccessor",
            member=f"serviceAccount:{reader}",
        )


def from_secret(variable: str, name: str, version: str = "latest") -> dict[str, object]:
    reference = {"secret": name, "version": version}
    return {"name": variable, "valueSource": {"secretKeyRef": reference}}


def test_arguments_and_environment_are_the_declared_ones(cloud: Cloud, declarer: Declarer) -> None:
    image = declarer.image("says", SAYS)
    declarer.job("greet", image, args=["hello"], envs=[{"name": "WHAT", "value": "one"}])
    assert "['hello'] one" in log(run(cloud, "greet").log)
    declarer.job("greet", image, args=["bye"], envs=[{"name": "WHAT", "value": "two"}])
    assert "['bye'] two" in log(run(cloud, "greet").log)


def test_a_declared_command_replaces_the_images_entry_point(
    cloud: Cloud, declarer: Declarer
) -> None:
    image = declarer.image("says", SAYS)
    declarer.job("other", image, commands=["python", "-c"], args=["print('instead')"])
    assert "instead" in log(run(cloud, "other").log)


def test_a_changed_entry_point_in_the_dockerfile_changes_what_runs(
    cloud: Cloud, declarer: Declarer
) -> None:
    image = declarer.image("says", SAYS, '["python", "-c", "print(1 + 1)"]')
    declarer.job("two", image)
    assert "2\n" in log(run(cloud, "two").log)


def test_each_execution_runs_what_the_tag_means_then(cloud: Cloud, declarer: Declarer) -> None:
    first = declarer.image("first", "print('first')")
    second = declarer.image("second", "print('second')")
    live = f"{REGISTRY}/bot:live"
    declarer.declare(INDEX, "live", tag=live, sources=[first], push=True)
    declarer.job("post", live)
    before = run(cloud, "post")
    cloud.context.runtime.retag(live, second)
    after = run(cloud, "post")
    assert "first" in log(before.log)
    assert "second" in log(after.log)
    assert before.image != after.image


def test_secrets_come_as_their_latest_version(cloud: Cloud, declarer: Declarer) -> None:
    poster = declarer.account("poster")
    image = declarer.image("says", "import os; print(len(os.environ['KEY']))")
    secret(declarer, "key", "unset", poster["email"])
    declarer.job("post", image, envs=[from_secret("KEY", "key")], serviceAccount=poster["email"])
    assert "5\n" in log(run(cloud, "post").log)
    cloud.secrets.add_version("key", b"something longer")
    assert "16\n" in log(run(cloud, "post").log)


def test_a_job_is_refused_while_its_image_is_not_pushed(declarer: Declarer) -> None:
    with pytest.raises(Refused, match=r"Image '.*/bots/absent:live' not found"):
        declarer.job("post", f"{REGISTRY}/absent:live")


def test_a_job_is_refused_while_a_secret_has_no_version(declarer: Declarer) -> None:
    poster = declarer.account("poster")
    image = declarer.image("says", SAYS)
    secret(declarer, "other", "unset", poster["email"])
    declarer.declare(SECRET, "key", secretId="key", replication={"auto": {}})
    declarer.declare(
        SECRET_GRANT,
        "key",
        secretId="key",
        role="roles/secretmanager.secretAccessor",
        member=poster["member"],
    )
    with pytest.raises(Refused, match=r"secrets/key/versions/latest was not found"):
        declarer.job(
            "post", image, envs=[from_secret("KEY", "key")], serviceAccount=poster["email"]
        )


def test_a_job_is_refused_while_its_account_may_not_read_its_secret(declarer: Declarer) -> None:
    poster = declarer.account("poster")
    image = declarer.image("says", SAYS)
    secret(declarer, "key", "unset")
    with pytest.raises(Refused, match=r"poster-account.*lacks secretmanager.versions.access"):
        declarer.job(
            "post", image, envs=[from_secret("KEY", "key")], serviceAccount=poster["email"]
        )


def test_a_job_is_refused_for_an_account_that_does_not_exist(declarer: Declarer) -> None:
    image = declarer.image("says", SAYS)
    nobody = "nobody@test-project.iam.gserviceaccount.com"
    with pytest.raises(Refused, match=f"{nobody} does not exist"):
        declarer.job("post", image, serviceAccount=nobody)


def test_a_grant_that_is_removed_stops_the_next_execution(cloud: Cloud, declarer: Declarer) -> None:
    poster = declarer.account("poster")
    image = declarer.image("says", SAYS)
    secret(declarer, "key", "unset", poster["email"])
    declarer.job("post", image, envs=[from_secret("KEY", "key")], serviceAccount=poster["email"])
    declarer.remove(SECRET_GRANT, f"key-{poster['email']}")
    execution = run(cloud, "post")
    assert execution.outcome == "failed"
    assert "Permission denied on secret" in execution.reason
    assert execution.attempts == 0


def test_a_failed_task_is_tried_again_as_often_as_declared(
    cloud: Cloud, declarer: Declarer
) -> None:
    program = "import os, sys; sys.exit(3 if os.environ['CLOUD_RUN_TASK_ATTEMPT'] < '2' else 0)"
    image = declarer.image("flaky", program)
    declarer.job("flaky", image, maxRetries=1)
    failed = run(cloud, "flaky")
    assert (failed.outcome, failed.exit_codes) == ("failed", [3, 3])
    assert failed.reason == "the container exited with 3"
    declarer.job("flaky", image, maxRetries=2)
    succeeded = run(cloud, "flaky")
    assert (succeeded.outcome, succeeded.exit_codes) == ("succeeded", [3, 3, 0])


def test_a_programs_last_error_is_the_reason_of_the_failure(
    cloud: Cloud, declarer: Declarer
) -> None:
    program = (
        "import json, sys; print(json.dumps({'severity': 'ERROR', 'message': 'no keys'})); "
        "sys.exit(1)"
    )
    declarer.job("sad", declarer.image("sad", program))
    assert run(cloud, "sad").reason == "the container exited with 1: no keys"


def test_a_task_is_ended_when_its_timeout_is_over(cloud: Cloud, declarer: Declarer) -> None:
    program = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))\n"
        "print('begun', flush=True)\n"
        "time.sleep(300)\n"
    )
    image = declarer.image("slow", program)
    declarer.job("slow", image, timeout="1s")
    started = time.monotonic()
    execution = run(cloud, "slow")
    assert time.monotonic() - started < 30
    assert execution.outcome == "failed"
    assert execution.exit_codes == [9]
    assert execution.reason == "the task ran longer than its timeout of 1 s"


def test_every_task_of_an_execution_knows_its_number(cloud: Cloud, declarer: Declarer) -> None:
    program = (
        "import os; e = os.environ; print('task', e['CLOUD_RUN_TASK_INDEX'], 'of', "
        "e['CLOUD_RUN_TASK_COUNT'], e['CLOUD_RUN_JOB'], e['CLOUD_RUN_EXECUTION'])"
    )
    declarer.job("many", declarer.image("many", program), taskCount=2)
    execution = run(cloud, "many")
    said = sorted(line for line in log(execution.log).splitlines() if line.startswith("task"))
    assert said == [f"task {n} of 2 many {execution.name}" for n in (0, 1)]


def test_an_execution_has_its_jobs_service_account_and_the_clouds_time(
    cloud: Cloud, declarer: Declarer
) -> None:
    program = (
        "import os, urllib.request as u\n"
        "where = 'instance/service-accounts/default/email'\n"
        "url = f\"http://{os.environ['GCE_METADATA_HOST']}/computeMetadata/v1/{where}\"\n"
        "asked = u.Request(url, headers={'Metadata-Flavor': 'Google'})\n"
        "print(u.urlopen(asked).read().decode(), os.environ['CLOCK'][:10])\n"
    )
    poster = declarer.account("poster")
    declarer.job("who", declarer.image("who", program), serviceAccount=poster["email"])
    cloud.clock.advance_to(cloud.clock.now() + timedelta(days=400))
    said = log(run(cloud, "who").log)
    assert f"{poster['email']} {cloud.clock.now():%Y-%m-%d}" in said


def test_a_protected_job_is_not_deleted(declarer: Declarer) -> None:
    image = declarer.image("says", SAYS)
    template = {"template": {"containers": [{"image": image}]}}
    declarer.declare(JOB, "kept", name="kept", location="europe-west4", template=template)
    with pytest.raises(Refused, match="kept is protected: set deletionProtection to false"):
        declarer.remove(JOB, "kept")


def test_an_execution_gets_sigterm_and_is_cancelled_when_the_cloud_stops(
    cloud: Cloud, declarer: Declarer
) -> None:
    program = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit('asked to end'))\n"
        "print('begun', flush=True)\n"
        "time.sleep(300)\n"
    )
    declarer.job("slow", declarer.image("slow", program))
    running = threading.Thread(target=cloud.run, args=["slow"])
    running.start()
    while not (cloud.executions.all() and "begun" in log(cloud.executions.all()[0].log)):
        time.sleep(0.01)
    cloud.stop()
    running.join()
    (execution,) = cloud.executions.all()
    assert execution.outcome == "cancelled"
    assert "asked to end" in log(execution.log)
