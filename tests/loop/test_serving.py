"""The tweet API on the real engine: private by default, and following the pointer by itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from bots.status import gather
from tests.app.releases import point, publish
from tests.app.tiny_model import build
from tests.loop.deployment import Deployment

pytestmark = pytest.mark.deep

FIRST, SECOND = "20261122T101500Z-0123abcd", "20261123T101500Z-4567cdef"
ACCOUNT = {"source": "archive", "consent": "a made-up account"}


class Served(Deployment):
    """keeper's service, opened to its own account in place of everybody; baker's as it is."""

    def ask(self, account: str, path: str = "", token: str | None = None) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = f"{self.client.url}/run/local-{account}-api/{path}"
        return requests.get(url, headers=headers, timeout=300)

    @property
    def operator(self) -> str:
        return self.client.token()

    def granted(self) -> str:
        """A token of the service's own account, which the metadata server gives to it."""
        path = "computeMetadata/v1/instance/service-accounts/default/token"
        url = f"{self.client.url}/as/local-keeper-api/{path}"
        answer = requests.get(url, headers={"Metadata-Flavor": "Google"}, timeout=60)
        return answer.json()["access_token"]

    def serves(self) -> str | None:
        """The release that keeper's service has loaded, after it was asked for a text."""
        self.ask("keeper", "?length=5", self.operator)
        return self.ask("keeper", "health", self.operator).json()["release"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    deployment = Served.of_a_copy(tmp_path_factory.mktemp("serving"))
    assert isinstance(deployment, Served)
    deployment.edit("stacks/serving.py", 'member="allUsers"', "member=self._identity.member")

    def change(values: dict[str, Any]) -> None:
        values.pop("gpt2-bots:training", None)
        values.pop("gpt2-bots:monitoring", None)
        values["gpt2-bots:accounts"] = {
            "keeper": {"handle": "lampkeeper", "serve": {"public": True}, **ACCOUNT},
            "baker": {"handle": "grumpybaker", "serve": {}, **ACCOUNT},
        }

    deployment.configure(change)
    try:
        deployment.up()
        yield deployment
    finally:
        deployment.end()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    build(folder)
    (folder / "shingles.bin").write_bytes(b"")  # there was no training tweet
    return folder


def test_a_service_is_private_by_default_and_the_operator_may_ask(served: Served) -> None:
    assert served.ask("baker").status_code == 403
    assert served.ask("keeper").status_code == 403
    answer = served.ask("baker", token=served.operator)
    assert answer.status_code == 503
    assert "no release yet" in answer.json()["error"]
    assert served.ask("baker", "health", served.operator).json() == {
        "status": "ok",
        "release": None,
    }


def test_a_caller_with_a_grant_gets_a_text_of_the_release_and_no_other_service_opens(
    served: Served, model: Path
) -> None:
    publish(served.cloud.models, FIRST, model)
    point(served.cloud.models, FIRST)
    served.wait(lambda: served.serves() == FIRST, "the first release to be served")
    caller = served.granted()
    answer = served.ask("keeper", "?prefix=lamp&length=8", caller)
    assert answer.status_code == 200
    assert answer.json()["text"].startswith("lamp")
    assert served.ask("baker", token=caller).status_code == 403


def test_a_pointer_that_moves_is_served_without_a_deployment_or_a_restart(
    served: Served, model: Path
) -> None:
    publish(served.cloud.models, SECOND, model)
    point(served.cloud.models, SECOND)
    served.wait(lambda: served.serves() == SECOND, "the second release to be served")
    assert served.client.log("services", "local-keeper-api").count("listening on port") == 1
    assert served.planned() == set()


def test_the_operators_command_and_the_local_clouds_show_where_it_is(served: Served) -> None:
    address = f"{served.client.url}/run/local-keeper-api/"
    assert gather(served.cloud)["accounts"]["keeper"]["api"] == address
    shown = {s["name"]: (s["url"], s["status"]) for s in served.client.status()["services"]}
    assert shown["local-keeper-api"] == (address, "running")


def test_destroying_the_stack_ends_the_processes(served: Served) -> None:
    served.pulumi("destroy", "--yes", "--skip-preview")
    assert served.client.status()["services"] == []
    assert served.ask("keeper", token=served.operator).status_code == 404
