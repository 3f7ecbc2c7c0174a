"""What the programs that run the pipeline log and report is what was reviewed."""

import json
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import google.auth
import pytest
import requests
from google.api_core.exceptions import BadRequest, GoogleAPICallError, NotFound
from google.auth.exceptions import RefreshError

import control_image.__main__ as program
from control_image import bundle, compute, registry
from control_image.bundle import Wanted
from control_image.compute import Machine, Refused, pause
from control_image.registry import Registry
from control_image.retrain import Retrain, RetrainSettings
from pipeline import documents, layout
from pipeline.errors import PipelineError, Unavailable, UserError
from pipeline.runs import RunVerdict, read_verdict, write_verdict
from pipeline.store import PreconditionFailed, Store
from tests import messages
from tests.control.compute import PROJECT, Compute, Refusal, serving
from tests.control.compute import Machine as There
from tests.control.retraining import (
    EXECUTION,
    RUN,
    START,
    Identity,
    Time,
    World,
    environment,
    templates,
)
from tests.control.test_watch import BASE, DAY, HOUR, NOON, ONE, TAG, TWO, by_hand, ended
from tests.control.test_watch import World as Watched
from tests.google_api import Session
from tests.trainer.steps import Bucket, Steps

Said = list[Any]


def logged(capsys: pytest.CaptureFixture[str]) -> Said:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


# The watcher


@pytest.fixture
def watched(capsys: pytest.CaptureFixture[str]) -> Watched:
    return Watched(Steps(Bucket()), Steps(Bucket()), capsys)


def test_what_the_watcher_sees_is_logged_as_reviewed(
    watched: Watched, capsys: pytest.CaptureFixture[str]
) -> None:
    said: dict[str, Said] = {}

    def look(name: str, after: timedelta = HOUR) -> None:
        watched.now += after
        said[name] = [watched.look(), *logged(capsys)]

    look("nothing is declared")
    watched.declare(post="0 9 * * *", collect="0 5 * * *")
    look("declared")
    watched.posted((NOON + DAY).replace(hour=9))
    look("posted", DAY)
    look("silent for long", 4 * DAY)
    watched.release()
    look("an image is missing")
    look("an image is still missing", timedelta(minutes=29))
    look("an image is missing for an hour", timedelta(minutes=31))
    watched.built()
    watched.live()
    look("an image is live")
    by_hand(watched)
    look("a run by hand")
    ended(watched, TWO)
    look("a run by hand is late", 6 * HOUR)
    ended(watched, ONE)
    look("a run by hand has ended")
    watched.broken = True
    look("registry and topic are broken", 8 * DAY)
    watched.broken = False
    watched.put(watched.data, layout.run_by_hand("first"), {"run": 1})
    look("a run by hand cannot be read")
    messages.check("watcher", said)


def test_of_two_watchers_one_keeps_its_state_and_the_other_says_so(
    watched: Watched, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise PreconditionFailed

    monkeypatch.setattr(documents, "write", fail)
    assert watched.look() == 0
    messages.check("watcher-race", {"the other": logged(capsys)})


@pytest.mark.parametrize(
    ("hours", "reported"), [(4.99, False), (5, True)], ids=["just before", "at the end"]
)
def test_a_run_by_hand_has_its_hours_and_one_to_start_in(
    watched: Watched, hours: float, reported: bool
) -> None:
    by_hand(watched)
    watched.look()
    watched.logged()
    watched.now += timedelta(hours=hours)
    watched.look()
    assert bool(watched.logged()) == reported


# Scheduled training


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Two accounts with news, on buckets in memory."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    clock = Time(START)

    def default(*_: object, **__: object) -> tuple[Identity, str]:
        return Identity(), PROJECT

    with serving(Compute(templates())) as there:
        monkeypatch.setattr(google.auth, "default", default)
        monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE", f"{there.url}/")
        world = World(there, Steps(Bucket()), Steps(Bucket()), clock)
        world.declare("keeper")
        world.declare("baker")
        there.life = world.finishes(keeper="live", baker="skipped")
        clock.on_sleep = there.time_passed
        yield world
    for number, handler in before.items():
        signal.signal(number, handler)


def all_goes_well(world: World) -> None:
    pass


def nothing_is_new(world: World) -> None:
    world.released("keeper")
    world.released("baker")


def an_account_cannot_be_read(world: World) -> None:
    world.models.write(layout.live_pointer("baker"), b"{}", generation=0)


def no_zone_has_a_machine(world: World) -> None:
    world.compute.refuse = lambda zone, template, name: Refusal("STOCKOUT", "none")


def only_the_last_zone_has_the_fallback(world: World) -> None:
    _, fallback = templates()
    world.compute.refuse = lambda zone, template, _: (
        None if (zone[-1], template) == ("c", fallback) else Refusal("STOCKOUT", "none")
    )


def an_insert_is_forbidden(world: World) -> None:
    world.compute.refuse = lambda zone, template, name: Refusal("forbidden", "no grant", status=403)


def a_machine_of_an_earlier_run_is_left(world: World) -> None:
    run = RUN.replace("x7k2p", "aaaaa")
    world.compute.add(run, "europe-west4-b")
    begun = {"accounts": ["keeper"], "deadline": START.isoformat()}
    world.models.write(layout.run_accounts(run), json.dumps(begun).encode(), generation=0)


def another_run_has_the_lease(world: World) -> None:
    world.holds_lease("by-hand", timedelta(hours=1))


def a_machine_powers_off(world: World) -> None:
    def power_off(machine: There) -> None:
        machine.status = "TERMINATED"

    world.compute.life = power_off


def a_machine_vanishes(world: World) -> None:
    def vanish(machine: There) -> None:
        machine.status = "GONE"

    world.compute.life = vanish


def an_account_fails(world: World) -> None:
    world.compute.life = world.finishes(keeper="failed", baker="live")


def a_result_is_damaged(world: World) -> None:
    def scribble(machine: There) -> None:
        world.models.write(layout.run_result(machine.name), b"{}", generation=0)
        machine.status = "TERMINATED"

    world.compute.life = scribble


def a_run_has_ended_already(world: World) -> None:
    begun = {"accounts": ["keeper"], "deadline": START.isoformat()}
    world.models.write(layout.run_accounts(RUN), json.dumps(begun).encode(), generation=0)
    write_verdict(world.models, RUN, RunVerdict(ended=START, problems=["it was so"]))


SCENES = (
    all_goes_well,
    nothing_is_new,
    an_account_cannot_be_read,
    no_zone_has_a_machine,
    only_the_last_zone_has_the_fallback,
    an_insert_is_forbidden,
    a_machine_of_an_earlier_run_is_left,
    another_run_has_the_lease,
    a_machine_powers_off,
    a_machine_vanishes,
    an_account_fails,
    a_result_is_damaged,
    a_run_has_ended_already,
)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_a_scheduled_run_says_what_became_of_it_as_reviewed(
    world: World, scene: Callable[[World], None], capsys: pytest.CaptureFixture[str]
) -> None:
    scene(world)
    problems = world.run()
    waited = str(world.time.at - START)
    said = {"problems": problems, "took": waited, "log": logged(capsys)}
    messages.check(f"retrain-{scene.__name__.replace('_', '-')}", said)


def test_a_defect_of_ours_is_logged_and_leaves_no_machine(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("a\nb")

    monkeypatch.setattr(Retrain, "_until_off", broken)
    assert world.run() == ["KeyError: 'a\\nb'"]
    world.left_nothing()
    (entry,) = (line for line in logged(capsys) if "stack_trace" in line)
    assert (entry["severity"], entry["message"]) == ("ERROR", "unexpected")
    assert "KeyError" in entry["stack_trace"]


def test_a_second_verdict_is_told_and_not_written(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    def verdict(machine: There) -> None:
        world.finishes(keeper="live")(machine)
        if machine.age == 3:
            write_verdict(world.models, RUN, RunVerdict(ended=START, problems=["first"]))

    world.compute.life = verdict
    assert world.run() == []
    last = logged(capsys)[-1]
    assert last == {"severity": "WARNING", "message": f"run {RUN} has a verdict already"}
    found = read_verdict(world.models, RUN)
    assert found is not None
    assert found.problems == ["first"]


def test_without_its_list_of_accounts_a_run_ends_in_one_line(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begun_run(_: Retrain) -> str:
        return RUN

    monkeypatch.setattr(Retrain, "_begun_run", begun_run)
    with pytest.raises(
        UserError, match=rf"^object runs/{RUN}/accounts\.json is missing: execute the job again$"
    ):
        world.run()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ZONES", "[]"),
        ("TEMPLATES", "[]"),
        ("WORKERS", "0"),
        ("SECONDS", "0"),
        ("CLOUD_RUN_EXECUTION", ""),
        ("SETTINGS", '{"steps": 0}'),
        ("RUNS", ""),
    ],
)
def test_a_variable_that_cannot_be_is_refused(name: str, value: str) -> None:
    given = {**environment(), "CLOUD_RUN_EXECUTION": EXECUTION}
    RetrainSettings.read(given | {"WORKERS": "1", "SECONDS": "1"})
    with pytest.raises(UserError, match=f"^environment variable {name} is"):
        RetrainSettings.read(given | {name: value})


def test_an_execution_is_told_by_the_last_five_of_its_name() -> None:
    given = environment()
    for execution, suffix in (
        ("prod-retrain-x7k2p", "x7k2p"),
        ("alone-abcdefg", "cdefg"),
        ("prod-retrain-abc", "abc"),
    ):
        settings = RetrainSettings.read({**given, "CLOUD_RUN_EXECUTION": execution})
        assert settings.suffix == suffix


# Compute Engine


def a_client(time: Time, **methods: Callable[..., Any]) -> compute.Compute:
    return compute.Compute(
        "p", SimpleNamespace(**methods), SimpleNamespace(**methods), time.now, time.sleep
    )


def failing(error: Exception, asked: list[Any]) -> Callable[..., Any]:
    def get(request: Any, **how: Any) -> None:
        asked.append(how)
        raise error

    return get


def called(code: int, message: str = "GET https://compute: no") -> GoogleAPICallError:
    error = GoogleAPICallError(message, errors=[{"reason": "why"}, {"other": 1}])
    error.code = code
    return error


@pytest.mark.parametrize(
    ("error", "attempts", "text"),
    [
        (called(429), 6, "HTTP 429 no why"),
        (called(500), 6, "HTTP 500 no why"),
        (called(503, "no address"), 6, "HTTP 503 no address why"),
        (called(499), 1, "HTTP 499 no why"),
        (BadRequest("GET https://compute: a\n  b"), 1, "HTTP 400 a b"),
        (requests.ConnectionError("x"), 6, "no response from Compute Engine (ConnectionError)"),
        (RefreshError("x"), 6, "no response from Compute Engine (RefreshError)"),
    ],
)
def test_a_call_is_repeated_only_for_a_passing_reason_and_each_time_with_a_timeout(
    error: Exception, attempts: int, text: str
) -> None:
    asked: list[Any] = []
    time = Time(START)
    with pytest.raises(Refused) as refused:
        a_client(time, get=failing(error, asked)).status(Machine("m", "z"))
    assert str(refused.value) == text
    assert asked == [{"retry": None, "timeout": 60}] * attempts
    assert time.at - START == timedelta(seconds=62 if attempts == 6 else 0)


def test_what_is_absent_has_no_status_and_no_deletion() -> None:
    time = Time(START)
    gone = a_client(time, get=failing(NotFound("no"), []), delete_unary=failing(NotFound("no"), []))
    assert gone.status(Machine("m", "z")) is None
    assert gone.delete(Machine("m", "z")) is None
    taken = a_client(time, insert_unary=failing(called(409), []))
    taken.insert(Machine("m", "z"), "t", START)
    assert time.at == START


def test_the_requests_name_project_zone_and_machine() -> None:
    asked: dict[str, Any] = {}

    def noting(name: str, answer: object) -> Callable[..., Any]:
        def call(request: Any, **_: Any) -> Any:
            asked[name] = json.loads(
                request.__class__.to_json(request, always_print_fields_with_no_presence=False)
            )
            return answer

        return call

    done = SimpleNamespace(
        status=compute.compute_v1.Operation.Status.DONE, error=SimpleNamespace(errors=[])
    )
    operation = SimpleNamespace(name="op", status="RUNNING")
    client = compute.Compute(
        "p",
        SimpleNamespace(
            get=noting("get", operation),
            insert_unary=noting("insert", operation),
            delete_unary=noting("delete", operation),
            aggregated_list=noting("list", []),
        ),
        SimpleNamespace(get=noting("operation", done)),
        lambda: START,
        lambda _: None,
    )
    assert client.status(Machine("m", "z")) == "RUNNING"
    assert client.delete(Machine("m", "z")) == "op"
    assert client.machines("m") == []
    client.insert(Machine("m", "z"), "t", START)
    messages.check("compute-requests", asked)


def test_an_operation_is_waited_for_until_its_time_is_over_and_no_longer() -> None:
    time = Time(START)
    running = SimpleNamespace(status="RUNNING")
    client = a_client(time, get=lambda *_, **__: running)
    with pytest.raises(Refused, match=r"^operation op did not end in time$"):
        client.wait("z", "op", START + timedelta(minutes=5))
    assert timedelta(minutes=5) < time.at - START <= timedelta(minutes=5, seconds=10)


@pytest.mark.parametrize(
    ("waited", "seconds"), [(0, 1.0), (7, 1.0), (9, 1.125), (80, 10), (800, 10)]
)
def test_a_pause_is_an_eighth_of_the_wait_within_limits(waited: int, seconds: float) -> None:
    assert pause(timedelta(seconds=waited), longest=10) == seconds


@pytest.mark.parametrize(
    ("text", "shortage"),
    [
        ("ZONE_RESOURCE_POOL_EXHAUSTED no", True),
        ("STOCKOUT", True),
        ("QUOTA_EXCEEDED", True),
        ("Quota 'X' exceeded", True),
        ("a quota", True),
        ("rateLimitExceeded", True),
        ("RATE_LIMIT_EXCEEDED", True),
        ("HTTP 429 no", True),
        ("HTTP 403 forbidden", False),
    ],
)
def test_a_shortage_is_told_from_other_refusals(text: str, shortage: bool) -> None:
    assert Refused(text).shortage == shortage


# The registry, the build and the command


def a_registry(monkeypatch: pytest.MonkeyPatch, session: Session) -> Registry:
    monkeypatch.delenv("REGISTRY_ENDPOINT_OVERRIDE", raising=False)
    monkeypatch.setattr(registry.google, "session", lambda: session)
    return Registry("host.example/p/repository")


def test_the_registry_is_asked_and_answers_as_reviewed(monkeypatch: pytest.MonkeyPatch) -> None:
    said: dict[str, Any] = {}
    good = Session(200, {})
    there = a_registry(monkeypatch, good)
    manifest = registry.Manifest(b"{}", "application/x")
    calls: dict[str, Callable[[Registry], object]] = {
        "read": lambda r: r.read("keeper", "live"),
        "put": lambda r: r.put("keeper", "live", manifest),
    }
    assert there.read("keeper", "live") == manifest
    assert there.digest("keeper", "live") == manifest.digest
    there.put("keeper", "live", manifest)
    said["asked"] = json.loads(json.dumps(good.asked, default=bytes.decode))
    assert a_registry(monkeypatch, Session(404)).read("keeper", "live") is None
    assert a_registry(monkeypatch, Session(404)).digest("keeper", "live") is None
    for name, session in {
        "a refusal with a reason": Session(403, {"errors": [{"message": "denied"}]}),
        "a refusal without errors": Session(403, {"errors": []}),
        "a refusal without JSON": Session(401, "x"),
        "an outage": Session(503, {}),
        "no response": Session(0, error=requests.ConnectionError("secret")),
    }.items():
        for verb, call in calls.items():
            with pytest.raises(PipelineError) as raised:
                call(a_registry(monkeypatch, session))
            who = "time" if isinstance(raised.value, Unavailable) else "a person"
            said[f"{name}, {verb}"] = f"{who} mends it: {raised.value}"
    messages.check("registry", said)


PAIR = Wanted("keeper", TAG, BASE)


def test_the_build_context_is_as_reviewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(_: Store, account: str, tag: str, folder: Path) -> None:
        (folder / "model.bin").write_text(f"{account} {tag}")

    monkeypatch.setattr(bundle.release, "download_model", download)
    bundle.fetch(Steps(Bucket()), "host/p/r", PAIR, tmp_path)
    found = {
        path.relative_to(tmp_path).as_posix(): path.read_text() if path.is_file() else ""
        for path in sorted(tmp_path.rglob("*"))
    }
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in tmp_path.rglob("bundle/**/*")}
    messages.check("bundle", {"files": found, "modes": dict(sorted(modes.items()))})


class Opened:
    """Notes what the command opens and hands on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.noted: list[Any] = []
        self.failures: Any = 0
        self.wanted: Wanted | None = PAIR
        self.problems: list[str] = []
        self._monkeypatch = monkeypatch
        monkeypatch.setattr(program.Store, "open", self._open)
        monkeypatch.setattr(program, "Registry", self._registry)
        monkeypatch.setattr(program, "Rollout", self._rollout)
        monkeypatch.setattr(program, "Watcher", self._watcher)
        monkeypatch.setattr(program, "wanted", self._wanted)
        monkeypatch.setattr(program, "point", self._point)
        monkeypatch.setattr(bundle, "fetch", self._fetch)
        monkeypatch.setattr("control_image.compute.Compute.open", self._compute)
        monkeypatch.setattr("control_image.retrain.Retrain", self._retrain)

    def run(self, *arguments: str, **environment: str) -> int:
        self._monkeypatch.setattr(sys, "argv", ["control_image", *arguments])
        for name in ("OBJECT", "MODELS_BUCKET", "DATA_BUCKET", "REPOSITORY", "TOPIC", "WORKSPACE"):
            self._monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            self._monkeypatch.setenv(name, value)
        return program.main()

    def _open(self, name: str) -> str:
        return name

    def _registry(self, url: str) -> str:
        return f"registry {url}"

    def _rollout(self, topic: str) -> str:
        return f"topic {topic}"

    def _compute(self, *given: object) -> tuple[object, ...]:
        return given

    def _watcher(self, **given: Any) -> Any:
        assert given.pop("clock") is program.clock.now
        self.noted.append(given)
        return SimpleNamespace(run=lambda: self.failures)

    def _wanted(self, models: str, account: str) -> Wanted | None:
        self.noted.append(["wanted", models, account])
        return self.wanted

    def _point(self, there: str, pair: Wanted) -> bool:
        self.noted.append(["point", there, pair.tag])
        return True

    def _fetch(self, models: str, repository: str, pair: Wanted, workspace: Path) -> str:
        self.noted.append(["fetch", models, repository, pair.tag, str(workspace)])
        return "an image"

    def _retrain(self, settings: RetrainSettings, **given: Any) -> Any:
        project, clock, sleep = given.pop("compute")
        assert {clock, given.pop("clock")} == {program.clock.now}
        assert {sleep, given.pop("sleep")} == {program.time.sleep}
        self.noted.append([project, settings.execution, given])
        return SimpleNamespace(run=lambda: self.problems)


def test_each_verb_does_what_its_environment_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened, said = Opened(monkeypatch), dict[str, Any]()
    build = {
        "OBJECT": "rollout/live/keeper.json",
        "MODELS_BUCKET": "models",
        "REPOSITORY": "host/p/r",
        "WORKSPACE": "/workspace",
    }
    watch = {
        "DATA_BUCKET": "data",
        "MODELS_BUCKET": "models",
        "REPOSITORY": "host/p/r",
        "TOPIC": "projects/p/topics/t",
    }
    training = {**environment(), "DATA_BUCKET": "data", "MODELS_BUCKET": "models"}
    training["CLOUD_RUN_EXECUTION"] = EXECUTION

    def run(name: str, *arguments: str, **environment: str) -> None:
        status = opened.run(*arguments, **environment)
        said[name] = {"status": status, "did": opened.noted, "log": logged(capsys)}
        opened.noted = []

    run("no verb")
    run("another verb", "build")
    run("watch", "watch", **watch)
    opened.failures = 3
    run("watch with failures", "watch", **watch)
    run("fetch", "fetch", **build)
    run("live", "live", **build)
    opened.wanted = None
    run("fetch without a release", "fetch", **build)
    run("live without a release", "live", **build)
    run("fetch for another object", "fetch", **{**build, "OBJECT": "runs/x.json"})
    run("retrain", "retrain", **training)
    opened.problems = ["one", "two"]
    run("retrain with problems", "retrain", **training)
    for name in watch:
        run(f"watch without {name}", "watch", **{**watch, name: ""})
    for name in build:
        run(f"live without {name}", "live", **{**build, name: ""})
    messages.check("control", json.loads(json.dumps(said)))
