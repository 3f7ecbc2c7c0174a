"""Scheduled training, and runs that several machines share."""

import json
from typing import Any

import pytest

from pipeline import layout
from pipeline.errors import UserError
from pipeline.settings import Settings
from stacks import stack_file
from tests.stacks.recorder import UNIQUE_ID, Recorder, declare, stack_values

MACHINE = "gcp:compute/instanceFromTemplate:InstanceFromTemplate"
TEMPLATE = "gcp:compute/instanceTemplate:InstanceTemplate"
JOB = "gcp:cloudrunv2/job:Job"
ROLE = "gcp:projects/iAMCustomRole:IAMCustomRole"


def training(**changes: Any) -> dict[str, Any]:
    """Production, with its training changed."""
    values = stack_values("prod")
    values["gpt2-bots:training"].update(changes)
    return values


@pytest.fixture(scope="module")
def declared() -> Recorder:
    return declare("prod", training(workers=2))


def test_each_worker_has_a_machine_that_is_named_after_the_run() -> None:
    machines = declare("prod", training(run="2026-11-23", workers=3)).of(MACHINE)
    run = "train-prod-2026-11-23"
    assert [m.inputs["name"] for m in machines] == [f"{run}-{i}of3" for i in (1, 2, 3)]


def test_the_machines_of_a_run_with_a_long_name_share_its_name() -> None:
    names = layout.machines("production-of-a-long-name-indeed", "a" * 40, 20)
    assert len({name.rpartition("-")[0] for name in names}) == 1
    assert len(set(names)) == 20


def test_without_a_schedule_there_is_no_job_no_role_and_one_template() -> None:
    values = training()
    for key in ("schedule", "fallbacks"):
        del values["gpt2-bots:training"][key]
    recorder = declare("prod", values)
    assert "retrain" not in {job.name for job in recorder.of(JOB)}
    assert not recorder.any_of(ROLE)
    assert len(recorder.of(TEMPLATE)) == 1


def test_the_schedule_starts_the_job_in_its_time_zone(declared: Recorder) -> None:
    schedule = declared.one("gcp:cloudscheduler/job:Job", "retrain")
    given = stack_values("prod")["gpt2-bots:training"]
    assert schedule.inputs["schedule"] == given["schedule"]
    assert schedule.inputs["name"] == "prod-retrain"
    target = schedule.inputs["httpTarget"]
    assert target["uri"] == "https://run.googleapis.com/v2/retrain-id:run"


def test_the_jobs_environment_has_all_that_it_needs(declared: Recorder) -> None:
    job = declared.one(JOB, "retrain").inputs["template"]["template"]
    (container,) = job["containers"]
    assert container["args"] == ["retrain"]
    told = {variable["name"]: variable["value"] for variable in container["envs"]}
    assert json.loads(told.pop("ZONES")) == [f"europe-west4-{letter}" for letter in "abc"]
    assert json.loads(told.pop("TEMPLATES")) == [
        "trainer-id",
        "trainer-n1-standard-4-1x-nvidia-tesla-t4-id",
    ]
    Settings.model_validate_json(told.pop("SETTINGS"))
    assert told == {
        "DATA_BUCKET": "example-bots-prod-prod-data",
        "MODELS_BUCKET": "example-bots-prod-prod-models",
        "PROJECT": "example-bots-prod",
        "RUNS": "train-prod-",
        "WORKERS": "2",
        "SECONDS": str(4 * 3600 + 1800),
    }


def test_the_job_and_the_trainer_have_the_same_settings(declared: Recorder) -> None:
    job = declared.one(JOB, "retrain").inputs["template"]["template"]
    told = {v["name"]: v["value"] for v in job["containers"][0]["envs"]}
    user_data = declared.of(TEMPLATE)[0].inputs["metadata"]["user-data"]
    assert f"SETTINGS={told['SETTINGS']}" in " ".join(user_data.split())


def test_the_id_of_a_role_has_the_unique_id_of_its_holder(declared: Recorder) -> None:
    roles = declared.of(ROLE)
    assert {role.inputs["roleId"] for role in roles} == {
        f"prod_machine_starter_{UNIQUE_ID}",
        f"prod_machine_deleter_{UNIQUE_ID}",
    }


def test_the_templates_differ_only_in_their_hardware(declared: Recorder) -> None:
    first, fallback = (dict(t.inputs) for t in declared.of(TEMPLATE))
    assert fallback.pop("guestAccelerators") == [{"type": "nvidia-tesla-t4", "count": 1}]
    assert (first.pop("machineType"), fallback.pop("machineType")) == (
        "g2-standard-4",
        "n1-standard-4",
    )
    assert first == fallback


def test_the_machine_of_a_template_is_deleted_at_its_hard_limit(declared: Recorder) -> None:
    for template in declared.of(TEMPLATE):
        scheduling = template.inputs["scheduling"]
        assert scheduling["instanceTerminationAction"] == "DELETE"
        assert scheduling["maxRunDuration"] == {"seconds": 4 * 3600}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"schedule": None}, "only scheduled runs try `fallbacks`"),
        (
            {"fallbacks": [{"machine_type": "g2-standard-4"}]},
            "fallbacks: a run tries 'g2-standard-4' already",
        ),
    ],
)
def test_fallbacks_that_have_no_effect_are_an_error(
    changes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(UserError, match=complaint):
        stack_file.load("prod", training(**changes))
