"""Trains one account, from its tweets to a live release; to be read from top to bottom."""

import hashlib
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

from pipeline import corpus, layout, news, novelty, release
from pipeline.clock import Clock
from pipeline.errors import UserError
from pipeline.log import log
from pipeline.novelty import NoveltyIndex
from pipeline.release import Dataset, LivePointer, Loss, Manifest, Memorisation
from pipeline.runs import Outcome
from pipeline.settings import Settings
from pipeline.store import Changed, Store
from pipeline.tweets import Tweet
from trainer_image import base_model, child, gate, gpu
from trainer_image.config import Config
from trainer_image.evaluate import Model, copying, valid
from trainer_image.job import RELEASE, Job
from trainer_image.lease import Lease

SAMPLES = 200
# A trained model that is trained on at the full rate loses at first what it knew: measured on the
# sample tweets, held-out loss 1.39 went up to 1.43 and ended at 1.40; at a quarter, at 1.35.
WARM_RATE = 0.25
LOG_EVERY = 1.0  # seconds

Live = tuple[LivePointer, int]


class Trainer:
    """Trains accounts of one run; `scratch` is a folder on the local disk."""

    def __init__(
        self, config: Config, run: str, data: Store, models: Store, scratch: Path, clock: Clock
    ) -> None:
        self.config, self.run, self.scratch, self.clock = config, run, scratch, clock
        self.data, self.models = data, models

    def train(self, account: str, lease: Lease) -> Outcome:
        """Raises UserError if the account cannot be trained; nothing of it is released then."""
        settings = self.config.settings
        live = release.read_live(self.models, account)
        if made := self._made_before(account):
            return self._go_live(made, live)

        found = news.look(self.data, self.models, account, live and live[0], settings)
        if found.refusal:
            return found.refusal
        return self._go_live(self._make(account, found.tweets, found.before, lease), live)

    def _make(
        self, account: str, tweets: list[Tweet], before: Manifest | None, lease: Lease
    ) -> Manifest:
        """Train, judge and store a release; `before` is the live one."""
        settings = self.config.settings
        held_out = [tweet for tweet in tweets if corpus.held_out(tweet.id)]
        train = [tweet for tweet in tweets if not corpus.held_out(tweet.id)]

        # Training, from the live release where that has the same base
        warm = before if before and before.base_model == settings.base_model else None
        folder = self.scratch / account
        folder.mkdir()
        curve: list[tuple[int, float]] = []
        with gpu.alone(self.scratch, meanwhile=lease.renew):
            answer = child.finetune(
                Job(
                    settings=_gentler(settings) if warm else settings,
                    start=self._start(warm),
                    require_gpu=self.config.require_gpu,
                    train=[tweet.text for tweet in train],
                    held_out=[tweet.text for tweet in held_out],
                ),
                folder,
                on_step=self._progress(account, lease, curve),
                on_score=lambda step, steps: log(
                    "INFO", "scoring", account=account, step=step, steps=steps
                ),
            )

        # The gate, on the model as it would be served
        log("INFO", "judging", account=account)
        made = folder / RELEASE
        model = Model(made / "model", settings.seed)
        texts = [tweet.text for tweet in held_out]
        training = NoveltyIndex.build(tweet.text for tweet in train)
        samples = model.sample(SAMPLES)
        loss = model.nats(texts) / model.tokens(texts)
        live_loss = before and self._nats_of(before, texts) / model.tokens(texts)
        memorised = Memorisation(
            samples=copying([sample.text for sample in samples], training),
            held_out=copying(texts, training),
        )
        usable = valid(samples)
        reason = (
            gate.worse(loss, live_loss)
            or gate.memorised(memorised.samples, memorised.held_out)
            or gate.unusable(usable)
        )

        # The release
        training.save(made / "model" / novelty.FILE)
        _write_dataset(made / release.DATASET, train, held_out)
        digest = corpus.digest(tweets)
        created = self.clock()
        manifest = Manifest(
            account=account,
            tag=release.tag(created, digest),
            created=created,
            run=self.run,
            dataset=Dataset(digest=digest, tweets=len(tweets), held_out=len(held_out)),
            base_model=settings.base_model,
            warm_start=warm and warm.tag,
            compared_with=before and before.tag,
            settings=settings,
            loss=Loss(
                held_out_float=answer.held_out_float,
                held_out_int8=loss,
                live_int8=live_loss,
                train_curve=curve,
                held_out_curve=answer.held_out_curve,
            ),
            memorisation=memorised,
            valid=usable,
            step=answer.step,
            files=_digests(made),
            gate="refused" if reason else "passed",
            reason=reason or "",
        )
        lease.renew()
        self._upload(manifest, made)
        return manifest

    def _made_before(self, account: str) -> Manifest | None:
        """The release of this very run, if it was interrupted after it."""
        releases = release.list_releases(self.models, account)
        return next((made for made in releases if made.run == self.run), None)

    def _start(self, warm: Manifest | None) -> Path:
        if warm:
            return self._mounted(warm) / "checkpoint"
        config, name = self.config, self.config.settings.base_model
        return base_model.find(name, config.base_models, config.models_mount) or base_model.bring(
            self.models, name, config.base_models / name, self.run, self.clock
        )

    def _mounted(self, made: Manifest) -> Path:
        return self.config.models_mount / layout.release(made.account, made.tag)

    def _nats_of(self, before: Manifest, texts: list[str]) -> float:
        return Model(self._mounted(before) / "model").nats(texts)

    def _progress(
        self, account: str, lease: Lease, curve: list[tuple[int, float]]
    ) -> Callable[[int, float], None]:
        """What is to be done at each step, given the step and its training loss."""
        settings = self.config.settings
        logged = -math.inf

        def on_step(step: int, loss: float) -> None:
            nonlocal logged
            if not math.isfinite(loss):
                raise UserError(
                    f"training loss became {loss} at step {step}: lower learning_rate "
                    f"({settings.learning_rate})"
                )
            if step % settings.save_every == 0 or step == settings.steps:
                curve.append((step, loss))
            if time.monotonic() - logged >= LOG_EVERY or step == settings.steps:
                logged = time.monotonic()
                log("INFO", "training", account=account, step=step, steps=settings.steps, loss=loss)
                lease.renew()

        return on_step

    def _upload(self, manifest: Manifest, folder: Path) -> None:
        """Every file, then the manifest: until it is there, there is no release."""
        for number, name in enumerate(manifest.files, start=1):
            log(
                "INFO",
                "uploading",
                account=manifest.account,
                step=number,
                steps=len(manifest.files),
            )
            prefix = layout.release(manifest.account, manifest.tag)
            self.models.upload(prefix + name, folder / name)
        self.models.write(
            layout.manifest(manifest.account, manifest.tag),
            manifest.model_dump_json(indent=1).encode(),
            generation=0,
        )

    def _go_live(self, made: Manifest, live: Live | None) -> Outcome:
        """Move the live pointer, unless it is no longer at the release of the gate's comparison."""
        if live and live[0].release == made.tag:
            return Outcome(outcome="live", release=made.tag)
        if made.gate == "refused":
            return Outcome(outcome="refused", release=made.tag, reason=made.reason)
        overtaken = Outcome(
            outcome="passed", release=made.tag, reason="another release went live meanwhile"
        )
        if (live[0].release if live else None) != made.compared_with:
            return overtaken
        try:
            release.move_live(
                self.models,
                made.account,
                made.tag,
                by=f"run {self.run}",
                expected_generation=live[1] if live else 0,
                at=self.clock(),
            )
        except Changed:
            return overtaken
        return Outcome(outcome="live", release=made.tag)


def _gentler(settings: Settings) -> Settings:
    rate = settings.learning_rate * WARM_RATE
    return settings.model_copy(update={"learning_rate": rate})


def _write_dataset(path: Path, train: list[Tweet], held_out: list[Tweet]) -> None:
    ids = {"train": [tweet.id for tweet in train], "held_out": [tweet.id for tweet in held_out]}
    path.write_text(json.dumps(ids))


def _digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file below `folder`, by its name there."""
    digests: dict[str, str] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            name = path.relative_to(folder).as_posix()
            digests[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests
