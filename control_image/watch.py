"""The watcher: repeats builds that were lost, and reports accounts that went silent.

- If an account's `:live` is not the image that its pointers name, the watcher sends the event that
  starts the build again: at once, and then at growing intervals.
- It reports an account that had no success in two ticks of a schedule. If a state stops collecting,
  such as a reached limit, the scraper has reported that, and the watcher does not report it again.
- It reports machines of a run by hand that are left over (`control_image.by_hand`).
- Once a week, it keeps the build trigger's subscription alive with a message that starts no build.

A report is a log line with an `event`, which an alert matches. The watcher keeps its state in one
document.
"""

from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import Annotated, Protocol

from pydantic import Field

from control_image import by_hand
from control_image.live import LIVE
from pipeline import declared, documents, events, last_collection, layout, slots
from pipeline.clock import Clock
from pipeline.documents import Document, Part
from pipeline.errors import PipelineError
from pipeline.log import log
from pipeline.release import read_base, read_live
from pipeline.store import PreconditionFailed, Store

# The longest time of a job. Collecting has two attempts of half an hour.
_AT_WORK = timedelta(hours=1)
# The time that a build is given. It may take 20 minutes, and may wait for another build.
_BUILD = timedelta(minutes=30)
# `:live` may be the wrong image for this long. Then an alert is due.
_LONG = timedelta(hours=1)
# The interval of keep-alive messages. The trigger's subscription expires after 31 days without one.
_ALIVE = timedelta(days=7)
# The number of newest ticks that are searched for a post.
_TICKS = 10


class Task(Part):
    """A schedule of an account, since when it is watched, and its last known success."""

    schedule: Annotated[
        str,
        Field(
            description="the cron expression and its time zone; if it changes, watching restarts"
        ),
    ]
    since: datetime
    success: datetime | None = None


class Image(Part):
    """The image that `:live` should be and is not: since when, and when it was last asked for."""

    tag: str
    since: datetime
    asked: datetime


class State(Document):
    """The watcher's state. `tasks` are by account and by kind ("collect" or "post")."""

    tasks: dict[str, dict[str, Task]] = Field(default_factory=dict)
    images: dict[str, Image] = Field(default_factory=dict)
    # When each run by hand was first seen.
    runs: dict[str, datetime] = Field(default_factory=dict)
    kept_alive: datetime | None = None


class Tags(Protocol):
    """The part of `Registry` that the watcher needs."""

    def digest(self, image: str, tag: str) -> str | None:
        """See `Registry`."""
        ...


class Topic(Protocol):
    """The part of `Rollout` that the watcher needs."""

    def announce(self, bucket: str, name: str, generation: int, at: datetime) -> None:
        """See `Rollout`."""
        ...

    def keep_alive(self) -> None:
        """See `Rollout`."""
        ...


def overdue(schedule: str, time_zone: str, since: datetime, now: datetime) -> bool:
    """Whether two ticks have passed since `since`, and the second one's job must have ended.

    Ticks are counted, not hours: a day on which clocks change has 23 or 25 hours.
    """
    *_, second = islice(slots.following(schedule, time_zone, since), 2)
    return second + _AT_WORK <= now


def ask_again(image: Image, now: datetime) -> bool:
    """Whether to send the event again. The wait doubles, and is at least as long as a build."""
    waited = image.asked - image.since
    return now >= image.asked + max(_BUILD, waited)


@dataclass(frozen=True)
class Watcher:
    """One execution of the watcher, for all accounts of a stack."""

    data: Store
    models: Store
    tags: Tags
    topic: Topic
    clock: Clock

    def run(self) -> int:
        """Check everything once; returns the number of failures."""
        stored = documents.read(self.data, layout.watch_state(), State)
        before = stored.document if stored else State()
        # A copy keeps the keys of a newer program.
        after = before.model_copy(update={"tasks": {}, "images": {}})
        prefix = layout.all_declared()
        accounts = [n.removeprefix(prefix).removesuffix(".json") for n in self.data.names(prefix)]
        failed = 0
        for account in accounts:
            try:
                self._check(account, before, after)
            except PipelineError as error:
                failed += 1
                log("ERROR", f"{account}: {error}", account=account)
                _keep(account, before, after)
        runs, kept_alive = before.runs, before.kept_alive
        try:
            runs = by_hand.report(self.data, self.models, before.runs, self.clock())
        except PipelineError as error:
            failed += 1
            log("ERROR", f"run by hand: {error}")
        try:
            kept_alive = self._keep_alive(before.kept_alive)
        except PipelineError as error:
            failed += 1
            log("ERROR", f"the build trigger's subscription got no keep-alive message: {error}")
        after = after.model_copy(update={"runs": runs, "kept_alive": kept_alive})
        if after != before:
            try:
                generation = stored.generation if stored else 0
                documents.write(self.data, layout.watch_state(), after, generation)
            except PreconditionFailed:
                log("WARNING", "another watcher ran at the same time: its state is kept")
        log("INFO", f"{len(accounts)} accounts checked", accounts=len(accounts), failed=failed)
        return failed

    def _keep_alive(self, before: datetime | None) -> datetime:
        """Send a keep-alive message if one is due; returns when the last one was sent."""
        now = self.clock()
        if before is not None and now - before < _ALIVE:
            return before
        self.topic.keep_alive()
        return now

    def _check(self, account: str, before: State, after: State) -> None:
        found = declared.read(self.data, account)
        if found is None:
            return  # removed since it was listed
        after.tasks[account] = {
            kind: self._task(account, kind, schedule, found.time_zone, before)
            for kind, schedule in (("collect", found.collect), ("post", found.post))
            if schedule is not None
        }
        image = self._image(account, before.images.get(account))
        if image is not None:
            after.images[account] = image

    def _task(self, account: str, kind: str, cron: str, time_zone: str, before: State) -> Task:
        now = self.clock()
        task = before.tasks.get(account, {}).get(kind)
        schedule = f"{cron} {time_zone}"
        if task is None or task.schedule != schedule:
            task = Task(schedule=schedule, since=now, success=task and task.success)
        told = None
        if kind == "collect":
            collected = last_collection.read(self.data, account)
            last, told = (collected.at, collected.seen) if collected else (None, None)
        else:
            last = self._posted(account, cron, time_zone, task.success or task.since, now)
        if last is not None:
            task = task.model_copy(update={"success": last})
        # A state that stops collecting was told when it began. A job that sees it is not silent.
        heard = max(filter(None, (task.since, task.success, told)))
        if overdue(cron, time_zone, heard, now):
            fact = {"collect": "no collection has succeeded", "post": "nothing was posted"}[kind]
            since = (
                f"since {task.success:%Y-%m-%d %H:%M} UTC"
                if task.success
                else f"yet; declared by {task.since:%Y-%m-%d %H:%M} UTC"
            )
            log(
                "ERROR",
                f"{account}: {fact} {since}, on the schedule {schedule!r}",
                event=events.SILENT,
                account=account,
                task=kind,
                success=task.success and task.success.isoformat(),
            )
        return task

    def _posted(
        self, account: str, cron: str, time_zone: str, after: datetime, now: datetime
    ) -> datetime | None:
        """The newest tick after `after` that has a post, among the newest _TICKS."""
        ticks = takewhile(lambda t: t <= now, slots.following(cron, time_zone, after))
        for tick in reversed(deque(ticks, maxlen=_TICKS)):
            slot = slots.read(self.data, account, slots.name(tick))
            if slot is not None and slot.document.state == "posted":
                return tick
        return None

    def _image(self, account: str, before: Image | None) -> Image | None:
        """Compare `:live` with the pointers; returns None if it is the right image."""
        now = self.clock()
        live = read_live(self.models, account)
        base = read_base(self.models, account)
        if live is None or base is None:
            return None  # there is no release yet, or the account was removed
        pointer, generation = live
        tag = layout.image_tag(pointer.release, base.base)
        digest = self.tags.digest(account, tag)
        if digest is not None and self.tags.digest(account, LIVE) == digest:
            return None
        image = before if before is not None and before.tag == tag else None
        if image is None or ask_again(image, now):
            self.topic.announce(
                self.models.bucket_name, layout.live_pointer(account), generation, now
            )
            image = Image(tag=tag, since=image.since if image else now, asked=now)
            log(
                "WARNING",
                f"{account}: image {tag} is missing or not live: its event is sent again",
                account=account,
            )
        if now - image.since >= _LONG:
            log(
                "ERROR",
                f"{account}: since {image.since:%Y-%m-%d %H:%M} UTC its live image is not {tag},"
                " which its pointers name",
                event=events.IMAGE_STALE,
                account=account,
                tag=tag,
            )
        return image


def _keep(account: str, before: State, after: State) -> None:
    """Keep the state of an account that could not be checked."""
    if account in before.tasks:
        after.tasks[account] = before.tasks[account]
    if account in before.images:
        after.images[account] = before.images[account]
