"""The tweet APIs that the real program declares."""

from typing import Any

import pytest

from pipeline import layout
from pipeline.errors import UserError
from stacks import stack_file
from tests.stacks.recorder import Declared, Recorder, declare, stack_values

SERVICE = "gcp:cloudrunv2/service:Service"
GRANT = "gcp:cloudrunv2/serviceIamMember:ServiceIamMember"
OBJECTS = "gcp:storage/bucketIAMMember:BucketIAMMember"
LISTING = "gcp:storage/bucketIAMBinding:BucketIAMBinding"
FULL = {
    "handle": "weatherfrog",
    "source": "timeline",
    "consent": "a made-up account",
    "x_terms_acknowledged": True,
    "collect": "0 4 * * *",
    "post": "0 12 * * *",
    "serve": {"public": True},
}


def serving(**accounts: Any) -> Recorder:
    """prod with these accounts' `serve`."""
    values = stack_values("prod")
    for name, bot in values["gpt2-bots:accounts"].items():
        bot.pop("serve", None)
        if name in accounts:
            bot["serve"] = accounts[name]
    return declare("prod", values)


def keys(recorder: Recorder) -> set[tuple[str, str]]:
    return {(r.type, r.name) for r in recorder.resources}


def container(service: Declared) -> dict[str, Any]:
    (only,) = service.inputs["template"]["containers"]
    return only


def test_without_a_tweet_api_nothing_of_it_is_declared() -> None:
    recorder = serving()
    assert not recorder.any_of(SERVICE)
    assert not [r for r in recorder.resources if r.name == "api" or "-api-" in r.name]


def test_a_service_is_private_unless_the_stack_file_says_public() -> None:
    assert not serving(keeper={}, baker={"public": False}).any_of(GRANT)
    grant = serving(keeper={"public": True}, baker={}).one(GRANT)
    assert grant.inputs["name"] == "prod-keeper-api"
    assert (grant.inputs["member"], grant.inputs["role"]) == ("allUsers", "roles/run.invoker")


def test_a_service_runs_the_app_base_by_digest_and_serves_its_own_account() -> None:
    for service in serving(keeper={}, baker={}).of(SERVICE):
        made = container(service)
        assert "/app@sha256:" in made["image"]
        assert made["args"] == ["serve"]
        account = service.name.removesuffix("-api")
        assert {e["name"]: e["value"] for e in made["envs"]} == {
            "ACCOUNT": account,
            "MODELS_BUCKET": "example-bots-prod-prod-models",
        }


def test_a_service_can_be_removed_scales_to_zero_and_is_probed() -> None:
    service = serving(keeper={"max_instances": 4}).one(SERVICE)
    template, made = service.inputs["template"], container(service)
    assert service.inputs["deletionProtection"] is False
    assert template["scaling"] == {"minInstanceCount": 0, "maxInstanceCount": 4}
    assert template["maxInstanceRequestConcurrency"] == 1
    port = made["ports"]["containerPort"]
    for probe in (made["startupProbe"], made["livenessProbe"]):
        assert probe["httpGet"] == {"path": "/health", "port": port}
        assert probe["timeoutSeconds"] <= probe["periodSeconds"]
    # Google's limit for a start.
    assert made["startupProbe"]["periodSeconds"] * made["startupProbe"]["failureThreshold"] <= 240


def test_the_identity_may_only_read_releases_and_live_pointers() -> None:
    recorder = serving(keeper={}, baker={})
    (identity,) = {s.inputs["template"]["serviceAccount"] for s in recorder.of(SERVICE)}
    granted = [
        r for r in recorder.resources if r.inputs.get("member") == f"serviceAccount:{identity}"
    ]
    assert {r.type for r in granted} == {OBJECTS}
    (reading,) = granted
    assert reading.inputs["role"] == "roles/storage.objectViewer"
    prefixes = reading.inputs["condition"]["expression"].split(" || ")
    assert [p.partition("/objects/")[2] for p in prefixes] == ['releases/")', 'rollout/live/")']
    assert "-models/" in prefixes[0]


def test_the_grants_precede_the_service_that_reads_at_its_start() -> None:
    order = [(r.type, r.name) for r in serving(keeper={}).resources]
    (service,) = [at for at, (kind, _) in enumerate(order) if kind == SERVICE]
    reads = [
        at
        for at, (kind, name) in enumerate(order)
        if (kind == OBJECTS and "-api-" in name) or (kind == LISTING and name == "models-list")
    ]
    assert len(reads) == 2
    assert max(reads) < service


def test_a_further_service_changes_nothing_else() -> None:
    before, after = serving(keeper={}), serving(keeper={}, baker={"public": True})
    assert keys(after) - keys(before) == {(SERVICE, "baker-api"), (GRANT, "baker-api-public")}
    assert keys(before) <= keys(after)


def test_an_account_with_every_feature_has_at_most_sixteen_provider_resources() -> None:
    values = stack_values("prod")
    values["gpt2-bots:accounts"]["keeper"]["serve"] = {}
    before = declare("prod", values)
    values["gpt2-bots:accounts"]["weather"] = FULL
    after = declare("prod", values)
    assert len(after.providers_resources) - len(before.providers_resources) <= 16


@pytest.mark.parametrize(
    ("serve", "what"),
    [
        ({"public": "perhaps"}, "serve.public: 'perhaps'"),
        ({"publik": True}, "serve.publik: unknown key; did you mean 'public'?"),
        ({"max_instances": 0}, "serve.max_instances: 0"),
        ({"max_instances": 11}, "serve.max_instances: 11"),
        (True, "serve: True"),
    ],
)
def test_a_mistake_names_the_key_and_the_value(serve: Any, what: str) -> None:
    values = stack_values("prod")
    values["gpt2-bots:accounts"]["keeper"]["serve"] = serve
    with pytest.raises(UserError) as error:
        stack_file.load("prod", values)
    assert f"gpt2-bots:accounts.keeper.{what}" in str(error.value)


def test_names_of_services_stay_within_cloud_runs_limit() -> None:
    first, second = (layout.service("production", "a" * 29 + end) for end in "xy")
    assert first != second
    assert layout.service("s" * 40, "a" * 30) != layout.service("s" * 40, "b" * 30)
    assert all(len(n) < 50 for n in (first, second, layout.service("s" * 40, "a" * 30)))
