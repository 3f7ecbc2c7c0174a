"""Accounts spread over Google Cloud projects: each project has all that its accounts need."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.errors import UserError
from stacks import config, stack_file
from tests.stacks.recorder import Recorder, declare, stack_values

FURTHER = "example-bots-more"


def spread() -> dict[str, Any]:
    """prod, with one of its two accounts in a further project."""
    values = stack_values("prod")
    values["gpt2-bots:accounts"]["baker"]["project"] = FURTHER
    return values


@pytest.fixture(scope="module")
def declared() -> Recorder:
    return declare("prod", spread())


def test_every_project_has_its_own_provider(declared: Recorder) -> None:
    providers = {p.inputs["project"] for p in declared.of("pulumi:providers:gcp")}
    assert providers == {"example-bots-prod", FURTHER}


def test_no_resource_has_a_default_provider(declared: Recorder) -> None:
    for resource in declared.of_google:
        assert resource.provider.startswith(("google::", f"{FURTHER}-google::", "billing::")), (
            resource
        )


def test_an_account_uses_only_its_own_project(declared: Recorder) -> None:
    buckets = {b.inputs["name"] for b in declared.of("gcp:storage/bucket:Bucket")}
    assert buckets == {
        f"{project}-prod-{role}"
        for project in ("example-bots-prod", FURTHER)
        for role in ("data", "models")
    }
    jobs = {
        job.inputs["name"]: {
            e["name"]: e.get("value")
            for e in job.inputs["template"]["template"]["containers"][0]["envs"]
        }
        for job in declared.of("gcp:cloudrunv2/job:Job")
        if "DATA_BUCKET" in str(job.inputs)
    }
    assert jobs["prod-baker-post"]["DATA_BUCKET"] == f"{FURTHER}-prod-data"
    assert jobs["prod-keeper-post"]["DATA_BUCKET"] == "example-bots-prod-prod-data"


def test_a_further_project_renames_nothing_of_the_first(declared: Recorder) -> None:
    before = declare("prod", stack_values("prod"))
    kept = {(r.type, r.name) for r in before.resources if "baker" not in r.name}
    assert kept <= {(r.type, r.name) for r in declared.resources}


def test_accounts_may_be_in_a_file_of_their_own(tmp_path: Path) -> None:
    values = stack_values("prod")
    accounts = values["gpt2-bots:accounts"]
    (tmp_path / "more.yaml").write_text(yaml.safe_dump({"baker": accounts.pop("baker")}))
    file = tmp_path / "Pulumi.prod.yaml"
    values["gpt2-bots:accounts_file"] = "more.yaml"
    file.write_text(yaml.safe_dump({"config": values}))
    assert {**stack_file.read(file).accounts} == {
        **stack_file.load("prod", stack_values("prod")).accounts
    }


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (None, "'more.yaml': there is no such file in the stack file"),
        ("- a", "'more.yaml': it does not map names to accounts"),
        ("a: [", "'more.yaml': not YAML"),
        ("keeper: {}", "accounts.keeper is in the stack file, too"),
        ("weather: {}", "accounts.weather.handle: missing"),
    ],
)
def test_the_error_for_a_wrong_file_of_accounts_says_what_is_wrong(
    tmp_path: Path, text: str | None, error: str
) -> None:
    if text is not None:
        (tmp_path / "more.yaml").write_text(text)
    values = {**stack_values("prod"), "gpt2-bots:accounts_file": "more.yaml"}
    with pytest.raises(UserError, match=re.escape(error)):
        stack_file.load("prod", values, tmp_path)


def test_each_project_holds_as_many_accounts_as_it_has_service_accounts_for() -> None:
    values = stack_values("prod")
    archive = {"source": "archive", "consent": "made up", "post": "0 9 * * *"}

    def accounts(number: int) -> dict[str, Any]:
        return {
            f"bot{n}": {**archive, "handle": f"bot{n}", "project": f"shard-{n // number:03}"}
            for n in range(number * 2)
        }

    values["gpt2-bots:accounts"] = accounts(config.MOST_ACCOUNTS)
    parts = stack_file.load("prod", values).by_project()
    assert [len(part.accounts) for part in parts] == [0, 90, 90]
    values["gpt2-bots:accounts"] = accounts(config.MOST_ACCOUNTS + 1)
    with pytest.raises(UserError, match="91 in project 'shard-000'"):
        stack_file.load("prod", values)


def test_each_project_has_its_share_of_the_limit_of_all_reads() -> None:
    def account(number: int, **changes: Any) -> dict[str, Any]:
        timeline = {"source": "timeline", "x_terms_acknowledged": True, "collect": "0 4 * * *"}
        return {"handle": f"handle{number}", "consent": "made up", **timeline, **changes}

    values = stack_values("prod")
    values["gpt2-bots:reads_usd_per_month"] = 10
    values["gpt2-bots:accounts"] = {
        "one": account(1, project="shard-one"),
        "two": account(2, project="shard-one"),
        "three": account(3, project="shard-two"),
        # It buys nothing, so it counts for nothing.
        "four": account(4, project="shard-two", collect=None),
    }
    parts = {part.project: part for part in stack_file.load("prod", values).by_project()}
    shares = {project: str(part.reads_usd_per_month) for project, part in parts.items()}
    assert shares == {"example-bots-prod": "0.00", "shard-one": "6.66", "shard-two": "3.33"}
    environments = {
        name: {e["name"]: e.get("value") for e in container["envs"]}
        for job in declare("prod", values).of("gcp:cloudrunv2/job:Job")
        for container in job.inputs["template"]["template"]["containers"]
        if (name := job.inputs["name"]).endswith("-collect")
    }
    limits = {name: env["STACK_READS_USD_PER_MONTH"] for name, env in environments.items()}
    assert limits == {
        "prod-one-collect": "6.66",
        "prod-two-collect": "6.66",
        "prod-three-collect": "3.33",
    }
