"""A small world in which an account is collected, and all that may go wrong in it.

A person writes, answers, edits and deletes. X shows and sells their posts. Executions collect them
into a bucket: by a schedule, again after a crash, two at once, on clocks that differ. Each call of
an execution on the bucket or on X is a step. Before or after its effect a fault may happen, and
between two steps other executions go on. Time passes at steps, where somebody waits, and between
the ticks of the schedule.

Nothing here knows how posts are collected: `Execute` is the program. A seed decides all else, so
`python -m tests.scraper.simulation SEED` tells a story again, step by step.
"""

import contextlib
import functools
import io
import itertools
import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stdout
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, cast

import requests
import tweepy  # pyright: ignore[reportMissingTypeStubs]

from pipeline import corpus, documents, index, layout, slots
from pipeline.errors import PipelineError
from pipeline.index import Index
from pipeline.slots import Slot
from pipeline.spend import Ledger
from pipeline.store import Store
from pipeline.tweets import Tweet, from_jsonl, to_jsonl
from scraper_image.collect import Collector
from scraper_image.timeline import Timeline
from scraper_image.wait import Patience
from tests.scraper.simulated_bucket import Bucket, Objects, storage_error
from tests.scraper.simulated_x import HANDLE, USER_ID, Post, X
from tests.trainer.steps import Actor, Killed

ACCOUNT = "keeper"
START = datetime(2026, 11, 28, 12, tzinfo=UTC)
TIMEOUT = timedelta(minutes=30)
"""How long the platform lets an execution run."""
_EDITABLE = timedelta(minutes=30)


class Fault(Enum):
    """What happens at a step."""

    CRASH_BEFORE = "the process is killed before the call has its effect"
    CRASH_AFTER = "the process is killed after the call has had its effect"
    DOWN = "the service has an outage, and does nothing"
    LOST = "the service does what it was asked for, and its response is lost"
    REPEATED = "the same, and the client's repetition gets the response"
    TOLD_TO_END = "the platform tells the process to end"
    NEWS = "the person posts at this moment"
    BUSY = "X says 429, and when to ask again"
    BUSY_FOR_UNKNOWN_TIME = "X says 429, and not when to ask again"
    NO_CREDITS = "X says 402"
    SUSPENDED = "X says 200, and that the user is suspended"
    NONSENSE = "X sells, and says something that makes no sense"


EVERYWHERE = (Fault.CRASH_BEFORE, Fault.CRASH_AFTER, Fault.DOWN, Fault.LOST)
OF_STORAGE = (*EVERYWHERE, Fault.REPEATED)
OF_X = (
    *(*EVERYWHERE, Fault.TOLD_TO_END, Fault.NEWS, Fault.BUSY, Fault.BUSY_FOR_UNKNOWN_TIME),
    *(Fault.NO_CREDITS, Fault.SUSPENDED, Fault.NONSENSE),
)


def _x_error(status: int, title: str, reset: datetime | None = None) -> Exception:
    """What tweepy raises over a response of that status."""
    response = requests.Response()
    response.status_code = status
    response.reason = title
    response._content = json.dumps({"title": title, "detail": title}).encode()
    if reset:
        response.headers["x-rate-limit-reset"] = str(int(reset.timestamp()))
    return tweepy.HTTPException(response)


class Execution:
    """One run of the program: all that it sees of the world.

    Attributes:
        name: The execution's name; a retry has the same.
        store: The data bucket.
        client: X, as tweepy's client.
        until: When the platform ends it, by its own clock.
        limit: US dollars for a month.
        told_to_end: What the program does on SIGTERM.
        pages: The ids of the posts of each page that reached it.
        faults: How many faults it has met.
    """

    def __init__(
        self, world: "World", name: str, skew: timedelta, pause: Callable[[], None]
    ) -> None:
        self.name = name
        self.store = Store(cast("Any", Bucket(world.objects, self._storage_step)))
        self.client = self
        self.until = world.now + skew + TIMEOUT
        self.limit = world.limit
        self.told_to_end: Callable[[], None] = lambda: None
        self.pages: list[list[int]] = []
        self.faults = 0
        self._world = world
        self._skew = skew
        self._pause = pause
        self._dies_at = world.now + TIMEOUT
        self._dead = False

    def clock(self) -> datetime:
        """The time, as this machine has it."""
        return self._world.now + self._skew

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self._pass(timedelta(seconds=seconds))

    def get_user(self, **parameters: Any) -> dict[str, Any]:
        """As tweepy's method."""
        return self._step("X user", OF_X, lambda: self._world.x.get_user(**parameters))

    def get_users_tweets(self, user_id: str, **parameters: Any) -> dict[str, Any]:
        """As tweepy's method."""

        def call() -> dict[str, Any]:
            page = self._world.x.get_users_tweets(user_id, **parameters)
            self.pages.append([int(post["id"]) for post in page.get("data", [])])
            return page

        about = {name: parameters.get(name) for name in ("since_id", "until_id", "max_results")}
        return self._step(f"X page {about}", OF_X, call)

    def _storage_step(self, about: str, call: Callable[[], Any]) -> Any:
        return self._step(about, OF_STORAGE, call)

    def _pass(self, time: timedelta) -> None:
        if self._dead:
            raise Killed
        self._world.now += time
        if self._world.now > self._dies_at:
            self.faults += 1
            self._die()

    def _die(self) -> None:
        self._dead = True
        raise Killed

    def _step(self, about: str, possible: tuple[Fault, ...], call: Callable[[], Any]) -> Any:
        self._pause()
        self._pass(timedelta(seconds=0.2))
        fault = self._world.fault(possible)
        self._world.tell(
            f"{self._world.step:4} {self._world.now:%d %H:%M:%S} {self.name}: {about}"
            + (f"; {fault.name}" if fault else "")
        )
        if fault is None:
            return call()
        self.faults += 1
        return self._meet(fault, call, of_x=possible is OF_X)

    def _meet(self, fault: Fault, call: Callable[[], Any], *, of_x: bool) -> Any:
        """Make a call that a fault meets."""
        if fault is Fault.CRASH_BEFORE:
            self._die()
        if error := _refusal(fault, self._world.now, of_x=of_x):
            raise error
        if fault is Fault.SUSPENDED:
            return {"errors": [{"detail": f"User has been suspended: [{USER_ID}]."}]}
        if fault is Fault.TOLD_TO_END:
            self.told_to_end()
        if fault is Fault.NEWS:
            self._world.x.write()
        return self._after(fault, call, of_x=of_x)

    def _after(self, fault: Fault, call: Callable[[], Any], *, of_x: bool) -> Any:
        """Make a call, and then meet a fault."""
        pages = len(self.pages)
        if fault is Fault.CRASH_AFTER:
            with contextlib.suppress(Exception):
                call()
            self._die()
        response = call()
        if fault is Fault.REPEATED:
            self._pause()
            return call()
        if fault in (Fault.LOST, Fault.NONSENSE):
            self._world.lose(self.pages[pages:])
            del self.pages[pages:]
            if not of_x:
                raise storage_error("ServiceUnavailable", "lost")
            if fault is Fault.LOST:
                raise requests.ConnectionError("lost")
            raise requests.JSONDecodeError("no JSON", "", 0)
        return response


def _refusal(fault: Fault, now: datetime, *, of_x: bool) -> Exception | None:
    """The error of a service that does nothing, if the fault is one."""
    if not of_x:
        return storage_error("ServiceUnavailable", "down") if fault is Fault.DOWN else None
    match fault:
        case Fault.DOWN:
            return _x_error(503, "Service Unavailable")
        case Fault.BUSY:
            return _x_error(429, "Too Many Requests", now + timedelta(minutes=5))
        case Fault.BUSY_FOR_UNKNOWN_TIME:
            return _x_error(429, "Too Many Requests")
        case Fault.NO_CREDITS:
            return _x_error(402, "CreditsDepleted")
        case _:
            return None


Execute = Callable[[Execution], None]
"""The program: collects once, on what the execution gives it."""


def collect(execution: Execution) -> None:
    """Collect as the job does."""
    patience = Patience(execution.until, execution.clock, execution.sleep)
    execution.told_to_end = patience.end
    ledger = Ledger(execution.store, layout.reads(ACCOUNT), execution.limit, execution.clock)
    timeline = Timeline(cast("Any", execution.client))
    Collector(
        execution.store, ACCOUNT, HANDLE, timeline, ledger, patience, execution.name
    ).collect()


Draw = Callable[[int, tuple[Fault, ...]], Fault | None]
"""Decides which of the possible faults meets a step, if any; steps are numbered from 1."""


class Broken(AssertionError):
    """An invariant does not hold."""


class World:
    """The person, X, the bucket and the time; `execute` is the program that collects.

    After each execution the invariants are checked that hold at any time; `settle` checks the rest.
    """

    def __init__(
        self,
        execute: Execute = collect,
        draw: Draw = lambda step, possible: None,
        *,
        shown: int = 3200,
        page: int = 100,
        limit: str = "100",
        tell: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.now = START
        self.x = X(lambda: self.now, shown, page)
        self.objects = Objects()
        self.limit = Decimal(limit)
        self.step = 0
        self.possible: list[tuple[Fault, ...]] = []
        self.tell = tell
        self.lost: Counter[int] = Counter()
        self._execute = execute
        self._draw: Draw | None = draw
        self._store = Store(cast("Any", Bucket(self.objects, lambda _, call: call())))
        self._names = itertools.count(1)
        self._ids: dict[tuple[str, int], list[int]] = {}
        self._months_agree = True

    def fault(self, possible: tuple[Fault, ...]) -> Fault | None:
        """What happens at the next step."""
        self.step += 1
        if self._draw is None:
            return None
        self.possible.append(possible)
        fault = self._draw(self.step, possible)
        return fault if fault in possible else None

    def lose(self, pages: Iterable[Iterable[int]]) -> None:
        """Note pages that X has sold, and whose posts nobody has kept."""
        for page in pages:
            self.lost.update(page)

    def run(
        self,
        *skews: timedelta,
        importing: bool = False,
        choose: Callable[[int], int] = lambda _: 0,
    ) -> None:
        """Start executions at once, perhaps beside an import, and let them end.

        `skews` are what their clocks are ahead. `choose` takes the number of those that can go on,
        and says which of them makes its next call.
        """
        names = [f"execution-{next(self._names)}" for _ in skews]
        self._run(dict(zip(names, skews, strict=True)), importing=importing, choose=choose)

    def run_twice_if_killed(self, skew: timedelta) -> None:
        """Start an execution, and start it again under its name if it is killed, as Run does."""
        name = f"execution-{next(self._names)}"
        if Killed in self._run({name: skew}):
            self._run({name: skew})

    def post_by_bot(self) -> None:
        """Let the account's bot post as the person, and keep a record of it as it does."""
        post = self.x.write("own")
        slot = Slot(state="posted", execution="e", nonce="n", at=self.now, expires=self.now,
                    text="t", id=str(post.id))  # fmt: skip
        name = layout.slot(ACCOUNT, slots.name(self.now))
        documents.write(self._store, name, slot, generation=0)

    def import_archive(self, pause: Callable[[], None] = lambda: None) -> None:
        """Let the person download their archive, and the operator import it."""

        def step(about: str, call: Callable[[], Any]) -> Any:
            pause()
            self.tell(f"{'':17} import: {about}")
            return call()

        store = Store(cast("Any", Bucket(self.objects, step)))
        tweets = [
            Tweet(id=str(post.id), text="t", created_at=post.at, source="archive")
            for post in self.x.posts.values()
            if post.wanted
        ]
        if not tweets:
            return
        newest = max(self.x.posts)
        name = layout.archive_segment(ACCOUNT, f"{newest:032x}", len(tweets))
        store.write(name, to_jsonl(tweets), generation=0)

        def change(stored: Index | None) -> Index:
            held = stored or Index(user_id=USER_ID, handle=HANDLE)
            return held.covering(0, newest)

        documents.update(store, layout.index(ACCOUNT), Index, change)

    def _run(
        self,
        skews: Mapping[str, timedelta],
        *,
        importing: bool = False,
        choose: Callable[[int], int] = lambda _: 0,
    ) -> set[type[BaseException]]:
        """Run executions by name; returns the errors that they ended with."""
        held, sent = self.held(), self.x.sent.copy()
        executions: list[Execution] = []
        errors: set[type[BaseException]] = set()
        began = self.now

        def program(name: str, skew: timedelta, pause: Callable[[], None]) -> None:
            execution = Execution(self, name, skew, pause)
            executions.append(execution)
            try:
                self._execute(execution)
            except (PipelineError, Killed) as error:
                errors.add(type(error))
                self.tell(f"{'':21} {name}: {type(error).__name__}: {error}")

        parts = [functools.partial(program, *named) for named in skews.items()]
        parts += [self.import_archive] * importing
        with redirect_stdout(io.StringIO()):
            if len(parts) == 1:
                parts[0](lambda: None)
            else:
                _interleave([Actor(part) for part in parts], choose)
        most = max(map(abs, skews.values())) + timedelta(minutes=1)
        self._months_agree &= f"{began - most:%m}" == f"{self.now + most:%m}"
        self._check(held, sent, executions)
        return errors

    def _wanted(self) -> list[Post]:
        """The posts that should be held.

        A post that had become too old to be shown may be shown again after newer ones were deleted.
        Nobody looks for it then.
        """
        shown = self.x.visible()
        return [post for post in shown if post.wanted and post.id not in self.x.fallen]

    def held(self) -> set[int]:
        """The ids of the tweets in the bucket."""
        held: set[int] = set()
        for name, (data, generation) in self.objects.items():
            if name.startswith(layout.segments(ACCOUNT)):
                key = name, generation
                if key not in self._ids:
                    self._ids[key] = [int(tweet.id) for tweet in from_jsonl(data, name)]
                held.update(self._ids[key])
        return held

    def _check(self, before: set[int], sent: Counter[int], executions: list[Execution]) -> None:
        """Check what holds at any time."""
        held = self.held()
        for execution in executions:
            lost = [page for page in execution.pages if not held.issuperset(page)]
            if len(lost) > execution.faults:
                raise Broken(f"{execution.name} met {execution.faults} faults and lost {lost}")
            self.lose(set(page) - held for page in lost)
        for id_, times in self.x.sent.items():
            if times > sent[id_] and id_ in before:
                raise Broken(f"post {id_} was held and was bought again")
            if id_ in self.x.posts and self.x.posts[id_].kind == "own":
                raise Broken(f"post {id_} of the bot was bought")
            if times > 1 + self.lost[id_]:
                raise Broken(f"post {id_} was bought {times} times, lost {self.lost[id_]} times")
        stored = index.read(self._store, ACCOUNT)
        for post in self._wanted():
            if stored and stored.document.holds(post.id, post.id) and post.id not in held:
                raise Broken(f"post {post.id} is in a range that the index holds, and is not")
        self._check_money()

    def _check_money(self) -> None:
        """Check that the ledger has all that X has charged, and X no more than the limit."""
        found = self.objects.get(layout.reads(ACCOUNT))
        ledger: Any = json.loads(found[0]) if found else {"month": "", "usd": "0", "total": 0}
        if ledger["total"] < self.x.billed:
            raise Broken(f"the ledger has {ledger['total']} posts, X has sold {self.x.billed}")
        if not self._months_agree:
            return  # something was bought when it was another month by another clock
        month = f"{self.now:%Y-%m}"
        entered = Decimal(ledger["usd"]) * 1000 if ledger["month"] == month else Decimal(0)
        if self.x.bills[month] > entered:
            raise Broken(f"the ledger has ${entered / 1000}, X's bill is {self.x.bills[month]}")
        if self.x.bills[month] > self.limit * 1000:
            raise Broken(f"X's bill of {month} is {self.x.bills[month]} thousandths of a dollar")

    def settle(self) -> None:
        """End all faults, and check that everything that X shows is soon held, once."""
        self._draw = None
        self.limit = Decimal(100)
        self.now += timedelta(days=2)  # a lease may bind for as long as a clock was ahead
        sold: list[int] = []
        for _ in range(3):
            self.now += timedelta(days=1)
            if errors := self._run({f"execution-{next(self._names)}": timedelta()}):
                raise Broken(f"an execution without faults ended with {errors}")
            sold.append(self.x.sent.total())
        if sold[-1] != sold[-2]:
            raise Broken("the last execution bought posts when there was nothing new")
        held = Counter(int(tweet.id) for tweet in corpus.read(self._store, ACCOUNT))
        for post in self._wanted():
            if held[post.id] != 1:
                raise Broken(f"post {post.id} is held {held[post.id]} times")


def _interleave(actors: list[Actor], choose: Callable[[int], int]) -> None:
    while going := [actor for actor in actors if not actor.done]:
        going[choose(len(going))].advance()
    for actor in actors:
        if actor.error:
            raise actor.error


def story(
    seed: int, execute: Execute = collect, tell: Callable[[str], None] = lambda line: None
) -> World:
    """A world with a story that a seed tells; the caller lets it `settle`."""
    rng = random.Random(seed)
    bad_days, lively = rng.choice([0, 0.02, 0.05, 0.1]), rng.choice([0, 0.1])
    wrong_clocks = rng.random() < 0.2

    def draw(_: int, possible: tuple[Fault, ...]) -> Fault | None:
        if rng.random() < bad_days:
            return rng.choice(possible)
        return Fault.NEWS if rng.random() < lively else None

    world = World(
        execute,
        draw,
        tell=tell,
        shown=rng.choice([10, 3200]),
        page=rng.choice([5, 7, 100]),
        limit=rng.choice(["0.04", "0.10", "100"]),
    )
    for _ in range(rng.choice([0, 3, 12, 25])):
        _act(world, rng)
    for _ in range(rng.randint(2, 6)):
        world.now += timedelta(hours=rng.choice([1, 8, 24, 100]))
        for _ in range(rng.choice([0, 0, 1, 4, 9])):
            _act(world, rng)
        if rng.random() < 0.2:
            world.post_by_bot()
        if rng.random() < 0.2:
            world.now = world.now.replace(hour=23, minute=59, second=56)
        if rng.random() < 0.1:
            world.import_archive()
        _tick(world, rng, timedelta(days=2 if wrong_clocks else 0))
    return world


def _tick(world: World, rng: random.Random, skew: timedelta) -> None:
    """Let one execution run, or some at once, whose clocks differ less than a lease allows for."""
    if rng.random() < 0.3:
        skews = [timedelta(minutes=rng.uniform(-1, 1)) for _ in range(rng.choice([1, 2, 2, 3]))]
        world.run(*skews, importing=rng.random() < 0.3, choose=rng.randrange)
    else:
        world.run_twice_if_killed(skew * rng.uniform(-1, 1))


def _act(world: World, rng: random.Random) -> None:
    """Let the person do something."""
    world.now += timedelta(minutes=rng.uniform(0, 10))
    posts = [world.x.posts[id_] for id_ in sorted(world.x.posts)]
    match rng.randrange(10):
        case 0 if posts:
            world.x.delete(rng.choice(posts))
        case 1 if posts and posts[-1].kind != "own" and world.now - posts[-1].at < _EDITABLE:
            world.x.edit(posts[-1])
        case 2:
            for _ in range(rng.choice([1, 8])):
                world.x.write("retweet")
        case 3:
            world.x.write("reply")
        case _:
            world.x.write()


if __name__ == "__main__":
    story(int(sys.argv[1]), tell=lambda line: print(line, file=sys.stderr)).settle()
