"""The local cloud as a whole: homes, ports, restarts, and its end."""

# pyright: reportPrivateUsage=false

import http.client
import threading
import time
from pathlib import Path

import pytest
import requests

from local.client import Client
from local.cloud import Cloud
from local.services.run.executions import Execution
from pipeline.errors import UserError
from tests.local.conftest import Clouds, processes_of
from tests.local.declaring import (
    ACCOUNT,
    BUCKET,
    INDEX,
    OBJECT,
    REGISTRY,
    REPOSITORY,
    SCHEDULE,
    Declarer,
    Refused,
)


def test_two_clouds_run_side_by_side(clouds: Clouds) -> None:
    one, two = clouds("one"), clouds("two")
    declarer = Declarer(one)
    declarer.bucket("data")
    declarer.close()
    assert one.storage.exists("data")
    assert not two.storage.exists("data")
    assert one.gateway.port != two.gateway.port
    assert one.x.url != two.x.url
    assert one.resources.of_type(BUCKET)
    assert two.resources.all() == []


def test_two_clouds_never_run_on_one_home(clouds: Clouds, tmp_path: Path) -> None:
    clouds("home")
    with pytest.raises(UserError, match=r"a local cloud runs in .*/home already"):
        Cloud(tmp_path / "home", 0)


def test_a_port_that_is_taken_is_one_clear_line(clouds: Clouds, tmp_path: Path) -> None:
    taken = clouds("home").gateway.port
    with pytest.raises(UserError, match=f"port {taken} is taken"):
        Cloud(tmp_path / "other", taken)


def test_everything_is_there_after_a_restart(clouds: Clouds) -> None:
    before = clouds("home")
    declarer = Declarer(before)
    image = declarer.image("says", "print('still here')")
    declarer.scheduled("post", image, "0 13 * * *")
    declarer.bucket("data")
    before.secrets.create("key")
    before.run("post")
    before.x.add_user("keeper", [("hello", before.clock.now())])
    declarer.close()
    told, x = before.status(), before.x.url
    after = clouds("home")
    assert after.x.url == x
    for part in ("resources", "ticks", "executions"):
        assert after.status()[part] == told[part]
    assert after.storage.exists("data")
    assert after.secrets.exists("key")
    result = after.run("post")
    assert isinstance(result, Execution)
    assert result.outcome == "succeeded"


def test_the_end_of_the_cloud_leaves_nothing_running(clouds: Clouds, tmp_path: Path) -> None:
    cloud = clouds("home")
    declarer = Declarer(cloud)
    stubborn = (
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('begun', flush=True)\n"
        "time.sleep(300)\n"
    )
    declarer.job("slow", declarer.image("slow", stubborn))
    declarer.close()
    running = threading.Thread(target=cloud.run, args=["slow"])
    running.start()
    while not (cloud.executions.all() and "begun" in cloud.executions.all()[0].log.read_text()):
        time.sleep(0.01)
    assert len(processes_of(tmp_path / "home")) >= 3
    cloud.stop()
    running.join()
    # The kernel takes a moment to end what it has killed.
    deadline = time.monotonic() + 30
    while (left := processes_of(tmp_path / "home")) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert left == []


def test_a_storage_server_that_died_comes_back_with_all_objects(
    cloud: Cloud, declarer: Declarer
) -> None:
    declarer.bucket("data")
    declarer.declare(OBJECT, "a", bucket="data", name="a", content="kept")
    cloud.storage.kill()
    cloud.heal()
    found = declarer.read(OBJECT, "a")
    assert found is not None


def test_a_wrong_call_is_answered_with_one_line(cloud: Cloud) -> None:
    client = Client(cloud.gateway.url)
    with pytest.raises(UserError, match="there is no job 'absent'; none is declared yet"):
        client.run("absent")
    with pytest.raises(UserError, match="there is no log executions/absent"):
        client.log("executions", "absent")
    answer = requests.post(f"{cloud.gateway.url}/local/nonsense", timeout=5)
    assert answer.status_code == 400
    assert "no call POST /local/nonsense" in answer.json()["error"]


def test_only_logs_are_shown_as_logs(cloud: Cloud) -> None:
    (cloud.home / "private.log").write_text("nobody's business")
    (cloud.home / "logs").mkdir()
    connection = http.client.HTTPConnection("127.0.0.1", cloud.gateway.port)
    connection.request("GET", "/local/logs/../private")
    assert connection.getresponse().status == 400
    connection.close()


def test_no_cloud_is_one_clear_line() -> None:
    with pytest.raises(UserError, match=r"no local cloud answers at .*: `python -m local up`"):
        Client("http://127.0.0.1:9").status()


def test_x_is_filled_and_read_by_the_control_calls(cloud: Cloud) -> None:
    client = Client(cloud.gateway.url)
    client.add_x_user("keeper", [("hello", cloud.clock.now())])
    assert set(client.x_keys("keeper")) == {
        "api_key",
        "api_secret",
        "access_token",
        "access_token_secret",
    }
    assert client.x_posts("keeper") == []
    bearer = {"Authorization": f"Bearer {client.x_bearer()}"}
    found = requests.get(
        f"{cloud.x.url}/2/users/by/username/keeper", headers=bearer, timeout=5
    ).json()
    assert found["data"]["username"] == "keeper"


def test_a_kept_tag_is_taken_over_by_the_next_stack(declarer: Declarer) -> None:
    image = declarer.image("base", "print(1)")
    tag = {"tag": f"{REGISTRY}/bot:live", "sources": [image], "push": True}
    declarer.declare(INDEX, "live", **tag)
    del declarer._inputs[INDEX, "live"]  # as the engine does with retainOnDelete
    declarer.declare(INDEX, "live", **tag)


def test_a_repository_goes_with_its_images(cloud: Cloud, declarer: Declarer) -> None:
    image = declarer.image("base", "print(1)")
    digest = declarer._outputs["docker:index/image:Image", "base"]["repoDigest"]
    declarer.remove(REPOSITORY, "bots")
    assert cloud.context.runtime.resolve(image) is None
    assert cloud.context.runtime.resolve(digest) is None


def test_a_resource_that_exists_cannot_be_created_again(declarer: Declarer) -> None:
    declarer.account("poster")
    with pytest.raises(Refused, match="exists already"):
        declarer.declare(ACCOUNT, "again", accountId="poster-account")


def test_a_schedule_of_another_cloud_is_not_seen(clouds: Clouds) -> None:
    declarer = Declarer(clouds("one"))
    declarer.scheduled("post", declarer.image("says", "print(1)"), "0 13 * * *")
    declarer.close()
    other = clouds("two")
    assert other.resources.of_type(SCHEDULE) == []
    assert other.tick() == []
