"""Workflows: what is refused where one is declared, and what becomes of one that a tick starts."""

import base64
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from local.cloud import Cloud
from tests.local.conftest import Clouds
from tests.local.declaring import (
    ACCOUNT,
    PROJECT,
    PROJECT_GRANT,
    REGION,
    SCHEDULE,
    WORKFLOW,
    Declarer,
    Refused,
)

SOURCE = "main:\n  steps:\n    - done:\n        return: 1\n"


def declared(declarer: Declarer, **changes: Any) -> dict[str, Any]:
    account = declarer.declare(ACCOUNT, "runner", accountId="runner")
    inputs = {
        "name": "retrain",
        "serviceAccount": account["id"],
        "sourceContents": SOURCE,
        "deletionProtection": False,
    }
    return declarer.declare(WORKFLOW, "retrain", **{**inputs, **changes})


def scheduled(declarer: Declarer, workflow: str, **changes: Any) -> None:
    caller = declarer.declare(ACCOUNT, "caller", accountId="caller-account")
    declarer.declare(
        PROJECT_GRANT,
        "caller",
        project="test-project",
        role="roles/workflows.invoker",
        member=caller["member"],
    )
    body = json.dumps({"argument": json.dumps({"zones": []})})
    target = {
        "uri": f"https://workflowexecutions.googleapis.com/v1/{workflow}/executions",
        "httpMethod": "POST",
        "body": base64.b64encode(body.encode()).decode(),
        "oauthToken": {"serviceAccountEmail": caller["email"]},
    }
    declarer.declare(
        SCHEDULE,
        "retrain",
        name="retrain",
        schedule="0 2 * * 1",
        httpTarget={key: value for key, value in {**target, **changes}.items() if value},
    )


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"name": "2-retrain"}, "name: '2-retrain' is not 1 to 64"),
        ({"sourceContents": "main: {"}, "sourceContents: is not YAML"),
        ({"sourceContents": "- done:\n    return: 1"}, "sourceContents: has no workflow `main`"),
        ({"sourceContents": SOURCE + "#" * 131072}, r"sourceContents: \d+ bytes are more than"),
        ({"serviceAccount": "no-one@test-project.iam.gserviceaccount.com"}, "does not exist"),
    ],
)
def test_what_workflows_refuses_is_refused(
    declarer: Declarer, changes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(Refused, match=complaint):
        declared(declarer, **changes)


def test_a_workflow_that_is_protected_cannot_be_removed(declarer: Declarer) -> None:
    declared(declarer, deletionProtection=True)
    with pytest.raises(Refused, match="retrain is protected: set deletionProtection to false"):
        declarer.remove(WORKFLOW, "retrain")


def test_every_change_is_a_new_revision(declarer: Declarer) -> None:
    first = declared(declarer)["revisionId"]
    assert declared(declarer, sourceContents=SOURCE + "# more\n")["revisionId"] > first


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"httpMethod": "GET"}, "404: GET .* use POST"),
        ({"oauthToken": None}, "401: the call carries no token"),
        (
            {"oauthToken": {"serviceAccountEmail": "me@elsewhere.example"}},
            "403: serviceAccount:me@elsewhere.example lacks workflows.executions.create",
        ),
        (
            {"body": base64.b64encode(b'{"argument": {}}').decode()},
            "400: the argument is not JSON as text",
        ),
        (
            {
                "uri": "https://workflowexecutions.googleapis.com/v1/projects/p/locations/r"
                "/workflows/x/executions"
            },
            "404: .* names no workflow that exists",
        ),
    ],
)
def test_a_tick_says_what_became_of_the_call(
    cloud: Cloud, declarer: Declarer, changes: dict[str, Any], answer: str
) -> None:
    scheduled(declarer, declared(declarer)["id"], **changes)
    (fired,) = cloud.tick()
    assert re.match(answer, fired.attempt.error)
    assert fired.execution is None


MACHINE = f"projects/{PROJECT}/zones/{REGION}-a/instances/m"
# Makes one call as itself.
LOOK = f"""
main:
  params: [args]
  steps:
    - ask:
        call: http.get
        args:
          url: https://compute.googleapis.com/compute/v1/{MACHINE}
          auth: {{type: OAuth2}}
"""


# Waits for a day, which takes no day.
PATIENT = """
main:
  params: [args]
  steps:
    - tell:
        call: sys.log
        args: {text: begun, severity: NOTICE}
    - pause:
        call: sys.sleep
        args: {seconds: 86400}
    - done:
        return: ${len(args.zones)}
"""
ENDLESS = """
main:
  steps:
    - wait:
        call: sys.sleep
        args: {seconds: 60}
        next: wait
"""


def test_a_tick_executes_the_workflow_with_its_argument_and_waits_for_its_end(
    cloud: Cloud, declarer: Declarer
) -> None:
    scheduled(declarer, declared(declarer, sourceContents=PATIENT)["id"])
    (fired,) = cloud.tick()
    assert fired.attempt.error == ""
    assert fired.execution is not None
    assert fired.execution.outcome == "succeeded"
    said = fired.execution.log.read_text()
    assert '"severity": "NOTICE", "message": "begun"' in said
    assert '"result": 0' in said
    assert fired.execution.name in [e["name"] for e in cloud.status()["executions"]]


def test_a_workflow_acts_as_its_account_alone(cloud: Cloud, declarer: Declarer) -> None:
    scheduled(declarer, declared(declarer, sourceContents=LOOK)["id"])
    (fired,) = cloud.tick()
    assert fired.execution is not None
    assert fired.execution.outcome == "failed"
    runner = "serviceAccount:runner@test-project.iam.gserviceaccount.com"
    assert f"{runner} lacks compute.instances.get on {MACHINE}" in fired.execution.reason
    declarer.declare(
        PROJECT_GRANT,
        "runner",
        project=PROJECT,
        role="roles/compute.viewer",
        member=runner,
    )
    (fired,) = cloud.tick()
    assert fired.execution is not None
    assert f"The resource '{MACHINE}' was not found" in fired.execution.reason


def test_a_definition_that_is_none_fails_and_says_why(cloud: Cloud, declarer: Declarer) -> None:
    scheduled(declarer, declared(declarer, sourceContents="main:\n  stepps: []\n")["id"])
    (fired,) = cloud.tick()
    assert fired.execution is not None
    assert "the definition is none" in fired.execution.reason


def test_a_log_that_the_account_may_not_write_is_told(cloud: Cloud, declarer: Declarer) -> None:
    scheduled(declarer, declared(declarer)["id"])
    (fired,) = cloud.tick()
    assert fired.execution is not None
    lacks = "lacks logging.logEntries.create"
    assert lacks in fired.execution.log.read_text()


def test_what_ran_when_the_cloud_stopped_is_cancelled(clouds: Clouds) -> None:
    cloud = clouds("home")
    declarer = Declarer(cloud)
    scheduled(declarer, declared(declarer, sourceContents=ENDLESS)["id"])
    declarer.close()
    with ThreadPoolExecutor(1) as pool:
        ticking = pool.submit(cloud.tick)
        while not cloud.executions.all():
            time.sleep(0.01)
        cloud.stop()
        (fired,) = ticking.result()
    assert fired.execution is not None
    assert fired.execution.outcome == "cancelled"
