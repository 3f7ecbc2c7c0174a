"""Collects the new posts of one account. No page is lost, and none is bought twice.

A page is stored as a segment: an immutable object whose name follows from the request for the page.
The program looks for the segment before it buys a page. So if an execution was cut short, the next
one buys only the pages that are missing. The cursor moves once, after the last page; until then
every execution sends the same requests.
"""

from pipeline import index as timeline_index
from pipeline import layout
from pipeline.errors import UserError
from pipeline.index import Index
from pipeline.spend import POST_READ, USER_READ, Ledger
from pipeline.store import PreconditionFailed, Store
from pipeline.tweets import Tweet, from_jsonl, to_jsonl
from pipeline.x import XError, XUnavailable
from scraper_image.timeline import LARGEST, SMALLEST, Page, Timeline

_MOST_EMPTY_PAGES = 100


class Collector:
    """Collects one account's timeline into its prefix of the data bucket."""

    def __init__(
        self, store: Store, account: str, handle: str, timeline: Timeline, ledger: Ledger
    ) -> None:
        self._store = store
        self._account = account
        self._handle = handle
        self._timeline = timeline
        self._ledger = ledger

    def collect(self) -> Index:
        """Collect the new posts and return the index after that.

        After an error, the pages that were collected stay, and the next execution continues.
        """
        index, generation = self._index()
        new = self._new_tweets(index)
        if not new:
            return index
        newest = max((tweet.id for tweet in new), key=int)
        moved = index.covering(int(index.newest_id or 0), int(newest), len(new))
        try:
            self._write_index(moved, generation)
        except PreconditionFailed:
            raise UserError(
                "another collection ran at the same time and moved the cursor; "
                "nothing is lost, the next execution continues"
            ) from None
        return moved

    def _index(self) -> tuple[Index, int]:
        stored = timeline_index.read(self._store, self._account)
        if stored is None:
            index = Index(user_id=self._buy_user_id(), handle=self._handle)
            try:
                return index, self._write_index(index, generation=0)
            except PreconditionFailed:
                return self._index()
        index, generation = stored
        if index.handle.lower() != self._handle.lower():
            raise UserError(
                f"account {self._account} holds the tweets of @{index.handle}, but its handle is "
                f"now @{self._handle}; give @{self._handle} an account of its own, or, if the same "
                f"person changed their name, set `handle` in "
                f"gs://{self._store.bucket_name}/{layout.index(self._account)}"
            )
        return index, generation

    def _write_index(self, index: Index, generation: int) -> int:
        return timeline_index.write(self._store, self._account, index, generation=generation)

    def _buy_user_id(self) -> str:
        self._ledger.reserve(USER_READ, count=0)
        try:
            return self._timeline.user_id(self._handle)
        except XError as error:
            if not error.outcome_unknown:
                self._ledger.give_back(USER_READ, count=0)
            raise

    def _new_tweets(self, index: Index) -> list[Tweet]:
        """All posts above the cursor: first from stored segments, then from X."""
        new: list[Tweet] = []
        until, last = None, False
        while not last:
            tweets, last = self._page(index, until)
            new += tweets
            until = min((tweet.id for tweet in tweets), key=int, default=until)
        return new

    def _page(self, index: Index, until: str | None) -> tuple[list[Tweet], bool]:
        """The page below `until`, and whether it is the last; buys it if it is not stored.

        Nothing says whether a stored page was the last, so the answer for it is False, and the
        next page is asked for.
        """
        since = index.newest_id
        name = layout.timeline_segment(self._account, since, until)
        stored = self._store.read(name)
        if stored is not None:
            return from_jsonl(stored.data, name), False
        try:
            page = self._buy(index.user_id or "", since, until, name)
        except PreconditionFailed:
            return self._page(index, until)
        return page.tweets, page.more is None

    def _buy(self, user_id: str, since: str | None, until: str | None, name: str) -> Page:
        """Buy the page's posts and store them under `name`.

        The ledger reserves the most that they can cost. It gets back what X did not sell, but
        nothing if the response was lost: X may have sold the posts.

        Raises:
            PreconditionFailed: Another execution has stored the page meanwhile.
        """
        affordable = int(self._ledger.left() / POST_READ)
        size = max(SMALLEST, min(LARGEST, affordable))
        self._ledger.reserve(size * POST_READ, size)
        try:
            page = self._ask(user_id, since, until, size)
        except XError as error:
            if not error.outcome_unknown:
                self._ledger.give_back(size * POST_READ, size)
            raise
        if page.tweets:
            self._store.write(name, to_jsonl(page.tweets), generation=0)
        unsold = size - len(page.tweets)
        if unsold:
            self._ledger.give_back(unsold * POST_READ, unsold)
        return page

    def _ask(self, user_id: str, since: str | None, until: str | None, size: int) -> Page:
        """Ask X for pages until one has posts, or is the last."""
        more = None
        for _ in range(_MOST_EMPTY_PAGES):
            page = self._timeline.page(user_id, since, until, size, more)
            if page.tweets or page.more is None:
                return page
            more = page.more
        raise XUnavailable("nonsense", f"X returned {_MOST_EMPTY_PAGES} empty pages in a row")
