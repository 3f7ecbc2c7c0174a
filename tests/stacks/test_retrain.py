"""What is declared so that a run can be shared by workers, and begin on a schedule."""

import base64
import json
from typing import Any

import pytest

from pipeline.errors import UserError
from stacks import naming, stack_file
from tests.stacks.recorder import Recorder, declare, stack_values

MACHINE = "gcp:compute/instanceFromTemplate:InstanceFromTemplate"
TEMPLATE = "gcp:compute/instanceTemplate:InstanceTemplate"
WORKFLOW = "gcp:workflows/workflow:Workflow"


def training(**changes: Any) -> dict[str, Any]:
    """Production, with its training changed."""
    values = stack_values("prod")
    values["gpt2-bots:training"].update(changes)
    return values


@pytest.fixture(scope="module")
def declared() -> Recorder:
    return declare("prod", training(workers=2))


def test_workers_are_one_machine_each_and_share_the_runs_name() -> None:
    machines = declare("prod", training(run="2026-11-23", workers=3)).of(MACHINE)
    run = "train-prod-2026-11-23"
    assert [m.inputs["name"] for m in machines] == [f"{run}-{i}of3" for i in (1, 2, 3)]


def test_a_long_name_is_the_same_run_for_all_its_workers() -> None:
    names = naming.machines("production-of-a-long-name-indeed", "a" * 40, 20)
    assert len({name.rpartition("-")[0] for name in names}) == 1
    assert len(set(names)) == 20


def test_without_a_schedule_there_is_no_workflow_and_one_template() -> None:
    values = training()
    for key in ("schedule", "fallbacks"):
        del values["gpt2-bots:training"][key]
    recorder = declare("prod", values)
    assert not recorder.of(WORKFLOW)
    assert len(recorder.of(TEMPLATE)) == 1
    services = {s.inputs["service"] for s in recorder.of("gcp:projects/service:Service")}
    assert not {s for s in services if s.startswith("workflow")}


def test_the_schedule_starts_the_workflow_with_an_oauth_token(declared: Recorder) -> None:
    (workflow,) = declared.of(WORKFLOW)
    schedule = declared.one("gcp:cloudscheduler/job:Job", "retrain")
    target = schedule.inputs["httpTarget"]
    service = "https://workflowexecutions.googleapis.com/v1"
    assert target["uri"] == f"{service}/{workflow.name}-id/executions"
    assert target["httpMethod"] == "POST"
    assert set(target) == {"uri", "httpMethod", "headers", "body", "oauthToken"}
    assert workflow.inputs["deletionProtection"] is False


def test_the_workflow_is_told_everything_by_its_argument(declared: Recorder) -> None:
    schedule = declared.one("gcp:cloudscheduler/job:Job", "retrain")
    request = json.loads(base64.b64decode(schedule.inputs["httpTarget"]["body"]))
    assert json.loads(request["argument"]) == {
        "compute": "https://compute.googleapis.com/compute/v1/projects/example-bots-prod",
        "storage": "https://storage.googleapis.com",
        "bucket": "example-bots-prod-prod-models",
        "name": "train-prod-",
        "workers": ["-1of2", "-2of2"],
        "zones": ["europe-west4-a", "europe-west4-b", "europe-west4-c"],
        "templates": ["trainer-id", "trainer-n1-standard-4-1x-nvidia-tesla-t4-id"],
        "seconds": 4 * 3600 + 1800,
    }


def test_every_hardware_has_a_template_that_differs_in_nothing_else(declared: Recorder) -> None:
    first, fallback = (dict(t.inputs) for t in declared.of(TEMPLATE))
    assert fallback.pop("guestAccelerators") == [{"type": "nvidia-tesla-t4", "count": 1}]
    assert (first.pop("machineType"), fallback.pop("machineType")) == (
        "g2-standard-4",
        "n1-standard-4",
    )
    assert first == fallback


def test_a_template_deletes_its_machine_by_itself_in_the_end(declared: Recorder) -> None:
    for template in declared.of(TEMPLATE):
        scheduling = template.inputs["scheduling"]
        assert scheduling["instanceTerminationAction"] == "DELETE"
        assert scheduling["maxRunDuration"] == {"seconds": 4 * 3600}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"schedule": None}, "`fallbacks` are tried by scheduled runs only"),
        (
            {"fallbacks": [{"machine_type": "g2-standard-4"}]},
            "fallbacks: 'g2-standard-4' is tried already",
        ),
    ],
)
def test_fallbacks_that_would_do_nothing_are_refused(
    changes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(UserError, match=complaint):
        stack_file.load("prod", training(**changes))
