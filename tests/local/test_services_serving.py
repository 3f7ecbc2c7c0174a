"""Run services: who may call them, what responds, and how long the process lives."""

import json
import threading
import time
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from local.cloud import Cloud
from local.gateway.iam import OPERATOR
from tests.local.conftest import Clouds, processes_of
from tests.local.declaring import SERVICE, SERVICE_GRANT, Declarer, Refused

CONTRACTS = {"local/services/run/serving.py": "Run's container contract, as documented"}

# Responds with the request and its own environment.
ECHO = """
import json, os, signal, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import google.auth, google.auth.transport.requests

PROCESS = os.urandom(8).hex()

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        if self.path.startswith("/exit"):
            os._exit(7)
        credentials, _ = google.auth.default()
        if self.path.startswith("/who"):
            credentials.refresh(google.auth.transport.requests.Request())
        said = {
            "method": self.command, "path": self.path, "body": body, "process": PROCESS,
            "what": os.environ.get("WHAT"), "service": os.environ["K_SERVICE"],
            "listen": os.environ["LISTEN"],
            "arguments": sys.argv[1:], "authorization": self.headers.get("Authorization"),
            "kind": self.headers.get("Content-Type"),
            "email": getattr(credentials, "service_account_email", None),
        }
        self.send_response(404 if self.path == "/absent" else 200)
        self.send_header("X-Echo", "yes")
        self.end_headers()
        self.wfile.write(json.dumps(said).encode())

    do_POST = do_GET

    def log_message(self, *args):
        pass

signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
"""
INVOKER = "roles/run.invoker"


@dataclass
class Caller:
    """Asks services over HTTP as one account, or as nobody."""

    cloud: Cloud
    token: str = ""

    def ask(self, path: str, method: str = "GET", **more: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        headers |= more.pop("headers", {})
        return requests.request(
            method, f"{self.cloud.gateway.url}/run/{path}", headers=headers, timeout=150, **more
        )

    def echo(self, path: str, method: str = "GET", **more: Any) -> dict[str, Any]:
        answer = self.ask(path, method, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def operator(cloud: Cloud) -> Caller:
    return Caller(cloud, cloud.gateway.token(OPERATOR))


@pytest.fixture
def image(declarer: Declarer) -> str:
    return declarer.image("echo", ECHO)


def grant(declarer: Declarer, service: dict[str, Any], member: str) -> None:
    declarer.declare(
        SERVICE_GRANT,
        f"{service['name']}-{member}",
        name=service["name"],
        location=service["location"],
        role=INVOKER,
        member=member,
    )


def test_the_declared_image_answers_with_its_arguments_and_environment(
    declarer: Declarer, operator: Caller, image: str
) -> None:
    declared = declarer.service(
        "echo", image, envs=[{"name": "WHAT", "value": "one"}], container={"args": ["serve"]}
    )
    assert declared["uri"] == f"{operator.cloud.gateway.url}/run/echo/"
    said = operator.echo("echo/a/b?c=d%20e", "POST", json={"x": 1})
    assert (said["method"], said["path"], json.loads(said["body"])) == (
        "POST",
        "/a/b?c=d%20e",
        {"x": 1},
    )
    assert (said["what"], said["service"], said["arguments"]) == ("one", "echo", ["serve"])
    assert said["listen"] == "127.0.0.1"  # what listens elsewhere asks nobody who is calling
    assert said["kind"] == "application/json"
    assert said["authorization"] is None  # the caller's token is not the container's business
    absent = operator.ask("echo/absent")
    assert (absent.status_code, absent.headers["X-Echo"]) == (404, "yes")


def test_it_runs_as_its_declared_account(declarer: Declarer, operator: Caller, image: str) -> None:
    account = declarer.account("api")
    declarer.service("echo", image, serviceAccount=account["email"])
    assert operator.echo("echo/who")["email"] == account["email"]


def test_a_private_service_answers_only_those_who_are_granted_to_ask(
    cloud: Cloud, declarer: Declarer, operator: Caller, image: str
) -> None:
    friend, stranger = declarer.account("friend"), declarer.account("stranger")
    service = declarer.service("echo", image)
    grant(declarer, service, friend["member"])
    for refused in (Caller(cloud), Caller(cloud, cloud.gateway.token(stranger["email"]))):
        answer = refused.ask("echo/")
        assert answer.status_code == 403
        assert "run.routes.invoke on " in answer.json()["error"]["message"]
    assert cloud.status()["services"][0]["status"] == "waits for a request"
    assert Caller(cloud, "made up").ask("echo/").status_code == 401
    assert Caller(cloud, cloud.gateway.token(friend["email"])).echo("echo/")["service"] == "echo"
    assert operator.echo("echo/")["service"] == "echo"
    declarer.remove(SERVICE_GRANT, f"echo-{friend['member']}")
    assert Caller(cloud, cloud.gateway.token(friend["email"])).ask("echo/").status_code == 403


def test_a_public_service_answers_everybody_and_opens_no_other(
    cloud: Cloud, declarer: Declarer, image: str
) -> None:
    public = declarer.service("public", image)
    declarer.service("private", image)
    grant(declarer, public, "allUsers")
    assert Caller(cloud).echo("public/")["service"] == "public"
    assert Caller(cloud).ask("private/").status_code == 403
    assert Caller(cloud).ask("absent/").status_code == 404


def test_one_instance_answers_until_the_service_changes(
    declarer: Declarer, operator: Caller, image: str
) -> None:
    declarer.service("echo", image, envs=[{"name": "WHAT", "value": "one"}])
    first = [operator.echo("echo/") for _ in range(2)]
    assert first[0]["process"] == first[1]["process"]
    declarer.service("echo", image, envs=[{"name": "WHAT", "value": "two"}])
    assert operator.echo("echo/")["what"] == "two"
    other = declarer.image("other", ECHO.replace('"method"', '"new": True, "method"'))
    declarer.service("echo", other)
    assert operator.echo("echo/")["new"] is True


def test_many_first_requests_start_one_instance(
    cloud: Cloud, declarer: Declarer, operator: Caller, image: str
) -> None:
    declarer.service("echo", image)
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(operator.echo("echo/")["process"]))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1


def test_an_instance_that_ended_is_started_again_at_the_next_request(
    declarer: Declarer, operator: Caller, image: str
) -> None:
    declarer.service("echo", image)
    first = operator.echo("echo/")["process"]
    assert operator.ask("echo/exit").status_code == 503
    deadline = time.monotonic() + 120
    while (answer := operator.ask("echo/")).status_code == 503:  # it is still ending
        assert time.monotonic() < deadline
    assert answer.json()["process"] != first


def test_a_container_that_does_not_listen_is_a_503_with_the_reason_and_a_log(
    cloud: Cloud, declarer: Declarer, operator: Caller
) -> None:
    image = declarer.image("broken", "print('I would not'); raise SystemExit(3)")
    declarer.service("broken", image)
    answer = operator.ask("broken/")
    assert answer.status_code == 503
    assert "exited with 3 before it answered on PORT" in answer.json()["error"]["message"]
    log = requests.get(f"{cloud.gateway.url}/local/logs/services/broken", timeout=30).text
    assert "I would not" in log


def test_deletion_and_the_end_of_the_cloud_end_the_process(
    clouds: Clouds, cloud: Cloud, declarer: Declarer, operator: Caller, image: str
) -> None:
    declarer.service("echo", image)
    declarer.service("kept", image)
    operator.echo("echo/")
    operator.echo("kept/")
    assert {s["name"]: s["status"] for s in cloud.status()["services"]} == {
        "echo": "running",
        "kept": "running",
    }
    declarer.remove(SERVICE, "echo")
    assert [s["name"] for s in cloud.status()["services"]] == ["kept"]
    assert operator.ask("echo/").status_code == 404
    cloud.stop()
    assert processes_of(cloud.home) == []
    again = clouds("home")
    assert [s["status"] for s in again.status()["services"]] == ["waits for a request"]
    assert Caller(again, again.gateway.token(OPERATOR)).echo("kept/")["service"] == "kept"


def test_a_service_that_waits_does_not_keep_the_cloud_busy(
    cloud: Cloud, declarer: Declarer, operator: Caller, image: str
) -> None:
    declarer.service("echo", image)
    operator.echo("echo/")
    assert not cloud.context.processes.busy


def test_a_service_that_run_would_refuse_is_refused(declarer: Declarer, image: str) -> None:
    with pytest.raises(Refused, match=r"Image '.*/bots/absent:live' not found"):
        declarer.service("absent", image.replace("echo:test", "absent:live"))
    with pytest.raises(Refused, match=r"nobody@.* does not exist"):
        declarer.service(
            "nobody", image, serviceAccount="nobody@test-project.iam.gserviceaccount.com"
        )
    with pytest.raises(Refused, match=r"name: .* is not 1 to 49"):
        declarer.service("a" * 50, image)
    with pytest.raises(Refused, match=r"PORT is Cloud Run's own"):
        declarer.service("port", image, envs=[{"name": "PORT", "value": "80"}])
    with pytest.raises(Refused, match=r"WHAT is given twice"):
        declarer.service("twice", image, envs=[{"name": "WHAT", "value": "1"}] * 2)


def test_a_protected_service_is_not_deleted(declarer: Declarer, image: str) -> None:
    declarer.service("echo", image, deletionProtection=True)
    with pytest.raises(Refused, match="set deletionProtection to false"):
        declarer.remove(SERVICE, "echo")
