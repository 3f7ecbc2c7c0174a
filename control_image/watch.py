"""Looks after what no event tells: images that were not built, and accounts that went silent.

For every account whose `:live` is not the image of the release and the base that its pointers ask
for, the event that should have had it built is sent again, at once and then ever more rarely. Every
account that has had no success in two ticks of a schedule is reported, and so is one that never
had any. So are machines of a run by hand that are left over (`control_image.by_hand`). Alerts
listen for the lines that are logged; what has to be remembered between two looks is one object.
Once a week a message that asks for nothing keeps what starts the builds alive.
"""

from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import Annotated, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from control_image import by_hand
from control_image.live import LIVE
from pipeline import events, layout, slots
from pipeline.clock import Clock
from pipeline.errors import UserError
from pipeline.log import log
from pipeline.release import read_base, read_live
from pipeline.store import Changed, Store

# How long after a tick its job may still be at work: collecting has two attempts of half an hour.
_AT_WORK = timedelta(hours=1)
# A build has 20 minutes and may have to wait for another.
_BUILD = timedelta(minutes=30)
# From then on an image that is not what it should be is a matter for a person.
_LONG = timedelta(hours=1)
# Between two messages that keep the trigger's subscription, which lasts 31 days without one.
_ALIVE = timedelta(days=7)
# The newest ticks that are looked at for a post since the last known one.
_TICKS = 10


class Schedules(BaseModel):
    """When an account collects and posts; None where it does not."""

    model_config = ConfigDict(frozen=True)

    time_zone: str
    collect: str | None
    post: str | None


class Task(BaseModel):
    """One schedule of an account: since when it is watched, and its last success known."""

    model_config = ConfigDict(frozen=True)

    schedule: Annotated[str, Field(description="another one is watched anew")]
    since: datetime
    success: datetime | None = None


class Image(BaseModel):
    """A wanted image that `:live` is not: since when, and when it was last asked for."""

    model_config = ConfigDict(frozen=True)

    tag: str
    since: datetime
    asked: datetime


class State(BaseModel):
    """What one look leaves to the next; `tasks` are by account and kind of work."""

    tasks: dict[str, dict[str, Task]] = {}
    images: dict[str, Image] = {}
    # Runs by hand: since when they are known.
    runs: dict[str, datetime] = {}
    kept_alive: datetime | None = None


class _Collected(BaseModel):
    """When collecting an account last ended well."""

    at: datetime


class Tags(Protocol):
    """What the watcher needs of `Registry`."""

    def digest(self, image: str, tag: str) -> str | None:
        """See `Registry`."""
        ...


class Topic(Protocol):
    """What the watcher needs of `Rollout`."""

    def announce(self, bucket: str, name: str, generation: int, at: datetime) -> None:
        """See `Rollout`."""
        ...

    def keep_alive(self) -> None:
        """See `Rollout`."""
        ...


def overdue(schedule: str, time_zone: str, since: datetime, now: datetime) -> bool:
    """Whether two ticks have gone by since then, and the second one's job has had its time.

    By ticks and not by hours: where clocks change, a day has 23 or 25.
    """
    *_, second = islice(slots.following(schedule, time_zone, since), 2)
    return second + _AT_WORK <= now


def ask_again(image: Image, now: datetime) -> bool:
    """Whether it is time for another event: the wait doubles, and is never shorter than a build."""
    waited = image.asked - image.since
    return now >= image.asked + max(_BUILD, waited)


@dataclass(frozen=True)
class Watcher:
    """One look at all accounts of a stack."""

    data: Store
    models: Store
    tags: Tags
    topic: Topic
    clock: Clock

    def look(self) -> int:
        """Do what is to be done; returns how many things could not be done or looked at."""
        found = self.data.read(layout.watch_state())
        before = _parse(State, found.data, layout.watch_state()) if found else State()
        after = State()
        prefix = layout.all_schedules()
        accounts = [n.removeprefix(prefix).removesuffix(".json") for n in self.data.names(prefix)]
        failed = 0
        for account in accounts:
            try:
                self._look_at(account, before, after)
            except UserError as error:
                failed += 1
                log("ERROR", f"{account}: {error}", account=account)
                _keep(account, before, after)
        try:
            after.runs = by_hand.look(self.data, self.models, before.runs, self.clock())
        except UserError as error:
            failed += 1
            log("ERROR", f"run by hand: {error}")
            after.runs = before.runs
        try:
            after.kept_alive = self._keep_alive(before.kept_alive)
        except UserError as error:
            failed += 1
            after.kept_alive = before.kept_alive
            log("ERROR", f"the trigger of builds is not kept alive: {error}")
        if after != before:
            try:
                self.data.write(
                    layout.watch_state(),
                    after.model_dump_json().encode(),
                    generation=found.generation if found else 0,
                )
            except Changed:
                log("WARNING", "another look was taken at the same time; it is the one that counts")
        log("INFO", f"{len(accounts)} accounts looked at", accounts=len(accounts), failed=failed)
        return failed

    def _keep_alive(self, before: datetime | None) -> datetime:
        """When the trigger's subscription was last kept alive, which is now where it has to be."""
        now = self.clock()
        if before is not None and now - before < _ALIVE:
            return before
        self.topic.keep_alive()
        return now

    def _look_at(self, account: str, before: State, after: State) -> None:
        name = layout.schedules(account)
        found = self.data.read(name)
        if found is None:
            return  # removed since it was listed
        declared = _parse(Schedules, found.data, name)
        after.tasks[account] = {
            kind: self._task(account, kind, schedule, declared.time_zone, before)
            for kind, schedule in (("collect", declared.collect), ("post", declared.post))
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
        last = self._collected(account) if kind == "collect" else None
        if kind == "post":
            last = self._posted(account, cron, time_zone, task.success or task.since, now)
        if last is not None:
            task = task.model_copy(update={"success": last})
        if overdue(cron, time_zone, max(task.since, task.success or task.since), now):
            what = {"collect": "no collection has ended well", "post": "nothing was posted"}[kind]
            since = (
                f"since {task.success:%Y-%m-%d %H:%M} UTC"
                if task.success
                else f"yet; declared by {task.since:%Y-%m-%d %H:%M} UTC"
            )
            log(
                "ERROR",
                f"{account}: {what} {since}, on the schedule {schedule!r}",
                event=events.SILENT,
                account=account,
                task=kind,
                success=task.success and task.success.isoformat(),
            )
        return task

    def _collected(self, account: str) -> datetime | None:
        name = layout.collected(account)
        found = self.data.read(name)
        return found and _parse(_Collected, found.data, name).at

    def _posted(
        self, account: str, cron: str, time_zone: str, after: datetime, now: datetime
    ) -> datetime | None:
        """The newest tick with a post, of the newest ticks since then."""
        ticks = takewhile(lambda t: t <= now, slots.following(cron, time_zone, after))
        for tick in reversed(deque(ticks, maxlen=_TICKS)):
            slot = slots.read(self.data, account, slots.name(tick))
            if slot is not None and slot[0].state == "posted":
                return tick
        return None

    def _image(self, account: str, before: Image | None) -> Image | None:
        """What is to be remembered of the account's image, or None if it is what it should be."""
        now = self.clock()
        live = read_live(self.models, account)
        base = read_base(self.models, account)
        if live is None or base is None:
            return None  # before the first release, or gone
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
            log("WARNING", f"{account}: its image {tag} is asked for again", account=account)
        if now - image.since >= _LONG:
            log(
                "ERROR",
                f"{account}: since {image.since:%Y-%m-%d %H:%M} UTC its live image is not {tag},"
                " which its pointers ask for",
                event=events.IMAGE_STALE,
                account=account,
                tag=tag,
            )
        return image


def _keep(account: str, before: State, after: State) -> None:
    """What is known of an account that could not be looked at."""
    if account in before.tasks:
        after.tasks[account] = before.tasks[account]
    if account in before.images:
        after.images[account] = before.images[account]


_T = TypeVar("_T", bound=BaseModel)


def _parse(model: type[_T], data: bytes, name: str) -> _T:
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        what = error.errors()[0]
        where = ".".join(map(str, what["loc"])) or "document"
        raise UserError(f"object {name}: {where}: {what['msg']}") from None
