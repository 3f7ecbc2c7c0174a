"""What the parts of the pipeline say and ask for is what was reviewed."""

# pyright: reportPrivateUsage=false

import base64
import hashlib
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import google.auth
import pytest
import requests
from requests.adapters import HTTPAdapter

from pipeline import (
    archive,
    clock,
    corpus,
    documents,
    generation,
    history,
    interrupt,
    last_collection,
    layout,
    lease,
    news,
    published,
    release,
    run_lease,
    runs,
    secrets,
    slots,
    tokens,
    tweets,
)
from pipeline import (
    google as google_api,
)
from pipeline.archive import files as archive_files
from pipeline.errors import PipelineError, Unavailable, UserError
from pipeline.generation import Model, Sampling
from pipeline.index import Index, Owner
from pipeline.lease import Terms
from pipeline.novelty import NoveltyIndex
from pipeline.prices import (
    OWNED_POST_READ,
    POST_CREATE,
    POST_READ,
    POST_WITH_LINK,
    USER_READ,
    post_read,
)
from pipeline.settings import Settings
from pipeline.spend import Ledger
from pipeline.store import PreconditionFailed
from pipeline.worker import Worker
from tests import messages
from tests.google_api import Session
from tests.trainer.steps import Bucket, Steps
from tests.trainer.test_release import a_manifest, put

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
TAG = "20261122T120000Z-01234567"


def said(call: Callable[[], object]) -> str:
    with pytest.raises(PipelineError) as raised:
        call()
    assert "\n" not in str(raised.value)
    who = "time" if isinstance(raised.value, Unavailable) else "a person"
    return f"{who} mends it: {raised.value}"


def test_secrets_are_asked_for_and_refused_as_reviewed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER", raising=False)
    name, lines = "projects/p/secrets/s", dict[str, Any]()

    def answers(*given: Any, **named: Any) -> Session:
        session = Session(*given, **named)
        monkeypatch.setattr(google_api, "session", lambda: session)
        return session

    there = answers(200, {"payload": {"data": base64.b64encode(b"sesame").decode()}})
    assert secrets.latest(name) == "sesame"
    secrets.add_version(name, "sesame")
    lines["asked"] = json.loads(json.dumps(there.asked))
    for status, body in (
        (404, {}),
        (400, {"error": {"status": "FAILED_PRECONDITION"}}),
    ):
        answers(status, body)
        assert secrets.latest(name) == ""
    cases: dict[str, tuple[int, dict[str, Any]]] = {
        "refused": (403, {"error": {"message": "no\n  grant"}}),
        "refused without a reason": (403, {"error": "no"}),
        "gone": (404, {}),
        "busy": (429, {}),
        "not quite an outage": (499, {}),
        "an outage": (500, {}),
        "no payload": (200, {}),
        "no text": (200, {"payload": {"data": base64.b64encode(b"\xff").decode()}}),
    }
    for case, given in cases.items():
        answers(*given)
        if case != "gone":
            lines[f"read, {case}"] = said(lambda: secrets.latest(name))
        if given[0] != 200:
            lines[f"add, {case}"] = said(lambda: secrets.add_version(name, "x"))
    answers(error=requests.ConnectionError("sesame"))
    lines["no response"] = said(lambda: secrets.latest(name))
    messages.check("secrets", lines)


@pytest.mark.parametrize("repeat", [True, False])
def test_a_session_of_google_repeats_what_is_safe(
    monkeypatch: pytest.MonkeyPatch, repeat: bool
) -> None:
    asked: list[Any] = []

    def default(scopes: list[str]) -> tuple[Any, str]:
        asked.append(scopes)
        return SimpleNamespace(), "p"

    monkeypatch.setattr(google.auth, "default", default)
    with google_api.session(repeat_posts=repeat) as session:
        for address in ("https://x/", "http://x/"):
            adapter = session.get_adapter(address)
            assert isinstance(adapter, HTTPAdapter)
            retries = adapter.max_retries
            assert (retries.total, retries.backoff_factor) == (3, 1)
            assert list(retries.status_forcelist) == [429, 500, 502, 503, 504]
            assert not retries.raise_on_status
            assert (retries.allowed_methods is None) == repeat
    assert asked == [["https://www.googleapis.com/auth/cloud-platform"]]


def test_a_lease_says_who_has_it_as_reviewed(capsys: pytest.CaptureFixture[str]) -> None:
    store, lines = Steps(Bucket()), dict[str, Any]()
    mine = Terms(run="mine", expires=NOW + timedelta(hours=1))
    held = lease.take(store, "leases/x.json", mine, NOW)
    theirs = Terms(run="theirs", expires=NOW + timedelta(hours=1))
    lines["taken"] = said(lambda: lease.take(store, "leases/x.json", theirs, NOW))
    assert lease.current(store, "leases/x.json", NOW + timedelta(hours=1)) is None
    lease.take(store, "leases/x.json", theirs, NOW + timedelta(hours=1))
    lines["lost"] = said(lambda: lease.renew(store, "leases/x.json", held, NOW))
    run_lease.take(store, "one", "schedule", NOW + timedelta(hours=1), lambda: NOW)
    run_lease.take(store, "one", "machine", NOW + timedelta(hours=9), lambda: NOW)
    kept = lease.current(store, layout.run_lease(), NOW)
    assert kept is not None
    assert (kept.by, kept.expires) == ("schedule", NOW + timedelta(hours=1))
    lines["of runs"] = said(lambda: run_lease.take(store, "two", "machine", NOW, lambda: NOW))
    assert run_lease.holder(store, NOW) == "one"

    class Moving(Steps):
        def delete(self, name: str, *, generation: int) -> None:
            raise PreconditionFailed(name)

    lease.release(Moving(store._kept), layout.run_lease(), "one", "schedule")
    lines["log"] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    run_lease.release(store, "one", "machine")
    assert run_lease.holder(store, NOW) == "one"
    run_lease.release(store, "one", "schedule")
    assert run_lease.holder(store, NOW) is None
    messages.check("leases", lines)


def test_stored_documents_are_the_reviewed_bytes() -> None:
    """The keys of every document, its version, and how it is written down."""
    store = Steps(Bucket())
    slot = slots.Slot(state="claimed", execution="e", nonce="n", at=NOW, expires=NOW)
    slots.write(store, "keeper", "20261123T0900Z", slot, generation=0)
    history.remember(store, "keeper", "20261123T0900Z", "a text")
    history.remember(store, "keeper", "20261123T0900Z", "a text")
    history.remember(store, "keeper", "20261123T1000Z", "a text")
    last_collection.succeeded(store, "keeper", NOW)
    assert last_collection.stopped(store, "keeper", "closed", "a reason", NOW)
    put(store, a_manifest(TAG))
    release.move_live(store, "keeper", TAG, "x", 0, NOW)
    outcome = runs.Outcome(outcome="live")
    result = runs.RunResult(run="r", started=NOW, finished=NOW, accounts={"keeper": outcome})
    runs.write_result(store, result)
    runs.write_accounts(store, "r", runs.RunAccounts(accounts=["keeper"], deadline=NOW))
    runs.write_verdict(store, "r", runs.RunVerdict(ended=NOW, problems=[]))
    lease.take(store, "leases/x.json", Terms(run="r", expires=NOW), NOW)
    stored = {name: store._kept.objects[name][0].decode().splitlines() for name in store.names("")}
    stored.pop(layout.manifest("keeper", TAG))
    index = Index(user_id="7", handle="lampkeeper")
    stored["index"] = documents.dump(index).decode().splitlines()
    stored["tweets"] = (
        tweets.to_jsonl([tweets.Tweet(id="7", text="a", created_at=NOW, source="archive")])
        .decode()
        .splitlines()
    )
    messages.check("documents", stored)


def test_an_unreadable_document_has_its_reviewed_line() -> None:
    def parse(data: bytes) -> Callable[[], object]:
        return lambda: documents.parse(slots.Slot, data, "gs://b/slot.json")

    first, second = "20261123T0900Z", b'{"id": "7", "text": "a"}'
    messages.check(
        "unreadable",
        {
            "no JSON": said(parse(b"{")),
            "a list": said(parse(b"[]")),
            "a missing key": said(parse(b"{}")),
            "a newer version": said(parse(b'{"version": 2}')),
            "a version that is no number": said(parse(b'{"version": "x"}')),
            "a tweet": said(lambda: tweets.from_jsonl(b"\n" + second, f"segments/{first}")),
            "no release": said(lambda: release.read_manifest(Steps(Bucket()), "keeper", TAG)),
            "no vocabulary": re.sub(
                r"[^:]*$", " …", said(lambda: tokens.Vocabulary(Path("/nowhere")))
            ),
            "no index": said(lambda: NoveltyIndex.load(Path("/nowhere"))),
        },
    )


def test_a_release_whose_files_are_others_has_its_reviewed_line(tmp_path: Path) -> None:
    lines: dict[str, str] = {}
    for name, files in {
        "another digest": {"model/model.bin": "00"},
        "another folder": {"model/../x": "00"},
    }.items():
        store = Steps(Bucket())
        put(store, a_manifest(TAG).model_copy(update={"files": files}))
        store.write(f"{layout.release('keeper', TAG)}model/model.bin", b"x", generation=0)
        lines[name] = said(lambda s=store: release.download_model(s, "keeper", TAG, tmp_path))
    messages.check("release-files", lines)


def test_the_prices_and_the_limit_are_as_reviewed() -> None:
    store, now = Steps(Bucket()), [NOW]
    ledger = Ledger(store, layout.spent("keeper"), Decimal("0.03"), lambda: now[0])
    assert [
        Decimal("0.005"),
        Decimal("0.010"),
        Decimal("0.015"),
        Decimal("0.20"),
        Decimal("0.001"),
    ] == [POST_READ, USER_READ, POST_CREATE, POST_WITH_LINK, OWNED_POST_READ]
    assert (post_read("bearer"), post_read("keys")) == (POST_READ, OWNED_POST_READ)
    ledger.reserve(POST_CREATE)
    reserved = ledger.reserve(POST_CREATE)
    messages.check("spend", {"limit": said(lambda: ledger.reserve(Decimal("0.001")))})
    assert ledger.left() == 0
    spent = ledger.spent()
    assert (spent.month, spent.count, spent.total) == ("2026-11", 2, 2)
    assert len(spent.nonce) == 16
    now[0] = NOW + timedelta(days=8)
    assert (ledger.spent().usd, ledger.spent().count, ledger.spent().total) == (0, 0, 2)
    ledger.give_back(POST_CREATE, 1, reserved)
    assert (ledger.spent().usd, ledger.spent().count, ledger.spent().total) == (0, 0, 1)


def test_a_schedule_or_a_machine_that_cannot_be_has_its_reviewed_line() -> None:
    messages.check(
        "schedules",
        {
            "no schedule": said(lambda: slots.latest("at nine", "Etc/UTC", NOW)),
            "no time zone": said(lambda: slots.latest("0 9 * * *", "Mars", NOW)),
            "no machine": said(lambda: Worker.parse("Second!")),
            "a long machine": said(lambda: Worker.parse("a" * 64)),
            "no such worker": said(lambda: Worker.parse("run-3of2")),
            "worker 0": said(lambda: Worker.parse("run-0of2")),
        },
    )
    assert Worker.parse("a" * 63).machines == ["a" * 63]
    assert Worker.parse("run-1of2").machines == ["run-1of2", "run-2of2"]


def test_why_an_account_is_not_trained_is_told_as_reviewed() -> None:
    settings = Settings()
    messages.check(
        "news",
        {
            "too few": news.too_few(99, 10, settings),
            "none held out": news.too_few(100, 0, settings),
            "enough": news.too_few(100, 1, settings),
            "nothing new": news.nothing_new(19, settings, same=True),
            "new": news.nothing_new(20, settings, same=True),
            "other settings": news.nothing_new(0, settings, same=False),
        },
    )
    store = Steps(Bucket())
    with pytest.raises(
        UserError, match=r"^gs://models/releases/keeper/.*/dataset\.json is missing"
    ):
        news._trained_on(store, a_manifest(TAG))


SETTINGS: dict[str, tuple[Any, ...]] = {
    "base_model": ("a", "a" * 32, "", "a" * 33, "-a", "a/b"),
    "steps": (1, 100_000, 0, 100_001),
    "learning_rate": (1e-9, 0.1, 0, 0.1001),
    "batch_size": (1, 256, 0, 257),
    "window": (16, 1024, 15, 1025),
    "save_every": (1, 10**6, 0),
    "min_tweets": (20, 10**6, 19),
    "min_new_tweets": (1, 10**6, 0),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_takes_its_bounds_and_nothing_beyond(name: str) -> None:
    least, most, *beyond = SETTINGS[name]
    for value in (least, most):
        assert getattr(Settings.model_validate({name: value}), name) == value
    for value in beyond:
        with pytest.raises(ValueError, match=name):
            Settings.model_validate({name: value})


def test_the_published_models_are_as_reviewed() -> None:
    models = {
        name: {file: [known.size, known.sha256] for file, known in files.items()}
        for name, files in published.MODELS.items()
    }
    unknown = said(lambda: published.check_name("my-own"))
    messages.check("published", {"host": published.HOST, "models": models, "unknown": unknown})


Answer = tuple[int, bytes, dict[str, str]]


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """OpenAI's host, in this process: `answer` makes the response to each request."""
    made = SimpleNamespace(asked=[], slept=[], answer=None)

    class Response:
        def __init__(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.status_code, self.headers, self._body = status, headers, body

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def iter_content(self, size: int) -> Iterator[bytes]:
            assert size == 1024 * 1024
            yield from (self._body[:3], self._body[3:])

    def get(url: str, **how: Any) -> Response:
        made.asked.append([url, how])
        return Response(*made.answer(url))

    monkeypatch.setattr(published.requests, "get", get)
    monkeypatch.setattr(published.time, "sleep", made.slept.append)
    yield made


def test_a_download_that_fails_is_told_as_reviewed(host: SimpleNamespace, tmp_path: Path) -> None:
    lines: dict[str, str] = {}

    def broken(_: str) -> Answer:
        raise requests.ConnectionError

    def hello(**headers: str) -> Callable[[str], Answer]:
        return lambda _: (200, b"hello", {f"Content-{k}": value for k, value in headers.items()})

    good = base64.b64encode(hashlib.md5(b"hello", usedforsecurity=False).digest()).decode()
    cases: tuple[tuple[str, Callable[[str], Answer], published.File], ...] = (
        ("no response", broken, published.File()),
        ("a status", lambda _: (404, b"", {}), published.File()),
        ("too short", hello(Length="9"), published.File()),
        ("no length", hello(), published.File()),
        ("another size", hello(Length="5"), published.File(7)),
        ("another digest", hello(), published.File(5, "00")),
        ("another MD5", hello(MD5="x"), published.File(5)),
    )
    for name, answer, known in cases:
        host.answer = answer
        host.asked.clear()
        host.slept.clear()
        lines[name] = said(lambda k=known: published._download("https://h/x", tmp_path / "x", k))
        assert host.asked == [["https://h/x", {"stream": True, "timeout": (10, 60)}]] * 3
        assert host.slept == [1, 1]
    messages.check("downloads", lines)
    host.answer = hello(MD5=good)
    published._download("https://h/x", tmp_path / "x", published.File(5))
    assert (tmp_path / "x").read_bytes() == b"hello"


def test_texts_are_drawn_and_scored_with_the_reviewed_arguments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []

    class Vocabulary:
        end, size = 0, 50_257

        def __init__(self, folder: Path) -> None:
            pass

        def encode(self, text: str) -> list[int]:
            return [len(word) for word in text.split()]

        def between_ends(self, text: str) -> list[int]:
            return [0, *self.encode(text), 0]

        def decode(self, ids: list[int]) -> str:
            return " ".join(str(one) for one in ids if one)

        def token(self, id: int) -> str:  # noqa: A002
            return f"<{id}>"

    class Generator:
        def __init__(self, *given: Any, **named: Any) -> None:
            asked.append(["load", *given, named])

        def generate_batch(self, prompts: list[list[str]], **named: Any) -> list[Any]:
            prompt = prompts[0]
            assert prompts == [prompt] * len(prompts)
            asked.append([f"draw {len(prompts)}", prompt[:3], len(prompt), named])
            return [
                SimpleNamespace(sequences_ids=[[3, 4, 0]], scores=[-1.5]),
                SimpleNamespace(sequences_ids=[[3, 4]], scores=[-2.5]),
            ]

        def score_batch(self, *given: Any, **named: Any) -> list[Any]:
            asked.append(["score", *given, named])
            return [SimpleNamespace(log_probs=[-1.0, -0.5]), SimpleNamespace(log_probs=[-0.25])]

    def seed(number: int) -> None:
        asked.append(["seed", number])

    monkeypatch.setattr(generation, "Vocabulary", Vocabulary)
    monkeypatch.setattr(generation.ctranslate2, "Generator", Generator)
    monkeypatch.setattr(generation.ctranslate2, "set_random_seed", seed)
    monkeypatch.setattr(generation.os, "cpu_count", lambda: None)
    Model(Path("/m"))
    model = Model(Path("/m"), threads=3, seed=7)
    drawn = model.candidates()
    assert [(one.text, one.ended, one.likelihood) for one in drawn] == [
        ("3 4", True, -1.5),
        ("3 4", False, -2.5),
    ]
    assert model.candidates(Sampling(prefix="the sea ", length=5, texts=1))[0].text == "the sea 3 4"
    model.candidates(Sampling(prefix=" ".join(["a"] * 279), top_k=50_257, texts=1))
    model.candidates(Sampling(top_k=50_256, top_p=0.5, temperature=1.5, texts=1))
    assert model.nats(["a b", "c"]) == 1.75
    assert model.scored_tokens(["a b", "c"]) == 5
    assert model.tokens("a b") == 2
    messages.check("generation", {"asked": json.loads(json.dumps(asked))})


def test_a_model_that_cannot_be_loaded_has_its_reviewed_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("two\nlines")

    def vocabulary(folder: Path) -> None:
        pass

    monkeypatch.setattr(generation, "Vocabulary", vocabulary)
    monkeypatch.setattr(generation.ctranslate2, "Generator", broken)
    messages.check("model", {"broken": said(lambda: Model(Path("/m")))})


def an_archive(path: Path, **files: str) -> Path:
    with zipfile.ZipFile(path, "w") as made:
        for name, text in files.items():
            made.writestr(name.replace("__", "/") + ".js", text)
    return path


def test_an_archive_that_is_none_has_its_reviewed_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = {
        "userInfo": {"userName": "lampkeeper"},
        "dataTypes": {"none": {}, "t": {"files": [{"fileName": "data/tweets.js", "count": "2"}]}},
    }
    one = {"id_str": "7", "full_text": "a", "created_at": "2026-01-01T00:00:00.000Z"}
    head = "window.YTD.tweets.part0 = "
    good = head + json.dumps([{"tweet": one}])
    listed = "window.__THAR_CONFIG = " + json.dumps(manifest)
    note = "window.YTD.note_tweet.part0 = "
    cases = {
        "no tweets": {"data__like": "x"},
        "no assignment": {"data__tweets": "[]"},
        "no JSON": {"data__tweets": head + "["},
        "no list": {"data__tweets": head + "{}"},
        "damaged notes": {"data__tweets": good, "data__note-tweet": note + "7"},
        "an odd account": {"data__tweets": good, "data__account": note + "[7]"},
        "two folders": {"a__tweets": good, "b__tweets": good},
        "a missing part": {"data__tweets-part1": good, "data__manifest": listed},
        "a damaged manifest": {"data__tweets": good, "data__manifest": head + "{}"},
        "too few entries": {"data__tweets": good, "data__manifest": listed},
        "a way out": {"..__data__tweets": good},
    }
    keeper = Owner(None, "lampkeeper")
    (tmp_path / "lone.js").write_text(good)
    lines: dict[str, str] = {}
    for name, files in cases.items():
        path = an_archive(tmp_path / "x.zip", **files)
        lines[name] = said(lambda p=path: archive.read([p], keeper))
    path = an_archive(tmp_path / "x.zip", data__tweets=good, data__manifest=listed)
    lines["of somebody else"] = said(lambda: archive.read([path], Owner("7", "baker")))
    lines["of nobody"] = said(lambda: archive.read([tmp_path / "lone.js"]))
    lines["of two archives"] = said(lambda: archive.read([path, path]))
    (tmp_path / "y.zip").write_bytes(b"no zip")
    lines["no zip"] = said(lambda: archive.read([tmp_path / "y.zip"]))
    lines["no file"] = said(lambda: archive.read([tmp_path / "z.zip"]))
    monkeypatch.setattr(archive_files, "_MOST_BYTES", 7)
    lines["too large"] = said(lambda: archive.read([path]))
    messages.check(
        "archive", {name: line.replace(f"{tmp_path}/", "") for name, line in lines.items()}
    )


def test_an_archive_may_unpack_to_four_gibibytes() -> None:
    assert archive_files._MOST_BYTES == 4 * 1024**3


def test_a_data_set_has_the_same_digest_on_every_machine() -> None:
    one = tweets.Tweet(id="7", text="é", created_at=NOW, source="archive")
    assert corpus.digest([one]) == corpus.digest([one.model_copy(update={"source": "timeline"})])
    held = [str(number) for number in range(200) if corpus.held_out(str(number))]
    messages.check("corpus", {"digest": corpus.digest([one]), "held out": held})


def test_signals_are_heard_once_and_then_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    handlers: dict[int, Any] = {}
    monkeypatch.setattr(interrupt.signal, "signal", handlers.__setitem__)
    interrupt.listen()
    assert set(handlers) == {interrupt.signal.SIGTERM, interrupt.signal.SIGINT}
    with pytest.raises(interrupt.Interrupted):
        handlers[interrupt.signal.SIGTERM]()
    assert set(handlers.values()) == {interrupt.signal.SIG_IGN}


def test_a_clock_that_is_set_goes_on_from_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOCK", "2031-05-01T12:00:00Z")
    monkeypatch.setattr(clock, "_started", 100.0)
    monkeypatch.setattr(clock, "time", SimpleNamespace(monotonic=lambda: 107.5))
    assert clock.now() == datetime(2031, 5, 1, 12, 0, 7, 500_000, tzinfo=UTC)
