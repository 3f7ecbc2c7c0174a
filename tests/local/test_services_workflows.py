"""Workflows: what is refused where one is declared, and what a schedule that starts one meets."""

import base64
import json
import re
from typing import Any

import pytest

from local.cloud import Cloud
from tests.local.declaring import ACCOUNT, PROJECT_GRANT, SCHEDULE, WORKFLOW, Declarer, Refused

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
        ({}, "501: retrain may be started, and was not: the local cloud does not execute"),
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
