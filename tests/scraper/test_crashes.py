"""The scraper killed at every call that it makes: what it loses, and what X sells twice."""

import json
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from local.services.storage.server import StorageServer
from pipeline import corpus, documents, events, index, last_collection, layout, x
from pipeline.errors import Unavailable
from pipeline.last_collection import LastCollection
from pipeline.lease import Terms
from pipeline.spend import Ledger
from pipeline.store import Store
from scraper_image.collect import Collector
from scraper_image.timeline import Timeline
from tests.conftest import SecretManager
from tests.scraper.conftest import NOW, Time
from tests.scraper.double import BEARER, X

POSTS = 250  # three pages, the last one short
SECRETS = "projects/test/secrets"


class Killed(BaseException):
    """As SIGKILL: nothing of the program's own catches it."""


@dataclass
class Guillotine:
    """Kills at the `at`th call, before it has its effect or after that and before its answer."""

    at: int
    after: bool
    calls: int = 0

    def guard(self, target: Any, *names: str) -> Any:
        """`target`, whose methods of these names are the places to be killed at."""
        guillotine = self

        class Guarded:
            def __getattr__(self, name: str) -> Any:
                method = getattr(target, name)
                return guillotine.deadly(method) if name in names else method

        return Guarded()

    def deadly(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            self.calls += 1
            # Once dead, it gives nothing back.
            if self.at and self.calls >= self.at + self.after:
                raise Killed
            result = method(*args, **named)
            if self.calls == self.at:
                raise Killed
            return result

        return call


def run(store: Store, double: X, guillotine: Guillotine) -> bool:
    """Collect once; whether it came to its end."""
    guarded = guillotine.guard(store, "read", "write", "delete", "names")
    timeline = guillotine.guard(Timeline(x.client(BEARER)), "user", "page")
    ledger = Ledger(guarded, layout.reads("keeper"), Decimal(100), lambda: NOW)
    patience = Time().patience()
    try:
        Collector(
            guarded, "keeper", double.handle, timeline, ledger, patience, "execution"
        ).collect()
    except Killed:
        return False
    return True


def held(store: Store) -> list[str]:
    return sorted(tweet.id for tweet in corpus.read(store, "keeper"))


def calls_of_a_whole_run(store: Store, double: X) -> int:
    guillotine = Guillotine(at=0, after=False)
    assert run(store, double, guillotine)
    return guillotine.calls


@pytest.mark.parametrize("after", [False, True], ids=["before the effect", "after the effect"])
@pytest.mark.parametrize("collected_before", [0, 30], ids=["first run", "later run"])
def test_killed_at_any_call_the_next_run_completes_and_nothing_kept_is_bought_again(
    bucket_factory: Callable[[], Any], double: X, collected_before: int, after: bool
) -> None:
    def start() -> Store:
        store = Store(bucket_factory())
        double.posts.clear()
        if collected_before:
            double.post(*range(1000, 1000 + collected_before))
            calls_of_a_whole_run(store, double)
        double.post(*range(1000, 1000 + POSTS))
        double.sold.clear()
        return store

    lost_at: list[int] = []
    for at in range(1, calls_of_a_whole_run(start(), double) + 1):
        store = start()
        assert not run(store, double, Guillotine(at, after))
        lost = set(double.sold) - set(held(store))
        if lost:
            lost_at.append(at)

        assert run(store, double, Guillotine(at=0, after=False))
        assert held(store) == sorted(map(str, double.posts))
        assert len(double.sold) == POSTS - collected_before + len(lost)
        found = index.read(store, "keeper")
        assert found is not None
        assert (found.document.newest_id, found.document.count) == ("1249", POSTS)
        assert [tuple(gap) for gap in found.document.gaps()] == [(1249, None)]
        ledger = Ledger(store, layout.reads("keeper"), Decimal(100), lambda: NOW)
        assert ledger.spent().count >= len(double.sold) + collected_before

    # What no program can save: a page that X has sold and that is nowhere but in its memory,
    # between two calls. Each of the three pages has one such moment.
    assert len(lost_at) == 3


@pytest.mark.parametrize("seed", range(10))
def test_killed_again_and_again_each_post_is_kept_once(store: Store, double: X, seed: int) -> None:
    double.post(*range(1000, 1000 + POSTS))
    dice = random.Random(seed)
    lost: list[str] = []
    while not run(store, double, Guillotine(dice.randint(1, 25), dice.random() < 0.5)):
        lost += set(double.sold) - set(held(store)) - set(lost)
    assert held(store) == sorted(map(str, double.posts))
    again = [number for number in double.sold if double.sold.count(number) > 1]
    assert set(again) <= set(lost)


# The whole program, as a process


@pytest.fixture
def surroundings(
    double: X, store: Store, gcs_environment: dict[str, str], secret_manager: SecretManager
) -> dict[str, str]:
    secret_manager.give("bearer", BEARER)
    secret_manager.give("wrong", "not-the-bearer")
    secret_manager.secrets.create("empty")
    return (
        secret_manager.environment
        | gcs_environment
        | {
            "PATH": os.environ["PATH"],
            "ACCOUNT": "keeper",
            "HANDLE": double.handle,
            "DATA_BUCKET": store.bucket_name,
            "READS_USD_PER_MONTH": "5.00",
            "TASK_TIMEOUT": "61",
            "X_BEARER_SECRET": "projects/test/secrets/bearer",
            "X_API_URL": double.url,
            "CLOCK": "2026-11-23T12:00:00+00:00",
        }
    )


def start(environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "scraper_image"],
        cwd=Path(__file__).parents[2],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(environment: dict[str, str]) -> tuple[int, str]:
    process = start(environment)
    output, _ = process.communicate(timeout=60)
    return process.returncode, output


def test_the_program_killed_while_x_answers_carries_on(
    store: Store, double: X, surroundings: dict[str, str]
) -> None:
    double.post(*range(1000, 1000 + POSTS))
    process = start(surroundings)

    def kill_at_the_third_page() -> None:
        if len(double.asked) == 3:
            process.send_signal(signal.SIGKILL)
            process.wait()

    double.before_answer = kill_at_the_third_page
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert len(held(store)) == 200

    double.before_answer = lambda: None
    code, output = finish(surroundings)
    assert code == 0, output
    assert output.startswith('{"severity": "INFO", "message": "keeper: 50 posts bought, 250 held')
    assert len(double.sold) == POSTS + 50


def test_the_program_that_is_told_to_end_keeps_the_page_that_x_is_sending(
    store: Store, double: X, surroundings: dict[str, str]
) -> None:
    double.post(*range(1000, 1000 + POSTS))
    process = start(surroundings)
    double.before_answer = lambda: (
        process.send_signal(signal.SIGTERM) if len(double.asked) == 2 else None
    )
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "told to end; nothing is lost" in output
    assert len(held(store)) == len(double.sold) == 200
    assert finish(surroundings)[0] == 0
    assert len(held(store)) == len(double.sold) == POSTS


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"X_BEARER_SECRET": ""}, "X_BEARER_SECRET is not set; set it as the stack does"),
        ({"HANDLE": "@keeper"}, "HANDLE is '@keeper': String should match"),
        ({"HANDLE": ""}, "HANDLE is not set"),
        ({"ACCOUNT": ""}, "ACCOUNT is not set"),
        ({"TASK_TIMEOUT": "0"}, "TASK_TIMEOUT is '0': Input should be greater than 0"),
        (
            {"READS_USD_PER_MONTH": "five"},
            "READS_USD_PER_MONTH is 'five': .*valid decimal",
        ),
        (
            {"READS_USD_PER_MONTH": "NaN"},
            "READS_USD_PER_MONTH is 'NaN': .*finite number",
        ),
        ({"DATA_BUCKET": "nobody-made-this"}, "bucket nobody-made-this: .*deploy the stack"),
        ({"X_API_URL": "http://127.0.0.1:9"}, "X does not answer"),
    ],
)
def test_a_mistake_is_one_line_and_no_traceback(
    surroundings: dict[str, str], change: dict[str, str], line: str
) -> None:
    code, output = finish(surroundings | change)
    assert code == 1
    assert len(output.splitlines()) == 1, output
    logged = json.loads(output)
    assert logged["severity"] == "ERROR"
    assert re.search(line, logged["message"]), logged["message"]
    assert BEARER not in output


STATES = {
    "limit reached": ({"READS_USD_PER_MONTH": "0"}, "of this month's .0 are spent"),
    "waiting for keys": (
        {"X_BEARER_SECRET": f"{SECRETS}/empty"},
        "bearer token is not set; .*bots credentials",
    ),
    "keys refused": (
        {"X_BEARER_SECRET": f"{SECRETS}/wrong"},
        "refuses the keys .*bots credentials",
    ),
    "no such user": ({"HANDLE": "nobody"}, "X does not have what was asked for"),
}


@pytest.mark.parametrize("state", STATES)
def test_what_only_a_person_can_mend_is_a_state_that_is_told_once(
    surroundings: dict[str, str], store: Store, state: str
) -> None:
    change, line = STATES[state]

    def run(minute: int, **change: str) -> dict[str, Any]:
        code, output = finish(
            surroundings | {"CLOCK": f"2026-11-23T12:0{minute}:00+00:00"} | change
        )
        assert code == 0, output
        assert BEARER not in output
        return json.loads(output.splitlines()[-1])

    def noted() -> LastCollection:
        found = last_collection.read(store, "keeper")
        assert found is not None
        return found

    begins, goes_on = run(0, **change), run(1, **change)
    assert (begins["severity"], goes_on["severity"]) == ("ERROR", "INFO")
    event = events.SPEND_LIMIT if state == "limit reached" else events.STOPPED
    assert (begins["event"], begins["bucket"]) == (event, store.bucket_name)
    assert "event" not in goes_on
    assert re.search(line, begins["message"]), begins["message"]
    assert (noted().state, noted().at, noted().reason in begins["message"]) == (state, None, True)
    assert noted().since and f"{noted().since:%M} {noted().seen:%M}" == "00 01"

    run(2)
    assert (noted().state, noted().since, noted().reason) == (None, None, "")
    assert noted().at and f"{noted().at:%M}" == "02"
    assert run(3, **change)["severity"] == "ERROR"
    assert f"{noted().at:%M} {noted().since:%M}" == "02 03"


def test_another_execution_that_collects_is_one_line_and_no_failure(
    surroundings: dict[str, str], store: Store, double: X
) -> None:
    expires = datetime(2026, 11, 23, 12, 1, tzinfo=UTC)
    theirs = Terms(run="another", expires=expires, by="collector")
    documents.write(store, layout.collecting("keeper"), theirs, 0)
    code, output = finish(surroundings)
    assert (code, double.asked) == (0, [])
    logged = json.loads(output)
    assert logged["severity"] == "INFO"
    assert "nothing to do: run another has tweets/keeper/collecting.json" in logged["message"]
    assert last_collection.read(store, "keeper") is None


def test_one_limit_for_all_accounts_is_kept_beside_the_accounts_own(
    surroundings: dict[str, str], store: Store, double: X
) -> None:
    double.post(*range(1000, 1000 + POSTS))
    code, output = finish(surroundings | {"STACK_READS_USD_PER_MONTH": "0.51"})
    assert code == 0, output
    assert "tweets/reads.json: $0.510 of this month's $0.51" in output
    assert len(double.sold) == 100


def test_storage_killed_in_mid_run_is_one_line_and_the_next_run_carries_on(
    tmp_path: Path, double: X
) -> None:
    double.post(*range(1000, 1000 + POSTS))
    server = StorageServer(tmp_path / "gcs")
    server.start()
    try:
        server.create_bucket("data")
        client: Any = storage.Client(
            project="test",
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": server.upstream},
        )
        store = Store(client.bucket("data"), timeout=0.5)
        double.before_answer = lambda: server.kill() if len(double.asked) == 2 else None
        with pytest.raises(Unavailable, match=r"cannot write .*run it again"):
            run(store, double, Guillotine(at=0, after=False))

        double.before_answer = lambda: None
        server.start()
        assert run(store, double, Guillotine(at=0, after=False))
        assert held(store) == sorted(map(str, double.posts))
        assert len(double.sold) == POSTS + 100
    finally:
        server.kill()
