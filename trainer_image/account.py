"""Trains one account, from its tweets to a live release, step by step."""

import hashlib
import math
import time
from collections.abc import Callable
from pathlib import Path

from pipeline import corpus, documents, layout, learnt, news, novelty, release
from pipeline.clock import Clock
from pipeline.curation import Kept
from pipeline.documents import Stored
from pipeline.errors import UserError
from pipeline.log import log
from pipeline.news import News
from pipeline.novelty import NoveltyIndex
from pipeline.release import Dataset, LivePointer, Loss, Manifest, Memorisation, TweetIds
from pipeline.runs import Outcome
from pipeline.settings import Settings
from pipeline.store import PreconditionFailed, Store
from trainer_image import base_model, child, gate, gpu
from trainer_image.config import Config
from trainer_image.evaluate import copying, load, sample, valid
from trainer_image.job import RELEASE, Job
from trainer_image.lease import Lease

SAMPLES = 200
# The share of the learning rate when training starts from a release. The full rate undoes some of
# the earlier training. Measured on the sample tweets: held-out loss rose from 1.39 to 1.43 and then
# fell to 1.40; at a quarter of the rate it fell to 1.35.
WARM_RATE = 0.25
LOG_EVERY = 1.0  # seconds
# A resumed run looks for its own release among this number of the newest ones. Runs happen one at a
# time, so there are newer releases only if other runs trained while this one was interrupted.
_NEWEST = 5

Live = Stored[LivePointer]


class Trainer:
    """Trains accounts of one run.

    `data` and `models` are the buckets, `scratch` is a folder on the local disk.
    """

    def __init__(
        self, config: Config, run: str, data: Store, models: Store, scratch: Path, clock: Clock
    ) -> None:
        self.config, self.run, self.scratch, self.clock = config, run, scratch, clock
        self.data, self.models = data, models

    def train(self, account: str, lease: Lease) -> Outcome:
        """Train an account; raises UserError, and releases nothing, if it cannot be trained."""
        settings = self.config.settings
        live = release.read_live(self.models, account)
        if own := self._own_release(account):
            return self._go_live(own, live)

        assessed = news.assess(self.data, self.models, account, live and live.document, settings)
        if assessed.refusal:
            return assessed.refusal
        before = assessed.before
        manifest = self._make_release(account, assessed, lease)
        outcome = self._go_live(manifest, live)
        if outcome.outcome == "live" and before and before.learnt_forgotten:
            reason = f"it replaces {before.tag}, which has learnt tweets that were forgotten"
            return outcome.model_copy(update={"reason": reason})
        return outcome

    def _make_release(self, account: str, assessed: News, lease: Lease) -> Manifest:
        """Train, judge and store a release."""
        settings = self.config.settings
        tweets, before = assessed.curated.kept, assessed.before
        held_out = [tweet for tweet in tweets if corpus.held_out(tweet.id)]
        train = [tweet for tweet in tweets if not corpus.held_out(tweet.id)]

        # A release that has learnt forgotten tweets is replaced whatever the loss of the new one.
        rival = before if before and before.learnt_forgotten is None else None
        # Training starts from the live release, unless that has another base model.
        warm = rival if rival and rival.base_model == settings.base_model else None
        folder = self.scratch / account
        folder.mkdir()
        curve: list[tuple[int, float]] = []
        with gpu.alone(self.scratch, meanwhile=lease.renew):
            result = child.finetune(
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

        # The gate judges the int8 model, which is the one that the app loads.
        log("INFO", "judging", account=account)
        files = folder / RELEASE
        model = load(files / "model", settings.seed)
        texts = [tweet.text for tweet in held_out]
        training = NoveltyIndex.build(tweet.text for tweet in train)
        samples = sample(model, SAMPLES)
        tokens = model.scored_tokens(texts)
        loss = model.nats(texts) / tokens
        live_loss = rival and self._nats_of(rival, texts) / tokens
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

        # The release is complete once its manifest is uploaded.
        training.save(files / "model" / novelty.FILE)
        _write_dataset(files / release.DATASET, train, held_out)
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
            learn=assessed.learn,
            dropped=assessed.curated.reasons,
            loss=Loss(
                held_out_float=result.held_out_float,
                held_out_int8=loss,
                live_int8=live_loss,
                train_curve=curve,
                held_out_curve=result.held_out_curve,
            ),
            memorisation=memorised,
            valid=usable,
            step=result.step,
            files=_digests(files),
            gate="refused" if reason else "passed",
            reason=reason or "",
        )
        lease.renew()
        self._upload(manifest, files)
        return manifest

    def _own_release(self, account: str) -> Manifest | None:
        """The release that this run made before it was interrupted, if it made one.

        Reads only the newest releases. If several other runs have released the account since, this
        run trains it again.
        """
        newest = release.tags(self.models, account)[-_NEWEST:]
        manifests = release.readable(self.models, account, reversed(newest))
        return next((manifest for manifest in manifests if manifest.run == self.run), None)

    def _start(self, warm: Manifest | None) -> Path:
        if warm:
            return self._mounted(warm) / "checkpoint"
        config, name = self.config, self.config.settings.base_model
        return base_model.find(name, config.base_models, config.models_mount) or base_model.fetch(
            self.models, name, config.base_models / name, self.run, self.clock
        )

    def _mounted(self, manifest: Manifest) -> Path:
        return self.config.models_mount / layout.release(manifest.account, manifest.tag)

    def _nats_of(self, before: Manifest, texts: list[str]) -> float:
        return load(self._mounted(before) / "model").nats(texts)

    def _progress(
        self, account: str, lease: Lease, curve: list[tuple[int, float]]
    ) -> Callable[[int, float], None]:
        """The callback for each step and its training loss; it adds to `curve`."""
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
        """Upload every file and then the manifest, which completes the release."""
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
        name = layout.manifest(manifest.account, manifest.tag)
        documents.write(self.models, name, manifest, generation=0)

    def _go_live(self, manifest: Manifest, live: Live | None) -> Outcome:
        """Make a release live, if the live release is still the one that it was compared with."""
        tag = manifest.tag
        if live and live.document.release == tag:
            return Outcome(outcome="live", release=tag)
        manifest = learnt.check(self.data, self.models, manifest, self.clock())
        if manifest.learnt_forgotten is not None:
            reason = "tweets that it has learnt were forgotten meanwhile: train again"
            return Outcome(outcome="refused", release=tag, reason=reason)
        if manifest.gate == "refused":
            return Outcome(outcome="refused", release=tag, reason=manifest.reason)
        overtaken = Outcome(
            outcome="passed", release=tag, reason="another release went live meanwhile"
        )
        if (live.document.release if live else None) != manifest.compared_with:
            return overtaken
        try:
            release.move_live(
                self.models,
                manifest.account,
                tag,
                by=f"run {self.run}",
                expected_generation=live.generation if live else 0,
                at=self.clock(),
            )
        except PreconditionFailed:
            return overtaken
        except release.NotAllowed as error:  # marked meanwhile
            return Outcome(outcome="refused", release=tag, reason=str(error))
        return Outcome(outcome="live", release=tag)


def _gentler(settings: Settings) -> Settings:
    """The settings for a training that starts from a release."""
    rate = settings.learning_rate * WARM_RATE
    return settings.model_copy(update={"learning_rate": rate})


def _write_dataset(path: Path, train: list[Kept], held_out: list[Kept]) -> None:
    ids = TweetIds(train=[tweet.id for tweet in train], held_out=[tweet.id for tweet in held_out])
    path.write_bytes(documents.dump(ids))


def _digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file below `folder`, by its path from there."""
    digests: dict[str, str] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            name = path.relative_to(folder).as_posix()
            digests[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests
