"""Collects the posts of one account. No page is lost, and none is bought twice.

The index says which ids are held. What is not held are gaps, and the collector fills them from the
newest to the oldest. So news come first, and then an unfinished back-fill goes on downwards.

A page is stored as a segment before the index is changed. The segment is named for the ids that it
covers, so an execution that was cut short between the two is made good by names alone: the next one
lists them, and puts them into the index before it buys anything.
"""

import itertools
import math
from collections.abc import Callable, Generator, Iterable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TypeVar

from pipeline import documents, forgotten, layout, lease, prices, slots
from pipeline import index as indexes
from pipeline.documents import Stored, Unreadable
from pipeline.errors import PipelineError, Unavailable
from pipeline.index import Gap, Index, Owner, SomebodyElses, Stranger
from pipeline.lease import Terms
from pipeline.log import log
from pipeline.spend import Ledger, Reservation
from pipeline.store import PreconditionFailed, Store
from pipeline.tweets import from_jsonl, to_jsonl
from pipeline.x import XError, XUnavailable
from scraper_image.timeline import LARGEST, SMALLEST, Page, Timeline, User
from scraper_image.wait import Patience

T = TypeVar("T")

_MOST_EMPTY_PAGES = 100
# An execution ends after this many lost responses, since each of them keeps its reservation.
_MOST_LOST = 3
# Of the bot's own posts, this many of the newest are gone around. Each may cost one more request.
_MOST_OWN_POSTS = 50
# The lease outlives the execution by this time, because clocks differ.
_MARGIN = timedelta(minutes=2)
# X's ids have held the time since 2010: milliseconds since this moment, times 2 to the 22nd.
_EPOCH = datetime.fromtimestamp(1288834974.657, UTC)


@dataclass(frozen=True)
class Cover:
    """Ids whose tweets are all held, and how many tweets they are."""

    oldest: int
    newest: int
    tweets: int


@dataclass(frozen=True)
class Collector:
    """Collects one account's timeline into its prefix of the data bucket.

    Attributes:
        store: The data bucket.
        account: The account's name.
        handle: The user whose posts are collected, without @.
        timeline: X's timelines.
        ledger: What the account's reads have cost.
        patience: The time that the execution has.
        execution: The execution's name, which its retries have, too.
        price: US dollars for one post.
    """

    store: Store
    account: str
    handle: str
    timeline: Timeline
    ledger: Ledger
    patience: Patience
    execution: str
    price: Decimal = prices.POST_READ

    def collect(self) -> Index:
        """Collect all that is not held, and return the index after that.

        After an error, the pages that were collected stay, and the next execution continues.

        Raises:
            Busy: Another execution collects the account.
            LimitReached: The limit of the month.
            XError: X refuses, or does not answer.
            SomebodyElses: The tweets that are held are another user's.
            UserError: Cloud Storage refuses, or a document is damaged.
            Unavailable: Cloud Storage does not answer, or the execution was told to end.
        """
        with self._alone():
            gone = forgotten.ids(self.store, self.account)  # before money is spent
            index = self._owned()
            index = self._put_in([*self._stored(index), *self._own_posts(index)])
            asked_for_news = False
            while gap := _next(index, asked_for_news):
                index = self._put_in(self._fill(index.user_id or "", gap, gone))
                asked_for_news = True
            return index

    @contextmanager
    def _alone(self) -> Generator[None]:
        """Hold the lease of the account's collecting."""
        name, by = layout.collecting(self.account), "collector"
        expires = self.patience.until + _MARGIN
        terms = Terms(run=self.execution, expires=expires, by=by)
        lease.take(self.store, name, terms, self.patience.clock())
        try:
            yield
        finally:
            try:
                lease.release(self.store, name, self.execution, by)
            except PipelineError as error:
                # The lease expires by itself; what happened in the block matters more.
                log("WARNING", f"{name} not released: {error}")

    def _owned(self) -> Index:
        """The index, with the owner of the tweets; a new one before the first collection.

        Raises:
            SomebodyElses: The tweets that are held are another user's.
        """
        while True:
            stored = indexes.read(self.store, self.account)
            index = stored and stored.document
            if index and index.user_id and index.handle.lower() == self.handle.lower():
                return index
            owner = Owner(self._user_id(index), self.handle)
            try:
                owned = indexes.of(owner, index, self.account)
            except SomebodyElses:
                if index and owner.user_id:
                    stranger = Stranger(user_id=owner.user_id, handle=self.handle)
                    if index.stranger != stranger:
                        self._write(index.model_copy(update={"stranger": stranger}), stored)
                raise
            if self._write(owned, stored):
                return owned

    def _write(self, index: Index, stored: Stored[Index] | None) -> bool:
        """Write the index, unless it has changed since it was read; returns whether it did."""
        with suppress(PreconditionFailed):
            generation = stored.generation if stored else 0
            indexes.write(self.store, self.account, index, generation=generation)
            return True
        return False

    def _user_id(self, index: Index | None) -> str:
        """The user's id: known from an earlier look-up, or bought."""
        stranger = index and index.stranger
        if stranger and stranger.handle.lower() == self.handle.lower():
            return stranger.user_id
        user = self._paid(prices.USER_READ, 0, lambda: self.timeline.user(self.handle))[0]
        if index is None or not index.held:
            self._announce(user)
        return user.id

    def _announce(self, user: User) -> None:
        """Say what the first collection costs at most, before it starts."""
        posts = prices.MOST_POSTS if user.posts is None else min(user.posts, prices.MOST_POSTS)
        usd, limit = posts * self.price, self.ledger.limit
        months = math.ceil(usd / limit)
        log(
            "INFO",
            f"{self.account}: the first collection buys at most {posts} posts of @{self.handle} for"
            f" ${usd}; the limit of ${limit} a month lets it take {max(months, 1)} month(s)",
            account=self.account,
            posts=posts,
            usd=str(usd),
            months=months,
        )

    def _stored(self, index: Index) -> Iterator[Cover]:
        """The pages that were stored by executions that ended before they changed the index."""
        names = self.store.names(layout.segments(self.account))
        for page in filter(None, map(layout.page_of, names)):
            yield Cover(*page)
        # Programs up to version 0.2 named a page after its request, and moved the index at the end.
        until: str | None = None
        while True:
            name = layout.timeline_segment(self.account, index.newest_id, until)
            stored = self.store.read(name) if name in names else None
            if stored is None:
                return
            ids = [int(tweet.id) for tweet in from_jsonl(stored.data, name)]
            yield Cover(min(ids), int(until) - 1 if until else max(ids), len(ids))
            until = str(min(ids))

    def _own_posts(self, index: Index) -> Iterator[Cover]:
        """The bot's newest own posts. They are known, so requests go around them."""
        after = _time(int(index.newest_id or 0)) - timedelta(days=1)
        names = [n for n in slots.names(self.store, self.account) if n >= slots.name(after)]
        for name in names[-_MOST_OWN_POSTS:]:
            with suppress(Unreadable):
                stored = slots.read(self.store, self.account, name)
                id_ = stored and stored.document.id
                if id_ and id_.isdecimal():
                    yield Cover(int(id_), int(id_), 0)

    def _put_in(self, covers: Iterable[Cover]) -> Index:
        """Put into the index what it does not have, and return it as it is then stored."""
        covers = list(covers)

        def change(stored: Index | None) -> Index:
            if stored is None:
                raise Unavailable(
                    f"{layout.index(self.account)} was deleted; the next execution makes it anew"
                )
            for cover in covers:
                if not stored.holds(cover.oldest, cover.newest):
                    stored = stored.covering(cover.oldest, cover.newest, cover.tweets)
            return stored

        return documents.update(self.store, layout.index(self.account), Index, change)

    def _fill(self, user_id: str, gap: Gap, gone: AbstractSet[str]) -> list[Cover]:
        """Buy the newest page of a gap and store it; returns what it covers.

        Of the tweets in `gone` only the ids are stored.
        """
        size = max(SMALLEST, min(LARGEST, int(self.ledger.left() / self.price)))
        page, reserved = self._paid(size * self.price, size, lambda: self._ask(user_id, gap, size))
        if page.odd:
            log(
                "WARNING",
                f"{self.account}: left out, because X sent no text or no time:"
                f" {', '.join(page.odd)}",
                account=self.account,
                odd=page.odd,
            )
        cover = _covered(gap, page)
        if cover and page.ids:
            name = layout.page(self.account, cover.oldest, cover.newest, cover.tweets)
            # If another execution was faster, its page stays.
            with suppress(PreconditionFailed):
                tweets = forgotten.blanked(gone, page.tweets)
                self.store.write(name, to_jsonl(tweets), generation=0)
        unsold = size - len(page.ids)
        if unsold:
            self.ledger.give_back(unsold * self.price, unsold, reserved)
        return [cover] if cover else []

    def _paid(self, usd: Decimal, count: int, request: Callable[[], T]) -> tuple[T, Reservation]:
        """Send a request after its price was reserved, and again for as long as that helps.

        A refused request costs nothing. If a response was lost, X may have sold what was asked for,
        so its reservation stays, and a repetition has one of its own: X charges twice if the day
        changes between the two, and it sells more if posts have appeared.
        """
        self.patience.check()
        lost = 0
        for tries in itertools.count(1):
            reserved = self.ledger.reserve(usd, count)
            try:
                return request(), reserved
            except XError as error:
                if not error.may_be_charged:
                    self.ledger.give_back(usd, count, reserved)
                lost += error.may_be_charged
                if lost == _MOST_LOST or not self.patience.wait(error, tries):
                    raise
        raise AssertionError

    def _ask(self, user_id: str, gap: Gap, size: int) -> Page:
        """Ask X for pages until one has posts, or is the last."""
        more = None
        for _ in range(_MOST_EMPTY_PAGES):
            page = self.timeline.page(user_id, gap.since, gap.until, size, more)
            if page.ids or page.more is None:
                return page
            more = page.more
        raise XUnavailable("nonsense", f"X returned {_MOST_EMPTY_PAGES} empty pages in a row")


def _next(index: Index, asked_for_news: bool) -> Gap | None:
    """The newest gap; after the news were asked for, the newest one below them."""
    return next((gap for gap in index.gaps() if gap.until or not asked_for_news), None)


def _covered(gap: Gap, page: Page) -> Cover | None:
    """What a page covers of a gap: all of it, if it is the last; None if that is not known."""
    if gap.until is not None:
        newest = gap.until - 1
    elif page.ids:
        newest = max(page.ids)
    else:
        return None  # X has nothing new, and tomorrow's ids are not known
    oldest = gap.since + 1 if page.more is None else min(page.ids)
    return Cover(oldest, newest, len(page.tweets))


def _time(id_: int) -> datetime:
    """When a post of that id was made."""
    return _EPOCH + timedelta(milliseconds=id_ >> 22)
