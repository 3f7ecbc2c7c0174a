"""The local cloud's gateway: who calls, what they may do, and what they are told."""

import concurrent.futures
import dataclasses
import http.client
import io
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import ANY
from urllib.parse import quote, urlsplit

import pytest
import requests
from google.api_core import exceptions as google_errors
from google.cloud import storage
from google.oauth2.credentials import Credentials

from local.gateway import iam
from local.gateway.gateway import Gateway
from local.gateway.iam import OPERATOR, Grant, Policy
from local.gateway.server import ConnectionCut, Request, Response
from local.services.secretmanager import api as secretmanager_api
from local.services.secretmanager.secrets import Secrets
from local.services.storage import api as storage_api
from local.services.storage.server import StorageServer
from local.x import XServer
from pipeline.errors import UserError
from pipeline.store import PreconditionFailed, Store
from tests.conftest import Misfits
from tests.local.faults import Fault, FaultyStorage

CONTRACTS = {
    "local/gateway/metadata.py": "google-auth, Google's own client",
    "local/services/secretmanager/api.py": "Google's discovery documents, at every call",
    "local/services/storage/api.py": "Google's discovery documents, at every call",
}
NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
BUCKET = "projects/_/buckets/bkt"
SECRET = "projects/p/secrets/keys"
LISTER = {"projects/p/roles/lister": frozenset({"storage.objects.list"})}


def account(name: str) -> str:
    return f"{name}@p.iam.gserviceaccount.com"


def under(prefix: str) -> str:
    return f'resource.name.startsWith("{BUCKET}/objects/{prefix}")'


GRANTS = [
    Grant(iam.member(account(name)) if name else iam.ALL_USERS, role, resource, condition)
    for name, role, resource, condition in (
        ("user", "roles/storage.objectUser", BUCKET, ""),
        ("user-of-a", "roles/storage.objectUser", BUCKET, under("a/")),
        ("viewer", "roles/storage.objectViewer", BUCKET, ""),
        ("creator", "roles/storage.objectCreator", BUCKET, ""),
        ("lister", "projects/p/roles/lister", BUCKET, ""),
        ("reader-of-a", "roles/storage.objectViewer", BUCKET, under("a/")),
        ("reader-of-a", "projects/p/roles/lister", BUCKET, ""),
        ("accessor", "roles/secretmanager.secretAccessor", SECRET, ""),
        ("", "roles/storage.objectViewer", BUCKET, under("public/")),
        ("adder", "roles/secretmanager.secretVersionAdder", SECRET, ""),
    )
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StorageServer]:
    started = StorageServer(tmp_path_factory.mktemp("storage") / "objects")
    started.start()
    yield started
    started.kill()


class Cloud:
    """A gateway to a real storage server, and clients of it by the name of an account."""

    def __init__(self, server: StorageServer, folder: Path) -> None:
        self.events: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.secrets = Secrets(folder)
        self.gateway = Gateway(0, "p")
        policy = Policy(lambda: GRANTS, lambda: LISTER)
        api = FaultyStorage(
            server,
            policy,
            lambda: NOW,
            self._note,
        )
        self.faults = api.faults
        self.gateway.serve(storage_api.PATH, api.respond, anonymous=True)
        secret_manager = secretmanager_api.SecretManager("p", policy, self.secrets)
        self.gateway.serve(secretmanager_api.PATH, secret_manager.respond)
        self.gateway.serve("/local/(.*)", self._echo, anonymous=True)
        self._clients: dict[str, Any] = {}

    def _note(self, attributes: dict[str, str], metadata: dict[str, Any]) -> None:
        self.events.append((attributes, metadata))

    def _echo(self, path: re.Match[str], request: Request, member: str) -> Response:
        parts = (request.method, path[1], request.query, request.body.read().decode(), member)
        return Response(200, (f"{part} ".encode() for part in parts))

    def bucket(self, name: str, bucket: str = "bkt") -> Any:
        if name not in self._clients:
            email = OPERATOR if name == "operator" else account(name)
            self._clients[name] = storage.Client(
                "p",
                Credentials(self.gateway.token(email)),
                client_options={"api_endpoint": self.gateway.url},
            )
        return self._clients[name].bucket(bucket)

    def ask(
        self,
        method: str,
        path: str,
        name: str,
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> requests.Response:
        authorization = {"Authorization": f"Bearer {self.gateway.token(account(name))}"}
        headers = {**authorization, **(headers or {})}
        request = requests.Request(method, self.gateway.url, headers, **options).prepare()
        request.url = self.gateway.url + path  # as it is, where requests would make `..` vanish
        with requests.Session() as session:
            return session.send(request, timeout=10)

    def close(self) -> None:
        for client in self._clients.values():
            client.close()
        self.gateway.stop()


@pytest.fixture
def cloud(server: StorageServer, tmp_path: Path) -> Iterator[Cloud]:
    if server.exists("bkt"):
        server.clear_bucket("bkt")
    server.create_bucket("bkt")
    started = Cloud(server, tmp_path / "secrets")
    started.gateway.start()
    yield started
    started.close()


def code(call: Callable[..., Any], *args: Any, **options: Any) -> int:
    """The status that a call of a client ends in."""
    try:
        call(*args, **options)
    except google_errors.GoogleAPICallError as error:
        return error.code or 0
    return 200


# Who calls


def test_the_environment_alone_makes_a_program_act_as_its_account(
    cloud: Cloud, tmp_path: Path
) -> None:
    cloud.bucket("operator").blob("a/1").upload_from_string("one")
    program = (
        "from google.cloud import storage\n"
        "client = storage.Client()\n"
        "client.bucket('bkt').blob('a/2').upload_from_string('two')\n"
        "print(client._credentials.service_account_email, client.project)\n"
        "print(client.bucket('bkt').blob('c/1').exists())\n"
    )
    environment = cloud.gateway.identity("execution-7", account("user-of-a"))
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **environment},
        capture_output=True,
        check=False,
        text=True,
    )
    assert run.stdout == f"{account('user-of-a')} p\n"
    assert "403" in run.stderr
    assert cloud.bucket("operator").blob("a/2").download_as_bytes() == b"two"


def test_the_metadata_server_gives_each_execution_its_own_values_only(cloud: Cloud) -> None:
    own = {"instance/name": "train-1", "instance/attributes/run": "2026-11-23"}
    vm = cloud.gateway.identity("vm", account("user"), own)["GCE_METADATA_HOST"]
    other = cloud.gateway.identity("job", account("user"))["GCE_METADATA_HOST"]

    def metadata(host: str, key: str, flavor: str = "Google") -> requests.Response:
        url = f"http://{host}/computeMetadata/v1/{key}"
        return requests.get(url, headers={"Metadata-Flavor": flavor}, timeout=10)

    assert metadata(vm, "instance/name").text == "train-1"
    assert metadata(vm, "instance/attributes/run").text == "2026-11-23"
    assert metadata(vm, "instance/service-accounts/default/email").text == account("user")
    assert metadata(vm, "project/project-id").text == "p"
    assert metadata(other, "instance/name").status_code == 404
    assert metadata(vm, "instance/name", flavor="").status_code == 403


def test_missing_and_made_up_credentials_are_rejected(cloud: Cloud) -> None:
    for path in ("/storage/v1/b/bkt/o", f"/v1/{SECRET}/versions/latest:access"):
        url = f"{cloud.gateway.url}{path}"
        assert requests.get(url, timeout=10).status_code == 401
        headers = {"Authorization": "Bearer made-up"}
        assert requests.get(url, headers=headers, timeout=10).status_code == 401


def test_an_anonymous_caller_may_do_what_all_users_may(cloud: Cloud) -> None:
    cloud.bucket("operator").blob("public/1").upload_from_string("one")
    url = f"{cloud.gateway.url}/storage/v1/b/bkt/o/public%2F1"
    assert requests.get(url, params={"alt": "media"}, timeout=10).content == b"one"
    assert requests.delete(url, timeout=10).status_code == 401


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({"Host": "127.0.0.1"}, False),
        ({"Host": "localhost:1234"}, False),
        ({"Host": "[::1]:80"}, False),
        ({"Host": "127.0.0.1", "Origin": "http://localhost:9080"}, False),
        ({"Host": "rebound.example.com"}, True),
        ({"Host": "127.0.0.1.example.com:9080"}, True),
        ({"Host": "127.0.0.1@example.com"}, True),
        ({"Host": "[::1"}, True),
        ({"Host": ""}, True),
        ({}, True),
        ({"Host": "127.0.0.1", "Origin": "https://example.com"}, True),
        ({"Host": "127.0.0.1", "Origin": "null"}, True),
    ],
)
def test_no_web_page_reaches_a_server_of_this_machine(
    cloud: Cloud, tmp_path: Path, headers: dict[str, str], refused: bool
) -> None:
    x = XServer(tmp_path / "x", lambda: NOW)
    x.start()
    try:
        for server, path in (
            (cloud.gateway.url, "/local/up"),
            (cloud.gateway.url, "/as/operator/"),
            (cloud.gateway.url, "/run/service/"),
            (x.url, "/"),
            (x.url, "/2/users/me"),
        ):
            address = urlsplit(server)
            connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=10)
            connection.putrequest("GET", path, skip_host=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            response = connection.getresponse()
            if "Host" in headers:
                told = b"this address answers as" in response.read()
                assert (response.status == 403 and told) == refused, path
            else:
                assert response.status == 400
            connection.close()
    finally:
        x.stop()


def test_the_local_servers_listen_on_loopback_only(cloud: Cloud, tmp_path: Path) -> None:
    x = XServer(tmp_path / "x", lambda: NOW)
    x.start()
    ports = {cloud.gateway.port, urlsplit(x.url).port}
    found = [line.split()[1:4:2] for table in ("tcp", "tcp6")
             for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]]  # fmt: skip
    x.stop()
    listening = {(place.partition(":")[0], int(place.partition(":")[2], 16))
                 for place, state in found if state == "0A"}  # fmt: skip
    assert {place for place in listening if place[1] in ports} == {("0100007F", p) for p in ports}


# What they may do


@pytest.mark.parametrize(
    (
        "name",
        "folder",
        "expected",
    ),  # of reading, an absent one, creating, overwriting, deleting, listing
    [
        ("user", "a", [200, 404, 200, 200, 200, 200]),
        ("user-of-a", "a", [200, 403, 200, 200, 200, 403]),
        ("user-of-a", "c", [403, 403, 403, 403, 403, 403]),
        ("viewer", "a", [200, 404, 403, 403, 403, 200]),
        ("creator", "a", [403, 403, 200, 403, 403, 403]),
        ("lister", "a", [403, 403, 403, 403, 403, 200]),
        ("reader-of-a", "a", [200, 404, 403, 403, 403, 200]),
        ("reader-of-a", "c", [403, 403, 403, 403, 403, 200]),
        ("stranger", "a", [403, 403, 403, 403, 403, 403]),
    ],
)
def test_each_account_may_do_what_it_is_granted_and_nothing_else(
    cloud: Cloud, name: str, folder: str, expected: list[int]
) -> None:
    cloud.bucket("operator").blob(f"{folder}/there").upload_from_string("there")
    bucket = cloud.bucket(name)
    there, new = bucket.blob(f"{folder}/there"), bucket.blob(f"{folder}/new")
    found = [
        code(there.download_as_bytes),
        code(bucket.blob(f"{folder}/absent").download_as_bytes),
        code(new.upload_from_string, "new"),
        code(there.upload_from_string, "over"),
        code(new.delete),
        code(lambda: list(bucket.list_blobs())),
    ]
    assert found == expected


def test_a_403_names_member_permission_object_and_a_role_that_would_help(cloud: Cloud) -> None:
    with pytest.raises(google_errors.Forbidden) as refused:
        cloud.bucket("viewer").blob("a/1").upload_from_string("one")
    for part in (
        iam.member(account("viewer")),
        "storage.objects.create",
        f"{BUCKET}/objects/a/1",
        "roles/storage.objectCreator",
    ):
        assert part in str(refused.value)


def test_an_undeclared_bucket_is_a_404_for_everybody(cloud: Cloud) -> None:
    for name in ("operator", "user", "stranger"):
        bucket = cloud.bucket(name, "undeclared")
        assert code(bucket.blob("o").upload_from_string, "one") == 404
        assert code(bucket.blob("o").download_as_bytes) == 404
        assert code(list, bucket.list_blobs()) == 404


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/storage/v1/b?project=p", {"name": "other"}),
        ("DELETE", "/storage/v1/b/bkt", None),
        ("POST", "/storage/v1/b/bkt/o/a/compose", {"sourceObjects": [{"name": "b"}]}),
        ("GET", "/storage/v1/b/bkt/o?versions=true&delimiter=/", None),
        ("GET", "/storage/v1/b/bkt/o?matchGlob=a*", None),
        ("GET", "/v1/projects/p/secrets", None),
    ],
)
def test_a_call_of_google_s_that_is_not_played_here_is_a_501(
    cloud: Cloud, method: str, path: str, body: dict[str, Any] | None
) -> None:
    response = cloud.ask(method, path, "user", json=body)
    assert response.status_code == 501
    assert "the local cloud does not know" in response.json()["error"]["message"]


def test_a_parameter_that_asks_for_nothing_is_accepted(cloud: Cloud) -> None:
    cloud.bucket("operator").blob("a/1").upload_from_string("one")
    path = "/storage/v1/b/bkt/o?versions=false&matchGlob=&prefix=a/&startOffset=&pageToken="
    listed = cloud.ask("GET", path, "user").json()
    assert [item["name"] for item in listed["items"]] == ["a/1"]


@pytest.mark.parametrize("header", ["If-Match", "X-Goog-If-Generation-Match", "Content-Encoding"])
def test_an_unknown_header_that_could_change_the_call_is_a_501(cloud: Cloud, header: str) -> None:
    headers = {header: "0"}
    assert cloud.ask("DELETE", "/storage/v1/b/bkt/o/a", "user", headers).status_code == 501


@pytest.mark.parametrize(
    ("method", "path", "body", "misfit"),
    [
        ("POST", "/batch/storage/v1", None, "no API of Google's has POST /batch/storage/v1"),
        ("PUT", "/_internal/config", None, "no API of Google's has PUT /_internal/config"),
        ("GET", "/bkt/o", None, "no API of Google's has GET /bkt/o"),
        ("HEAD", "/storage/v1/b/bkt/o/a", None, "no API of Google's has HEAD"),
        ("GET", "/storage/v1/b/bkt/o?generation=7", None, "there is no parameter 'generation'"),
        (
            "GET",
            "/storage/v1/b/bkt/o?maxResults=x",
            None,
            "'maxResults' is 'x', not of format uint32",
        ),
        ("GET", "/storage/v1/b/bkt/o?prefix=a&prefix=b", None, "'prefix' is given 2 times"),
        ("GET", "/storage/v1/b/bkt/o?projection=all", None, "not one of full, noAcl"),
        ("GET", "/storage/v1/b/bkt/o?alt=media", None, "it has no media to download"),
        ("GET", "/storage/v1/b/bkt/o/a", {"x": 1}, "it has no request body"),
        ("PATCH", "/storage/v1/b/bkt/o/a", {"owner": []}, "owner is [], not of type object"),
        ("PATCH", "/storage/v1/b/bkt/o/a", {"size": "big"}, "size is 'big', not of format uint64"),
        ("PATCH", "/storage/v1/b/bkt/o/a", {"colour": "red"}, "Object has no field 'colour'"),
        ("POST", "/storage/v1/b?project=p", {}, "name is missing"),
        ("POST", "/storage/v1/b", {"name": "b"}, "parameter 'project' is missing"),
        (
            "POST",
            f"/v1/{SECRET}:addVersion",
            {"payload": {"data": 1}},
            "data is 1, not of type string",
        ),
        ("POST", f"/v1/{SECRET}:disable", None, "no API of Google's has POST"),
    ],
)
def test_a_call_outside_google_s_documents_is_an_error_and_fails_its_test(
    cloud: Cloud, misfits: Misfits, method: str, path: str, body: dict[str, Any] | None, misfit: str
) -> None:
    response = cloud.ask(method, path, "user", json=body)
    assert response.status_code in (400, 404)
    (told,) = misfits.take()
    assert misfit in told
    assert method == "HEAD" or misfit in response.json()["error"]["message"]


def test_a_response_outside_google_s_documents_is_a_501(cloud: Cloud, misfits: Misfits) -> None:
    published = Response.json(200, {"messageIds": [1]})
    cloud.gateway.serve("/v1/projects/p/topics/t:publish", lambda path, request, member: published)
    response = cloud.ask("POST", "/v1/projects/p/topics/t:publish", "user", json={})
    assert response.status_code == 501
    assert misfits.take() == [
        "pubsub.projects.topics.publish responds: messageIds[0] is 1, not of type string"
    ]


def test_a_partial_response_holds_only_the_fields_asked_for(cloud: Cloud) -> None:
    bucket = cloud.bucket("user")
    for name in ("a/1", "a/2"):
        bucket.blob(name).upload_from_string("one", content_type="text/x")
    path = "/storage/v1/b/bkt/o"
    fields = "items(name,contentType),nextPageToken"
    assert cloud.ask("GET", f"{path}?fields={fields}&maxResults=1", "user").json() == {
        "items": [{"name": "a/1", "contentType": "text/x"}],
        "nextPageToken": ANY,
    }
    assert cloud.ask("GET", f"{path}/a%2F1?fields=name", "user").json() == {"name": "a/1"}
    first = {"items": [{"name": "a/1"}, {"name": "a/2"}]}
    assert cloud.ask("GET", f"{path}?fields=items/name", "user").json() == first


# One request is one call


ODD = [
    "a/../c/there",
    "a/./1",
    "a//1",
    "/a",
    "..",
    ".",
    "a/..",
    "a/b\0",
    "a/b\r\nc",
    "a/" + 1024 * "x",
]
MULTIPART = "multipart/related; boundary=x"


def multipart(metadata: str | None) -> str:
    parts = f"--x\r\nContent-Type: application/json\r\n\r\n{metadata}\r\n"
    return f"{parts}--x\r\nContent-Type: text/plain\r\n\r\nhi\r\n--x--\r\n"


def objects(cloud: Cloud) -> dict[str, bytes]:
    return {blob.name: blob.download_as_bytes() for blob in cloud.bucket("operator").list_blobs()}


@pytest.mark.parametrize("name", ODD)
def test_a_name_that_is_another_path_on_the_host_is_a_400_in_every_call(
    cloud: Cloud, name: str
) -> None:
    cloud.bucket("operator").blob("c/there").upload_from_string("there")
    quoted = quote(name, safe="")
    upload = "/upload/storage/v1/b/bkt/o?uploadType="
    given = json.dumps({"name": name})
    related = {"Content-Type": MULTIPART}
    responses = [
        cloud.ask("GET", f"/storage/v1/b/bkt/o/{quoted}?alt=media", "user-of-a"),
        cloud.ask("GET", f"/storage/v1/b/bkt/o?prefix={quoted}%2F..%2F", "user"),
        cloud.ask("DELETE", f"/storage/v1/b/bkt/o/{quoted}", "user-of-a"),
        cloud.ask("PATCH", f"/storage/v1/b/bkt/o/{quoted}", "user-of-a", json={}),
        cloud.ask("POST", f"{upload}media&name={quoted}", "user-of-a", data="hi"),
        cloud.ask("POST", f"{upload}multipart", "user-of-a", related, data=multipart(given)),
        cloud.ask("POST", f"{upload}resumable", "user-of-a", data=given),
    ]
    assert [response.status_code for response in responses] == [400] * 7
    assert objects(cloud) == {"c/there": b"there"}


@pytest.mark.parametrize("bucket", ["..", ".", "a..b", "bkt%2Fo%2Fc", "bkt%2F..", "%2e%2e", "B"])
def test_an_invalid_bucket_name_is_a_400(cloud: Cloud, bucket: str) -> None:
    response = cloud.ask("GET", f"/storage/v1/b/{bucket}/o/a", "user")
    assert response.status_code == 400
    assert "bucket" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("query", "metadata", "misfits_expected"),
    [
        ("uploadType=media&name=c%2F1&name=a%2F1", None, 1),
        ("uploadType=media&NAME=c%2F1&name=a%2F1", None, 1),
        ("uploadType=multipart", '{"name": "a/1", "NAME": "c/1"}', 1),
        ("uploadType=multipart", '{"name": "c/1", "name": "a/1"}', 1),
        ("uploadType=multipart", '{"name": "a/1", "bucKet": "other"}', 1),
        ("uploadType=multipart&name=a%2F1", '{"name": "c/1"}', 0),
        ("uploadType=multipart", '{"name": "a/1", "bucket": "other"}', 0),
        ("uploadType=resumable&name=a%2F1", '{"name": "c/1"}', 0),
        ("uploadType=resumable", '{"name": "a/1", "Name": "c/1"}', 1),
    ],
)
def test_an_upload_with_two_names_is_a_400(
    cloud: Cloud, misfits: Misfits, query: str, metadata: str | None, misfits_expected: int
) -> None:
    headers = {"Content-Type": MULTIPART} if "multipart" in query else {}
    body = multipart(metadata) if "multipart" in query else metadata
    path = f"/upload/storage/v1/b/bkt/o?{query}"
    assert cloud.ask("POST", path, "user-of-a", headers, data=body).status_code == 400
    assert len(misfits.take()) == misfits_expected
    assert objects(cloud) == {}


def test_a_change_cannot_name_another_object(cloud: Cloud) -> None:
    for name in ("a/1", "c/1"):
        cloud.bucket("operator").blob(name).upload_from_string(name)
    path = "/storage/v1/b/bkt/o/a%2F1"
    for changed in ({"name": "c/1"}, {"bucket": "other"}):
        assert cloud.ask("PATCH", path, "user", json=changed).status_code == 400
    assert cloud.ask("PATCH", path, "user", json={"name": "a/1"}).status_code == 200


def test_a_resumable_upload_continues_for_its_own_object_only(cloud: Cloud) -> None:
    start = cloud.ask("POST", "/upload/storage/v1/b/bkt/o?uploadType=resumable&name=a%2F1", "user")
    session = start.headers["Location"].removeprefix(cloud.gateway.url)
    other_name = session.replace("a%2F1", "c%2F1").replace("a/1", "c/1")
    if "name=" not in session:
        other_name = f"{session}&name=c%2F1"
    for path in (other_name, session.replace("/b/bkt/", "/b/other/")):
        assert cloud.ask("PUT", path, "user", data=b"x").status_code == 400
    assert cloud.ask("PUT", session, "user-of-a", data=b"x").status_code == 200
    assert objects(cloud) == {"a/1": b"x"}


# Preconditions, which the server behind mostly ignores


@pytest.mark.parametrize("chunk_size", [None, 256 << 10])
def test_create_only_and_compare_and_set_hold_for_every_kind_of_upload(
    cloud: Cloud, chunk_size: int | None
) -> None:
    bucket = cloud.bucket("user")

    def upload(generation: int) -> int:
        blob = bucket.blob("a/1", chunk_size=chunk_size)
        content = io.BytesIO(b"x" * 600_000)
        return code(blob.upload_from_file, content, if_generation_match=generation)

    assert [upload(7), upload(0), upload(0)] == [412, 200, 412]
    generation = bucket.get_blob("a/1").generation
    assert [upload(generation), upload(generation)] == [200, 412]


def test_conditions_on_reading_changing_and_deleting_hold(cloud: Cloud) -> None:
    bucket = cloud.bucket("user")
    bucket.blob("a/1").upload_from_string("one")
    generation = bucket.get_blob("a/1").generation
    blob = bucket.blob("a/1")
    assert code(blob.download_as_bytes, if_generation_match=7) == 412
    assert code(blob.download_as_bytes, if_generation_match=generation) == 200
    assert code(blob.reload, if_generation_not_match=generation) == 304
    assert code(bucket.blob("a/1").patch, if_metageneration_match=9) == 412
    assert code(bucket.blob("a/1").delete, if_generation_match=7) == 412
    assert code(bucket.blob("a/1", generation=7).delete) == 404
    assert code(bucket.blob("a/1").delete, if_generation_match=generation) == 200


def test_a_store_deletes_the_generation_that_it_names_and_no_other(cloud: Cloud) -> None:
    store = Store(cloud.bucket("user"))
    old = store.write("a/1", b"one", generation=0)
    new = store.write("a/1", b"two", generation=old)
    for generation in (old, new + 1):
        with pytest.raises(PreconditionFailed, match="a/1"):
            store.delete("a/1", generation=generation)
    store.delete("a/1", generation=new)
    assert store.read("a/1") is None
    with pytest.raises(PreconditionFailed):
        store.delete("a/1", generation=new)


def test_a_creator_who_may_not_delete_meets_the_condition_first(cloud: Cloud) -> None:
    cloud.bucket("operator").blob("a/1").upload_from_string("one")
    blob = cloud.bucket("creator").blob("a/1")
    assert code(blob.upload_from_string, "two", if_generation_match=0) == 412
    assert code(blob.upload_from_string, "two") == 403


@pytest.mark.parametrize("chunk_size", [None, 256 << 10])
def test_of_many_concurrent_compare_and_sets_one_wins(cloud: Cloud, chunk_size: int | None) -> None:
    bucket = cloud.bucket("user")
    blobs = [bucket.blob("a/1", chunk_size=chunk_size) for _ in range(8)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            blob = bucket.get_blob("a/1")
            generation = blob.generation if blob else 0

            def upload(blob: Any, generation: int = generation) -> int:
                content = io.BytesIO(b"x" * 300_000)
                return code(
                    blob.upload_from_file, content, if_generation_match=generation, retry=None
                )

            assert sorted(pool.map(upload, blobs)) == [200] + [412] * 7


# Large objects


def test_a_large_object_survives_upload_and_download(cloud: Cloud) -> None:
    data = os.urandom(9 << 20)
    bucket = cloud.bucket("user")
    bucket.blob("a/big").upload_from_string(data)
    assert bucket.blob("a/big").download_as_bytes() == data
    assert bucket.blob("a/big").download_as_bytes(start=5, end=9) == data[5:10]
    assert bucket.blob("a/big", chunk_size=1 << 20).download_as_bytes() == data


def test_names_with_odd_characters_are_kept(cloud: Cloud) -> None:
    name = "a/ü %2F+x?#&.txt"
    bucket = cloud.bucket("user")
    bucket.blob(name).upload_from_string("odd")
    assert bucket.blob(name).download_as_bytes() == b"odd"
    assert [blob.name for blob in bucket.list_blobs()] == [name]


def test_the_progress_of_an_upload_can_be_queried_at_any_time(cloud: Cloud) -> None:
    start = cloud.ask("POST", "/upload/storage/v1/b/bkt/o?uploadType=resumable&name=pieces", "user")
    session = start.headers["Location"].removeprefix(cloud.gateway.url)

    def put(data: bytes, content_range: str) -> requests.Response:
        headers = {"Content-Range": content_range}
        return cloud.ask("PUT", session, "user", data=data, headers=headers)

    half = 256 << 10
    assert put(b"x" * half, f"bytes 0-{half - 1}/{2 * half}").status_code == 308
    asked = put(b"", f"bytes */{2 * half}")
    assert (asked.status_code, asked.headers["Range"]) == (308, f"bytes=0-{half - 1}")
    assert put(b"x" * half, f"bytes {half}-{2 * half - 1}/{2 * half}").status_code == 200
    assert put(b"", f"bytes */{2 * half}").json()["size"] == str(2 * half)
    assert len(cloud.events) == 1


# Events


def test_every_new_generation_and_nothing_else_is_announced_once(cloud: Cloud) -> None:
    bucket = cloud.bucket("user")
    bucket.blob("a/1").upload_from_string("one")
    bucket.blob("a/1").upload_from_string("two")
    bucket.blob("a/big").upload_from_string(b"x" * (9 << 20))
    assert code(bucket.blob("a/1").upload_from_string, "no", if_generation_match=0) == 412
    bucket.get_blob("a/big").delete()
    assert [attributes["objectId"] for attributes, _ in cloud.events] == ["a/1", "a/1", "a/big"]
    attributes, metadata = cloud.events[1]
    assert attributes == {
        "eventType": "OBJECT_FINALIZE",
        "payloadFormat": "JSON_API_V1",
        "bucketId": "bkt",
        "objectId": "a/1",
        "objectGeneration": str(bucket.get_blob("a/1").generation),
        "eventTime": NOW.isoformat(),
    }
    assert (metadata["name"], metadata["size"]) == ("a/1", "3")


# Secrets


def test_adding_and_accessing_a_secret_need_a_permission_each(cloud: Cloud) -> None:
    cloud.secrets.create("keys")
    add, access = f"/v1/{SECRET}:addVersion", f"/v1/{SECRET}/versions/latest:access"
    version = {"payload": {"data": "c2VjcmV0"}}
    assert cloud.ask("POST", add, "adder", json=version).json()["name"] == f"{SECRET}/versions/1"
    response = cloud.ask("GET", access, "accessor").json()
    assert response == {"name": f"{SECRET}/versions/1", "payload": {"data": "c2VjcmV0"}}
    for method, path, name, body in (
        ("POST", add, "accessor", version),
        ("GET", access, "adder", None),
    ):
        refused = cloud.ask(method, path, name, json=body)
        assert refused.status_code == 403
        assert account(name) in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "misfits_expected"),
    [(b"", 0), (b'{"payload": {}}', 0), (b"[]", 1), (b'{"payload": {"data": "-"}}', 1)],
)
def test_a_malformed_secret_version_is_a_400(
    cloud: Cloud, misfits: Misfits, body: bytes, misfits_expected: int
) -> None:
    cloud.secrets.create("keys")
    response = cloud.ask("POST", f"/v1/{SECRET}:addVersion", "adder", data=body)
    assert response.status_code == 400
    assert len(misfits.take()) == misfits_expected


def test_a_secret_of_another_project_looks_like_a_forbidden_one(cloud: Cloud) -> None:
    path = "/v1/projects/other/secrets/keys/versions/latest:access"
    assert cloud.ask("GET", path, "accessor").status_code == 403
    all_seeing = {"Authorization": f"Bearer {cloud.gateway.token(OPERATOR)}"}
    assert cloud.ask("GET", path, "", headers=all_seeing).status_code == 404


# Bad days


def test_the_client_s_retry_overcomes_a_fault_before_the_effect(cloud: Cloud) -> None:
    cloud.faults.add(Fault("insert", name="^a/1$"))
    blob = cloud.bucket("user").blob("a/1")
    assert code(blob.upload_from_string, "one", if_generation_match=0) == 200
    assert len(cloud.events) == 1


@pytest.mark.parametrize("error", [None, ConnectionCut])
def test_after_a_lost_response_the_retry_meets_its_own_write(
    cloud: Cloud, error: type[ConnectionCut] | None
) -> None:
    fault = Fault("insert", name="^a/1$", when="after")
    cloud.faults.add(dataclasses.replace(fault, error=error) if error else fault)
    blob = cloud.bucket("user").blob("a/1")
    assert code(blob.upload_from_string, "one", if_generation_match=0) == 412
    assert blob.download_as_bytes() == b"one"
    assert len(cloud.events) == 1


def test_a_fault_fails_matching_calls_as_often_as_asked(cloud: Cloud) -> None:
    bucket = cloud.bucket("user")
    bucket.blob("a/1").upload_from_string("one")
    cloud.faults.add(Fault("get", name="^a/", times=2))
    assert code(bucket.blob("a/2").upload_from_string, "two") == 200
    found = [code(bucket.blob("a/1").download_as_bytes, retry=None) for _ in range(3)]
    assert found == [503, 503, 200]
    cloud.faults.add(Fault())
    cloud.faults.clear()
    assert code(bucket.blob("a/1").download_as_bytes, retry=None) == 200


def test_calls_are_a_503_only_while_the_storage_server_is_down(
    cloud: Cloud, server: StorageServer
) -> None:
    blob = cloud.bucket("user").blob("a/1")
    blob.upload_from_string("one")
    server.kill()
    assert code(blob.download_as_bytes, retry=None) == 503
    assert code(blob.upload_from_string, "two", retry=None) == 503
    server.ensure()
    assert blob.download_as_bytes(retry=None) == b"one"


def test_clients_do_not_notice_a_restart_of_the_storage_server(
    cloud: Cloud, server: StorageServer
) -> None:
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {cloud.gateway.token(OPERATOR)}"
        url = f"{cloud.gateway.url}/storage/v1/b/bkt"
        assert session.get(url, timeout=10).status_code == 200
        server.kill()
        server.ensure()
        assert session.get(url, timeout=10).status_code == 200


def test_a_client_that_leaves_during_an_upload_leaves_no_object(cloud: Cloud) -> None:
    token = cloud.gateway.token(account("user"))
    head = (
        "POST /upload/storage/v1/b/bkt/o?uploadType=media&name=a/1 HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Bearer {token}\r\nContent-Length: 1000000\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", cloud.gateway.port)) as connection:
        connection.sendall(head.encode() + b"x" * 1000)
    assert cloud.bucket("user").get_blob("a/1") is None


# Its own address


def test_a_chunked_body_is_read_and_a_response_is_sent_in_parts(cloud: Cloud) -> None:
    url = f"{cloud.gateway.url}/local/up?x=1"
    response = requests.post(url, data=iter([b"bo", b"dy"]), timeout=10)
    assert response.text == "POST up x=1 body allUsers "
    assert response.headers["Transfer-Encoding"] == "chunked"


def test_a_port_that_is_taken_is_one_clear_line(cloud: Cloud) -> None:
    port = cloud.gateway.port
    with pytest.raises(UserError, match=f"port {port} is taken"):
        Gateway(port, "p")


def test_errors_have_the_shape_that_google_s_clients_read(cloud: Cloud) -> None:
    error = json.loads(cloud.ask("GET", "/storage/v1/b/bkt/o", "stranger").content)["error"]
    assert error["code"] == 403
    assert error["errors"][0]["reason"] == "forbidden"


def test_a_stopped_gateway_closes_the_connections_it_had(cloud: Cloud) -> None:
    with requests.Session() as session:
        url = f"{cloud.gateway.url}/local/up"
        assert session.get(url, timeout=10).ok
        cloud.gateway.stop()
        with pytest.raises(requests.ConnectionError):
            session.get(url, timeout=10)
