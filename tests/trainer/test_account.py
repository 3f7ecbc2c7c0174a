"""What a training makes of its measures: manifest, log, files, outcome. Nothing real is trained."""

# pyright: reportPrivateUsage=false

import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import numpy as np
import pytest

from pipeline import documents, forgotten, layout, novelty, published, release
from pipeline.errors import Unavailable, UserError
from pipeline.generation import Candidate
from pipeline.lease import Busy
from pipeline.runs import Outcome
from pipeline.settings import Settings
from pipeline.store import PreconditionFailed, Store
from pipeline.tweets import to_jsonl
from pipeline.worker import Worker
from tests import messages
from tests.pipeline.curating import declare
from tests.pipeline.test_tweets import tweet
from tests.trainer.steps import Bucket, Steps
from tests.trainer.test_release import NOON, a_manifest, put
from trainer_image import __main__ as program
from trainer_image import (
    account,
    base_model,
    child,
    driver,
    evaluate,
    finetune,
    gate,
    prune,
    run,
    turn,
)
from trainer_image import lease as account_lease
from trainer_image.account import Trainer
from trainer_image.config import Config
from trainer_image.job import Job, Result

ENVIRONMENT = {
    "DATA_BUCKET": "d",
    "MODELS_BUCKET": "m",
    "BASE_MODELS": "/nowhere/base",
    "MODELS_MOUNT": "/nowhere/mount",
    "SETTINGS": json.dumps({"steps": 4, "save_every": 2, "min_tweets": 20, "seed": 9}),
    "MAX_RUN_SECONDS": "60",
    "KEEP_RELEASES": "2",
}
LIVE = release.tag(NOON - timedelta(days=1), "0123456789")


class Bucketful(Steps):
    """A bucket in memory that also takes files."""

    def upload(self, name: str, path: Path) -> None:
        self.write(name, path.read_bytes(), generation=0)


class Lease:
    """A lease that counts how often it is renewed."""

    renewed = 0

    def renew(self) -> None:
        self.renewed += 1


class Scores:
    """A model whose losses are given."""

    def __init__(self, nats: float) -> None:
        self._nats = nats

    def nats(self, texts: Sequence[str]) -> float:
        return self._nats * len(texts)

    def scored_tokens(self, texts: Sequence[str]) -> int:
        return 2 * len(texts)


class Training:
    """A world in which the process that trains, and the models, are stand-ins."""

    def __init__(self, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.data, self.models, self.lease = Bucketful(Bucket()), Bucketful(Bucket()), Lease()
        self.scratch = scratch
        self.jobs: list[Job] = []
        self.loaded: list[Any] = []
        self.sampled: list[int] = []
        self.losses = [(1, 3.0), (2, 2.5), (3, 2.25), (4, 2.125)]
        self.nats = {"release": 3.0, LIVE: 3.0}
        self.text = "nothing of that"
        self.config = Config.read(ENVIRONMENT)
        segment = to_jsonl([tweet(id=str(n), text=f"fog number {n}") for n in range(60)])
        self.data.write(f"{layout.segments('keeper')}1.jsonl", segment, generation=0)
        declare(self.data, "keeper")
        monkeypatch.setattr(account.child, "finetune", self._finetune)
        monkeypatch.setattr(account, "time", SimpleNamespace(monotonic=lambda: 100.0))
        monkeypatch.setattr(account, "load", self._load)
        monkeypatch.setattr(account, "sample", self._sample)
        monkeypatch.setattr(account.base_model, "find", self._find)

    def train(self, clock: Callable[[], datetime] = lambda: NOON) -> Outcome:
        trainer = Trainer(self.config, "mine", self.data, self.models, self.scratch, clock)
        return trainer.train("keeper", self.lease)  # pyright: ignore[reportArgumentType]

    @property
    def manifest(self) -> release.Manifest:
        (tag,) = (t for t in release.tags(self.models, "keeper") if t != LIVE)
        return release.read_manifest(self.models, "keeper", tag)

    def go_live(self, **changes: Any) -> None:
        before = a_manifest(LIVE).model_copy(update={"settings": Settings(), **changes})
        put(self.models, before)
        known = b'{"train": ["1"], "held_out": ["2"]}'
        name = layout.release("keeper", LIVE) + release.DATASET
        self.models.write(name, known, generation=0)
        release.move_live(self.models, "keeper", LIVE, "test", 0, NOON)

    def _finetune(
        self, job: Job, folder: Path, on_step: child.OnStep, on_score: child.OnScore
    ) -> Result:
        self.jobs.append(job)
        for step, loss in self.losses:
            on_step(step, loss)
        on_score(1, 2)
        model = folder / "release/model"
        model.mkdir(parents=True)
        (model / "model.bin").write_bytes(b"weights")
        return Result(step=2, held_out_float=1.5, held_out_curve=[(0, 6.0), (2, 1.5)])

    def _find(self, name: str, ahead: Path, mount: Path) -> Path:
        return Path("/base", name)

    def _load(self, folder: Path, seed: int | None = None) -> Scores:
        self.loaded.append([str(folder).replace(str(self.scratch), "SCRATCH"), seed])
        return Scores(self.nats[LIVE if LIVE in str(folder) else "release"])

    def _sample(self, model: Scores, count: int) -> list[Candidate]:
        self.sampled.append(count)
        return [Candidate(f"{self.text} {n % 2}", True, -1.0) for n in range(4)]


@pytest.fixture
def training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Training:
    return Training(tmp_path, monkeypatch)


def logged(capsys: pytest.CaptureFixture[str]) -> list[Any]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_first_training_makes_the_reviewed_release(
    training: Training, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = training.train()
    manifest = training.manifest
    pointer = release.read_live(training.models, "keeper")
    assert pointer is not None
    messages.check(
        "training",
        {
            "outcome": outcome.model_dump(mode="json"),
            "manifest": manifest.model_dump(mode="json"),
            "pointer": pointer.document.model_dump(mode="json"),
            "objects": training.models.names(""),
            "job": training.jobs[0].model_dump(mode="json"),
            "loaded": training.loaded,
            "sampled": training.sampled,
            "renewed": training.lease.renewed,
            "log": logged(capsys),
        },
    )


def test_a_further_training_starts_gently_from_the_live_release(training: Training) -> None:
    training.go_live()
    assert training.train().outcome == "live"
    (job,) = training.jobs
    assert job.start == Path("/nowhere/mount/releases/keeper", LIVE, "checkpoint")
    assert job.settings.learning_rate == pytest.approx(1e-4 / 4)
    manifest = training.manifest
    assert (manifest.warm_start, manifest.compared_with) == (LIVE, LIVE)
    assert manifest.settings.learning_rate == 1e-4
    assert manifest.loss.held_out_int8 == 1.5
    assert manifest.loss.live_int8 == 1.5
    assert training.loaded == [
        ["SCRATCH/keeper/release/model", 9],
        [f"/nowhere/mount/releases/keeper/{LIVE}/model", None],
    ]


def test_a_release_of_another_base_model_is_compared_and_not_started_from(
    training: Training,
) -> None:
    training.go_live(base_model="355M")
    training.train()
    assert training.jobs[0].start == Path("/base/124M")
    assert training.jobs[0].settings.learning_rate == 1e-4
    assert (training.manifest.warm_start, training.manifest.compared_with) == (None, LIVE)


def test_a_live_release_that_has_learnt_a_forgotten_tweet_is_replaced_from_the_base_model(
    training: Training,
) -> None:
    """However little is new, and whatever the loss of the new one."""
    training.go_live(settings=training.config.settings)
    release.mark_learnt(training.models, "keeper", LIVE, NOON)
    known = [str(n) for n in range(60)]
    ids = documents.dump(release.TweetIds(train=known, held_out=[]))
    name = layout.release("keeper", LIVE) + release.DATASET
    training.models.remove(name)
    training.models.write(name, ids, generation=0)
    training.nats = {"release": 9.0, LIVE: 3.0}
    outcome = training.train()
    assert outcome.outcome == "live"
    assert outcome.reason == f"it replaces {LIVE}, which has learnt tweets that were forgotten"
    (job,) = training.jobs
    assert job.start == Path("/base/124M")
    assert job.settings.learning_rate == 1e-4
    manifest = training.manifest
    assert (manifest.warm_start, manifest.compared_with) == (None, LIVE)
    assert manifest.loss.live_int8 is None
    assert manifest.learnt_forgotten is None


def forget(training: Training, *ids: str) -> None:
    entry = forgotten.Entry(ids=list(ids), at=NOON, why="asked by mail", by="operator ada")
    forgotten.remember(training.data, "keeper", entry)


def test_a_forgotten_tweet_is_not_trained_on(training: Training) -> None:
    forget(training, "7")
    training.train()
    (job,) = training.jobs
    assert not [text for text in (*job.train, *job.held_out) if text == "fog number 7"]
    assert len(job.train) + len(job.held_out) == 59


def test_a_release_whose_tweets_are_forgotten_while_it_is_trained_does_not_go_live(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = account.child.finetune

    def meanwhile(*given: Any, **more: Any) -> Result:
        (tweet_id,) = (n for n in range(60) if given[0].train[0] == f"fog number {n}")
        forget(training, str(tweet_id))
        return real(*given, **more)

    monkeypatch.setattr(account.child, "finetune", meanwhile)
    outcome = training.train()
    assert outcome.outcome == "refused"
    assert outcome.reason == "tweets that it has learnt were forgotten meanwhile: train again"
    assert training.manifest.learnt_forgotten == NOON
    assert release.read_live(training.models, "keeper") is None
    assert training.train() == outcome  # its own release is found, and nothing is trained again


def test_a_release_that_started_from_one_that_is_marked_meanwhile_does_not_go_live(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    training.go_live()
    real = account.child.finetune

    def meanwhile(*given: Any, **more: Any) -> Result:
        forget(training, "1000")
        release.mark_learnt(training.models, "keeper", LIVE, NOON)
        return real(*given, **more)

    monkeypatch.setattr(account.child, "finetune", meanwhile)
    assert training.train().outcome == "refused"
    assert training.manifest.learnt_forgotten == NOON


def test_a_release_that_is_marked_just_before_it_goes_live_does_not(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = release.move_live

    def late(store: Store, name: str, tag: str, *given: Any, **more: Any) -> int:
        release.mark_learnt(store, name, tag, NOON)
        return real(store, name, tag, *given, **more)

    monkeypatch.setattr(release, "move_live", late)
    outcome = training.train()
    assert outcome.outcome == "refused"
    assert "can never go live" in outcome.reason
    assert release.read_live(training.models, "keeper") is None


@pytest.mark.parametrize("why", ["worse", "memorised", "unusable"])
def test_a_model_that_the_gate_refuses_is_stored_and_not_live(
    training: Training, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    training.go_live()

    def objection(*_: object) -> str:
        return f"{why}!"

    monkeypatch.setattr(gate, why, objection)
    outcome = training.train()
    assert (outcome.outcome, outcome.reason) == ("refused", f"{why}!")
    assert (training.manifest.gate, training.manifest.reason) == ("refused", f"{why}!")
    live = release.read_live(training.models, "keeper")
    assert live is not None
    assert live.document.release == LIVE
    assert training.train() == outcome  # its own release is found, and nothing is trained again
    assert len(training.jobs) == 1


def test_what_is_measured_is_what_the_gate_is_told(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, Any] = {}

    def telling(name: str) -> Callable[..., None]:
        def tell(*given: float) -> None:
            told[name] = given

        return tell

    def copying(texts: Sequence[str], training: novelty.NoveltyIndex) -> float:
        return float("fog number 7 0" in texts)

    for name in ("worse", "memorised", "unusable"):
        monkeypatch.setattr(gate, name, telling(name))
    training.go_live()
    training.nats = {"release": 4.0, LIVE: 3.0}
    training.text = "fog number 7"
    training.train()
    assert told == {"worse": (2.0, 1.5), "memorised": (0.0, 0.0), "unusable": (0.5,)}
    copies = release.Memorisation(samples=1.0, held_out=0.0)
    monkeypatch.setattr(account, "copying", copying)
    training.models.remove(layout.manifest("keeper", training.manifest.tag))
    (training.scratch / "again").mkdir()
    training.scratch = training.scratch / "again"
    training.models = Bucketful(Bucket())
    training.train()
    assert training.manifest.memorisation == copies


def test_a_pointer_that_moves_meanwhile_leaves_the_release_passed(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    def moved(*_: object, **__: object) -> None:
        raise PreconditionFailed

    monkeypatch.setattr(release, "move_live", moved)
    outcome = training.train()
    assert (outcome.outcome, outcome.reason) == ("passed", "another release went live meanwhile")
    assert outcome.release == training.manifest.tag
    monkeypatch.undo()
    other = release.tag(NOON, "f" * 10)
    put(training.models, a_manifest(other))
    live = documents.Stored(
        release.LivePointer(release=other, at=NOON, by="x", previous=None), generation=1
    )
    trainer = Trainer(
        training.config, "mine", training.data, training.models, training.scratch, lambda: NOON
    )
    made = a_manifest(LIVE)
    assert trainer._go_live(made, live).outcome == "passed"
    mine = documents.Stored(
        release.LivePointer(release=LIVE, at=NOON, by="x", previous=None), generation=1
    )
    assert trainer._go_live(made, mine) == Outcome(outcome="live", release=LIVE)


def test_a_loss_that_is_not_finite_ends_the_training_with_its_mend(training: Training) -> None:
    training.losses = [(1, 3.0), (2, math.inf)]
    with pytest.raises(
        UserError, match=r"^training loss became inf at step 2: lower learning_rate \(0\.0001\)$"
    ):
        training.train()


def test_progress_is_logged_once_a_second_and_at_the_last_step(
    training: Training, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    times = iter([100.0, 100.0, 100.5, 101.0, 101.0, 101.2, 101.2, 101.2])
    monkeypatch.setattr(account, "time", SimpleNamespace(monotonic=lambda: next(times)))
    training.train()
    steps = [line["step"] for line in logged(capsys) if line["message"] == "training"]
    assert steps == [1, 3, 4]


def test_a_base_model_that_is_nowhere_is_brought_to_the_machines_disk(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def bring(models: Store, name: str, folder: Path, run: str, clock: Any) -> Path:
        asked.append([models, name, str(folder), run, clock()])
        return folder

    def find(name: str, ahead: Path, mount: Path) -> None:
        asked.append([name, str(ahead), str(mount)])

    monkeypatch.setattr(account.base_model, "fetch", bring)
    monkeypatch.setattr(account.base_model, "find", find)
    training.train()
    assert asked == [
        ["124M", "/nowhere/base", "/nowhere/mount"],
        [training.models, "124M", "/nowhere/base/124M", "mine", NOON],
    ]
    assert training.jobs[0].start == Path("/nowhere/base/124M")


# A machine's run


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bucketful:
    """A machine whose buckets are one in memory; its program runs in this process."""
    bucket = Bucketful(Bucket())
    for name in ("keeper", "baker"):
        bucket.write(layout.base_pointer(name), b"{}", generation=0)
        declare(bucket, name)

    def opened(name: str) -> Bucketful:
        return bucket

    monkeypatch.setattr(program.Store, "open", opened)
    monkeypatch.setattr(program.clock, "now", lambda: NOON)
    monkeypatch.setattr(program.interrupt, "listen", lambda: None)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return bucket


def run_program(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["trainer_image", *arguments])
    return program.main()


def test_a_run_says_what_became_of_each_account_as_reviewed(
    machine: Bucketful, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Any] = []
    outcomes = {
        "keeper": Outcome(outcome="live", release=LIVE),
        "baker": Outcome(outcome="failed", reason="it broke"),
    }

    def take_all(name: str, accounts: Sequence[str], scratch: Path) -> Any:
        asked.append([name, accounts, scratch.name[:6], scratch.is_dir()])
        return (one for one in [("keeper", outcomes["keeper"]), ("baker", outcomes["baker"])])

    class Turns:
        def __init__(self, *given: Any) -> None:
            self._turns = take_all(*given)

        def __iter__(self) -> Any:
            return self._turns

        def close(self) -> None:
            asked.append("closed")

    monkeypatch.setattr(run.turn, "take_all", Turns)
    said: dict[str, Any] = {}

    def train(name: str, *arguments: str) -> None:
        said[name] = [run_program(monkeypatch, *arguments), *logged(capsys)]

    train("a run with a failure", "train", "first")
    train("the same again", "train", "first")
    outcomes["baker"] = Outcome(outcome="skipped", reason="nothing new")
    train("a run without", "train", "second")
    train("a name that cannot be", "train", "Second!")
    other = layout.run_lease()
    terms = {"run": "other", "expires": "2026-11-24T12:00:00Z", "by": "schedule"}
    machine.write(other, json.dumps(terms).encode(), generation=0)
    train("beside another run", "train", "third")
    machine.remove(other)

    def interrupted(*_: object) -> None:
        raise program.interrupt.Interrupted

    monkeypatch.setattr(run, "train", interrupted)
    train("an interrupted run", "train", "fourth")
    messages.check("trainer", said)
    assert asked == [
        ["first", ["baker", "keeper"], "train-", True],
        "closed",
        ["second", ["baker", "keeper"], "train-", True],
        "closed",
    ]
    results = {name: json.loads(machine._kept.objects[name][0]) for name in machine.names("runs/")}
    messages.check("trainer-results", results)


def test_a_result_of_another_machine_stays_and_is_told(
    machine: Bucketful, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise PreconditionFailed

    def train_none(machine: str, accounts: list[str]) -> dict[str, Outcome]:
        return {}

    monkeypatch.setattr(run, "_train_all", train_none)
    monkeypatch.setattr(run, "write_result", fail)
    run.train(Config.read(ENVIRONMENT), Worker.parse("first"), machine, lambda: NOON)
    messages.check("trainer-race", {"log": logged(capsys)})


def test_each_error_of_a_turn_becomes_its_outcome(
    machine: Bucketful, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pruned: list[Any] = []
    errors: dict[str, Exception | None] = {
        "none": None,
        "busy": Busy("run other has it"),
        "mistake": UserError("mend it"),
        "outage": Unavailable("later"),
        "disk": OSError("no space"),
        "defect": KeyError("two\nlines"),
    }

    def pruning(models: Store, name: str, keep: int, held: object, clock: object) -> None:
        pruned.append([name, keep])

    monkeypatch.setattr(turn.prune, "prune", pruning)
    said: dict[str, Any] = {}
    for name, error in errors.items():

        def train(
            _: object, account: str, held: object, error: Exception | None = error
        ) -> Outcome:
            if error is not None:
                raise error
            return Outcome(outcome="live", release=LIVE)

        monkeypatch.setattr(turn.Trainer, "train", train)
        outcome = turn._outcome("first", "keeper", Path("/nowhere"))
        lines = logged(capsys)
        for line in lines:
            assert "KeyError" in line.pop("stack_trace")
        said[name] = [outcome.model_dump(), *lines]
    assert pruned == [["keeper", 2]]
    messages.check("turns", said)


def test_a_turn_writes_its_outcome_where_it_was_told(
    machine: Bucketful, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Outcome(outcome="live", release=LIVE)

    def told(machine: str, account: str, scratch: Path) -> Outcome | None:
        return made if account == "keeper" else None

    monkeypatch.setattr(turn, "_outcome", told)
    monkeypatch.setattr(turn, "_end_with_parent", lambda: None)
    reader, writer = os.pipe()
    assert turn.main("first", "keeper", "/nowhere", str(writer)) == 0
    with os.fdopen(reader) as written:
        assert Outcome.model_validate_json(written.read()) == made

    def interrupted(*_: object) -> None:
        raise turn.interrupt.Interrupted

    monkeypatch.setattr(turn, "_outcome", interrupted)
    assert turn.main("first", "keeper", "/nowhere", "0") == 143


def test_a_lease_that_cannot_be_released_is_a_warning(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object) -> None:
        raise Unavailable("storage is down")

    bucket = Bucketful(Bucket())
    monkeypatch.setattr(account_lease.Lease, "release", down)
    with account_lease.held(bucket, "keeper", "mine", lambda: NOON):
        pass
    monkeypatch.setattr(run.run_lease, "release", down)
    with run.run_lease.held(bucket, Worker.parse("mine"), timedelta(hours=1), lambda: NOON):
        pass
    messages.check("leases-not-released", {"log": logged(capsys)})


def test_a_lease_is_renewed_once_half_of_it_has_passed() -> None:
    bucket, now = Bucketful(Bucket()), NOON
    held = account_lease.Lease(bucket, "keeper", "mine", lambda: now)
    for minutes, expires in ((15, 30), (15.01, 45.01), (30, 45.01), (30.1, 60.1)):
        now = NOON + timedelta(minutes=minutes)
        held.renew()
        found = documents.read(bucket, layout.lease("keeper"), account.documents.Document)
        assert found is not None
        extra = found.document.model_extra or {}
        assert datetime.fromisoformat(extra["expires"]) == NOON + timedelta(minutes=expires)


# Pruning, base models and the processes


def test_what_pruning_does_is_logged_as_reviewed(capsys: pytest.CaptureFixture[str]) -> None:
    bucket, said = Bucketful(Bucket()), dict[str, Any]()
    tags = [release.tag(NOON + timedelta(days=day), "0123456789") for day in range(5)]
    for tag in tags:
        put(bucket, a_manifest(tag))
        bucket.write(f"{layout.release('keeper', tag)}model/model.bin", b"", generation=0)
    unfinished = layout.release("keeper", release.tag(NOON - timedelta(days=9), "0123456789"))
    bucket.write(f"{unfinished}model/model.bin", b"", generation=0)
    bucket.write(layout.manifest("keeper", "20261120T120000Z-0123ffff"), b"{}", generation=0)
    bucket.write(
        f"{layout.release('keeper', '20261120T120000Z-0123ffff')}model/x", b"", generation=0
    )
    release.move_live(bucket, "keeper", tags[0], "t", 0, NOON)
    lease: Any = Lease()

    def look(name: str, day: float) -> None:
        now = NOON + timedelta(days=day)
        prune.prune(bucket, "keeper", 2, lease, lambda: now)
        said[name] = [*logged(capsys), bucket.names("releases/keeper/")]

    look("marked", 6)
    look("not yet", 8.99)
    look("emptied", 9)
    release.mark(bucket, "keeper", tags[0], NOON)
    look("in use after all", 10)
    bucket.remove(f"{layout.release('keeper', tags[0])}model/model.bin")
    bucket.write(f"{layout.release('keeper', tags[0])}checkpoint/x", b"", generation=0)
    release.mark(bucket, "keeper", tags[0], NOON)
    look("in use and damaged", 11)
    messages.check("prune", said)


def test_a_base_model_is_brought_as_reviewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket, slept, did = Bucketful(Bucket()), list[float](), list[Any]()
    kept = iter([False, False, False, True])
    holds = account_lease.Lease(bucket, "base-124M", "other", lambda: NOON)

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        holds.release()

    def is_stored(models: Store, name: str) -> bool:
        return next(kept)

    def noting(name: str) -> Callable[..., None]:
        def note(*given: object) -> None:
            did.append([name, *given])

        return note

    monkeypatch.setattr(published, "is_stored", is_stored)
    for name in ("download", "store", "restore"):
        monkeypatch.setattr(published, name, noting(name))
    folder = tmp_path / "124M"
    assert base_model.fetch(bucket, "124M", folder, "mine", lambda: NOON, sleep) == folder
    assert slept == [5.0]
    assert did == [["download", "124M", folder], ["store", bucket, "124M", folder]]
    did.clear()
    assert base_model.fetch(bucket, "124M", folder, "mine", lambda: NOON, sleep) == folder
    assert did == [["restore", bucket, "124M", folder]]
    messages.check("base-model", {"log": logged(capsys)})


@pytest.mark.parametrize(
    ("status", "text", "reason"),
    [
        (
            1,
            "x\nNo space left on device\ny",
            (
                "the trainer's disk is full: give the machine a larger one, or raise save_every"
                " to keep fewer checkpoints"
            ),
        ),
        (
            1,
            "OOM when allocating tensor",
            "the GPU's memory is too small: lower batch_size or window",
        ),
        (
            -9,
            "",
            "training was stopped by signal 9; for 9, give the machine more memory",
        ),
        (3, "", "training ended with status 3"),
        (3, "first\nlast\n\n", "last"),
    ],
)
def test_why_training_ended_is_told_with_its_mend(
    tmp_path: Path, status: int, text: str, reason: str
) -> None:
    (tmp_path / "errors").write_text(text)
    with (tmp_path / "errors").open() as errors:
        errors.read()
        assert child._reason(status, errors) == reason


def test_the_training_process_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        "[30 | 4.21] loss=2.13 avg=2.40\n",
        "something else\n",
        "scored 1 of 3\n",
    ]
    started: list[Any] = []

    class Process:
        returncode = 0

        def __init__(self, command: list[str], **how: Any) -> None:
            started.append([command, how])
            self.stdout = iter(lines)
            done = Result(step=1, held_out_float=1.0, held_out_curve=[])
            (tmp_path / "result.json").write_text(done.model_dump_json())

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def wait(self) -> int:
            return 0

    monkeypatch.setattr(child.subprocess, "Popen", Process)
    for name in ("PYTHONUNBUFFERED", "TF_CPP_MIN_LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    job = Job(settings=Settings(), start=tmp_path, require_gpu=False, train=["a"], held_out=["b"])
    steps, scores = list[tuple[int, float]](), list[tuple[int, int]]()

    def on_step(step: int, loss: float) -> None:
        steps.append((step, loss))

    def on_score(done: int, texts: int) -> None:
        scores.append((done, texts))

    result = child.finetune(job, tmp_path, on_step, on_score)
    assert (result.step, steps, scores) == (1, [(30, 2.13)], [(1, 3)])
    assert Job.model_validate_json((tmp_path / "job.json").read_text()) == job
    ((command, how),) = started
    assert command == [sys.executable, "-m", "trainer_image.finetune", str(tmp_path)]
    assert how["env"]["PYTHONUNBUFFERED"] == "1"
    assert how["env"]["TF_CPP_MIN_LOG_LEVEL"] == "2"
    assert how["cwd"] == Path(child.__file__).parents[1]
    assert (how["text"], how["errors"]) == (True, "replace")
    assert (how["stdin"], how["stdout"]) == (child.subprocess.DEVNULL, child.subprocess.PIPE)


def test_gpt_2_simple_is_called_with_the_jobs_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: list[int] = []
    called: dict[str, Any] = {}
    tf = SimpleNamespace(compat=SimpleNamespace(v1=SimpleNamespace(set_random_seed=seeds.append)))

    def train(session: str, **given: Any) -> None:
        called.update(session=session, **given)

    gpt2 = SimpleNamespace(start_tf_sess=lambda: "session", finetune=train)
    modules = {"tensorflow": tf, "gpt_2_simple.gpt_2": gpt2}
    monkeypatch.setattr(finetune, "import_module", modules.__getitem__)
    monkeypatch.setattr(finetune.random, "seed", seeds.append)
    monkeypatch.setattr(finetune.np.random, "seed", seeds.append)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "checkpoint/run"
    folder.mkdir(parents=True)
    for step in (30, 4, 200):
        (folder / f"model-{step}.index").touch()
    settings = Settings(steps=7, learning_rate=0.02, batch_size=3, window=32, save_every=5, seed=11)
    session, checkpoints = finetune.train(Path("tweets.npz"), Path("/models/124M"), settings)
    assert session == "session"
    assert checkpoints == {n: Path(f"checkpoint/run/model-{n}") for n in (4, 30, 200)}
    assert list(checkpoints) == [4, 30, 200]
    assert seeds == [11, 11, 11]
    assert called == {
        "session": "session",
        "dataset": "tweets.npz",
        "steps": 7,
        "model_name": "124M",
        "model_dir": "/models",
        "restore_from": "fresh",
        "run_name": "run",
        "learning_rate": 0.02,
        "batch_size": 3,
        "accumulate_gradients": 1,
        "save_every": 5,
        "max_checkpoints": 7,
        "print_every": 1,
        "sample_every": 8,
    }
    windows = gpt2.Sampler([np.array([0, 1, 2], np.int32)] * 2)
    assert (len(windows.sample(1024)), windows.total_size) == (32, 6)


def test_a_loaded_model_leaves_a_processor_to_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []

    def model(folder: Path, **how: Any) -> None:
        given.append([folder, how])

    monkeypatch.setattr(evaluate, "Model", model)
    for processors, threads in ((8, 7), (2, 1), (1, 1), (None, 1)):
        monkeypatch.setattr(evaluate.os, "cpu_count", lambda n=processors: n)
        evaluate.load(Path("/m"), 3)
        assert given.pop() == [Path("/m"), {"threads": threads, "seed": 3}]


def test_samples_are_drawn_in_batches_of_a_hundred() -> None:
    drawn: list[Any] = []

    class Writer:
        vocabulary = None

        def candidates(self, sampling: Any, *, stop: Any) -> list[int]:
            drawn.append(sampling)
            assert isinstance(stop, evaluate.Overlong)
            return [1] * sampling.texts

    assert len(evaluate.sample(Writer(), 250)) == 250  # pyright: ignore[reportArgumentType]
    assert [one.texts for one in drawn] == [100, 100, 50]
    assert {one.length for one in drawn} == {280}


def test_what_is_missing_for_the_gpu_is_told_as_reviewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/x")
    not_loaded = "Could not load dynamic library '{}'; dlerror"
    said = {"no device": driver.missing("", tmp_path).replace(str(tmp_path), "/dev")}
    (tmp_path / "nvidia3").touch()
    for name, log in {
        "nothing": "",
        "no driver": "\n".join([not_loaded.format("libcuda.so.1")] * 2),
        "no management library": not_loaded.format("libnvidia-ml.so.1"),
        "no solver": not_loaded.format("libcusolver.so.11"),
        "no start": "failed call to cuInit: CUDA_ERROR\n",
        "no driver and no start": not_loaded.format("libcuda.so.1") + "\nfailed call to cuInit: X",
    }.items():
        said[name] = driver.missing(log, tmp_path)
    messages.check("gpu", said)


def test_the_loaders_log_is_asked_for_with_what_makes_it_speak(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []

    def run(command: list[str], **how: Any) -> Any:
        asked.append([command, how])
        if len(asked) == 2:
            raise driver.subprocess.TimeoutExpired(command, 1)
        return SimpleNamespace(stderr="the log")

    monkeypatch.setattr(driver.subprocess, "run", run)
    assert driver._loader_log() == "the log"
    assert driver._loader_log() == ""
    command, how = asked[0]
    assert command[:2] == [sys.executable, "-c"]
    assert "list_physical_devices('GPU')" in command[2]
    assert how["env"]["TF_CPP_MIN_LOG_LEVEL"] == "0"
    assert how["env"]["TF_CPP_VMODULE"] == "dso_loader=1"
    assert (how["timeout"], how["check"], how["errors"]) == (120, False, "replace")


@pytest.mark.parametrize("built", [True, False])
def test_without_a_gpu_the_reason_is_told(monkeypatch: pytest.MonkeyPatch, built: bool) -> None:
    seen: list[str] = []

    def missing(log: str, devices: Path) -> str:
        return f"{log} of {devices}"

    def one_device(kind: str) -> list[str]:
        return ["one"]

    tf = SimpleNamespace(
        config=SimpleNamespace(list_physical_devices=seen.append),
        test=SimpleNamespace(is_built_with_cuda=lambda: built),
    )
    monkeypatch.setattr(driver, "import_module", {"tensorflow": tf}.__getitem__)
    monkeypatch.setattr(driver, "_loader_log", lambda: "a log")
    monkeypatch.setattr(driver, "missing", missing)
    reason = (
        "a log of /dev" if built else "it is built without CUDA; install requirements/trainer.txt"
    )
    with pytest.raises(UserError) as raised:
        driver.require_gpu()
    assert str(raised.value) == f"TensorFlow sees no GPU: {reason}. Nothing was trained"
    assert seen == ["GPU"]
    tf.config.list_physical_devices = one_device
    driver.require_gpu()


def test_the_gates_limits_are_as_reviewed() -> None:
    assert (gate.worse(1.52, 1.5), gate.memorised(0.45, 0.2)) == (None, None)
    messages.check(
        "gate",
        {
            "worse": gate.worse(1.5201, 1.5),
            "memorised": gate.memorised(0.4501, 0.2),
            "unusable": gate.unusable(0.4999),
            "samples": account.SAMPLES,
            "file of hashes": novelty.FILE,
        },
    )


def test_the_programs_help_is_as_reviewed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    pages: dict[str, Any] = {}
    for arguments, status in ((["--help"], 0), (["train"], 2)):
        monkeypatch.setattr(sys, "argv", ["trainer_image", *arguments])
        with pytest.raises(SystemExit) as ended:
            program._arguments()
        assert ended.value.code == status
        out, err = capsys.readouterr()
        pages[" ".join(arguments)] = " ".join((out or err).split())
    messages.check("trainer-help", pages)


def test_shares_are_of_all_texts() -> None:
    index = novelty.NoveltyIndex.build(["one two three"])
    assert evaluate.copying(["one two three", "a", "b", "c"], index) == 0.25
    drawn = [Candidate("a", True, -1.0), Candidate("a", True, -1.0), Candidate("b", False, -1.0)]
    assert evaluate.valid([*drawn, Candidate("c", True, -1.0)]) == 0.5


def test_all_words_but_the_last_are_weighed_together() -> None:
    assert evaluate.overlong("x" * 150 + " " + "y" * 150 + " z")
    assert not evaluate.overlong("x" * 150 + " " + "y" * 150)
    assert evaluate.overlong("x" * 281 + " z")
    assert not evaluate.overlong("x" * 280 + " z")


def test_a_turn_ends_when_the_program_that_gave_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    did: list[Any] = []
    started: list[Any] = []

    class Thread:
        def __init__(self, **how: Any) -> None:
            started.append(how)

        def start(self) -> None:
            did.append("started")

    def outcome(*_: object) -> Outcome:
        return Outcome(outcome="live")

    def doing(*given: int) -> None:
        did.append(given)

    monkeypatch.setattr(turn.interrupt, "listen", lambda: None)
    monkeypatch.setattr(turn.threading, "Thread", Thread)
    monkeypatch.setattr(turn, "_outcome", outcome)
    reader, writer = os.pipe()
    assert turn.main("first", "keeper", "/nowhere", str(writer)) == 0
    os.close(reader)
    assert started == [{"target": turn._end_with_parent, "daemon": True}]
    monkeypatch.setattr(turn.sys, "stdin", SimpleNamespace(fileno=lambda: 7))
    monkeypatch.setattr(turn.os, "read", doing)
    monkeypatch.setattr(turn.os, "kill", doing)
    turn._end_with_parent()
    assert did == ["started", (7, 1), (os.getpid(), turn.signal.SIGTERM)]
