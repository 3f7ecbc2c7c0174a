"""The registry's client against the local cloud's registry, with the grants that are declared."""

# pyright: reportPrivateUsage=false

from collections.abc import Callable, Iterator

import pytest
import requests
from google.oauth2.credentials import Credentials

from control_image.registry import Registry
from local.cloud import Cloud
from pipeline.errors import UserError
from tests.google_api import authenticate
from tests.local.declaring import INDEX, PROJECT, REGION, REGISTRY, REPOSITORY_GRANT, Declarer
from tests.registry_contract import moves_tags, refuses

OCI = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture
def registry_of(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Registry]]:
    """The registry as an account sees it."""
    made: list[Registry] = []

    def registry(email: str) -> Registry:
        credentials = Credentials(cloud.gateway.token(email))
        authenticate(monkeypatch, credentials, PROJECT)
        monkeypatch.setenv("REGISTRY_ENDPOINT_OVERRIDE", cloud.gateway.url)
        made.append(Registry(REGISTRY))
        return made[-1]

    yield registry
    for registry_ in made:
        registry_._session.close()


@pytest.fixture
def account(declarer: Declarer) -> str:
    """An account without a grant, of a repository with two images and an index."""
    machine = declarer.cloud.context.runtime
    first = declarer.image("first", "print(1)")
    second = declarer.image("second", "print(2)")
    machine.index(f"{REGISTRY}/keeper:1", first)
    machine.retag(f"{REGISTRY}/keeper:2", second)
    return declarer.account("build")["email"]


def grant(declarer: Declarer, role: str) -> None:
    declarer.declare(
        REPOSITORY_GRANT,
        role,
        repository="bots",
        location=REGION,
        role=f"roles/artifactregistry.{role}",
        member=declarer._outputs["gcp:serviceaccount/account:Account", "build"]["member"],
    )


def test_a_writer_moves_tags(
    declarer: Declarer, account: str, registry_of: Callable[[str], Registry]
) -> None:
    grant(declarer, "writer")
    registry = registry_of(account)
    moves_tags(registry, "keeper", "1", "2")
    refuses(registry, "keeper", "2")


def test_a_tag_means_what_the_machine_runs(
    cloud: Cloud, declarer: Declarer, account: str, registry_of: Callable[[str], Registry]
) -> None:
    grant(declarer, "reader")
    registry = registry_of(account)
    for tag in ("1", "2"):
        assert registry.digest("keeper", tag) == cloud.context.runtime.resolve(
            f"{REGISTRY}/keeper:{tag}"
        )


def test_a_reader_moves_no_tag_and_without_a_grant_nothing_is_read(
    declarer: Declarer, account: str, registry_of: Callable[[str], Registry]
) -> None:
    registry = registry_of(account)
    with pytest.raises(UserError, match=r"keeper:1 cannot be read: 403 .*downloadArtifacts"):
        registry.read("keeper", "1")
    grant(declarer, "reader")
    manifest = registry.read("keeper", "1")
    assert manifest is not None
    with pytest.raises(UserError, match=r"keeper:live cannot be moved: 403 .*uploadArtifacts"):
        registry.put("keeper", "live", manifest)
    assert registry.read("keeper", "live") is None


def test_a_seed_is_an_index_and_never_what_a_release_means(
    declarer: Declarer, account: str, registry_of: Callable[[str], Registry]
) -> None:
    grant(declarer, "reader")
    image = f"{REGISTRY}/first:test"
    declarer.declare(INDEX, "live", tag=f"{REGISTRY}/keeper:live", sources=[image], push=True)
    registry = registry_of(account)
    seed, source = registry.read("keeper", "live"), registry.read("first", "test")
    assert seed is not None
    assert source is not None
    assert seed.media_type.endswith("manifest.list.v2+json")
    assert source.digest.encode() in seed.data


def test_the_registry_is_as_strict_as_a_real_one(cloud: Cloud, account: str) -> None:
    """By the distribution specification; the messages are not compared."""
    url = f"{cloud.gateway.url}/v2/{PROJECT}/bots/keeper/manifests"
    bearer = {"Authorization": f"Bearer {cloud.gateway.token('operator@gpt2-bots.local')}"}

    def ask(method: str, call: str, body: bytes = b"", **headers: str) -> requests.Response:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return requests.request(
            method, f"{url}/{call}", data=body, headers={**bearer, **names}, timeout=30
        )

    anonymous = requests.get(f"{url}/1", timeout=30)
    assert anonymous.status_code == 401
    assert anonymous.headers["WWW-Authenticate"].startswith('Bearer realm="')
    assert ask("GET", "2", Accept=OCI).status_code == 404
    found = ask("GET", "2", Accept="*/*")
    kind, digest = found.headers["Content-Type"], found.headers["Docker-Content-Digest"]
    assert ask("HEAD", digest, Accept=kind).headers["Docker-Content-Digest"] == digest
    for call, body, type_ in [
        ("3", b"{}", kind),
        ("3", b"text", kind),
        ("3", found.content, OCI),
        (f"sha256:{'0' * 64}", found.content, kind),
    ]:
        assert ask("PUT", call, body, Content_Type=type_).status_code == 400
    assert ask("PUT", "3", found.content, Content_Type=kind).status_code == 201
    assert ask("DELETE", "3").status_code == 405
    other = url.replace("/bots/", "/others/")
    assert requests.get(f"{other}/1", headers=bearer, timeout=30).status_code == 404
