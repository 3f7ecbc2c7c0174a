"""X on a port of this machine: the API below /2/, and beside it pages for people."""

import re
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote

from local.gateway.server import Request, Response, Server
from local.x import page
from local.x.api import Api
from local.x.auth import Authority
from local.x.state import Draft, Post, State, User, price
from pipeline import clock as clocks
from pipeline.clock import Clock
from pipeline.errors import UserError


class XServer:
    """X, with its state kept in `folder`; `port` 0 takes any free one.

    `clock` dates posts and rate limits. `wall_clock` judges the times of signatures, which OAuth
    libraries take from the machine.
    """

    def __init__(
        self, folder: Path, clock: Clock, port: int = 0, wall_clock: Clock = clocks.now
    ) -> None:
        self._state = State(folder, clock)
        self._api = Api(self._state, Authority(self._state, wall_clock))
        self._server = Server(port, self.respond)
        self.url = self._server.url

    def start(self) -> None:
        """Serve from now on, on threads of its own."""
        self._server.start()

    def stop(self) -> None:
        """Serve no more."""
        self._server.stop()

    def add_user(
        self,
        handle: str,
        tweets: Iterable[tuple[str, datetime] | Draft] = (),
        *,
        protected: bool = False,
        suspended: bool = False,
    ) -> None:
        """Create or change a user, who posted these texts at these times (aware).

        A Draft says more of a post than its text. Posts that exist stay, so repeating the call
        changes nothing.
        """
        user = self._state.put_user(handle, protected=protected, suspended=suspended)
        self._state.put_posts(user, map(Draft.of, tweets))

    def write(self, handle: str, draft: Draft) -> Post:
        """Add a post of a user's, who did not make it through the API; UserError if it exists."""
        posts = self._state.put_posts(self._user(handle), [draft])
        if not posts:
            raise UserError(f"X on this machine has this post of @{handle} already: {draft.text}")
        return posts[0]

    def edit(self, handle: str, id_: str, text: str) -> Post:
        """Let a user edit their post; returns the living version, which has another id."""
        return self._state.edit(self._user(handle), id_, text)

    def delete(self, handle: str, id_: str) -> None:
        """Let a user delete their post."""
        self._state.delete(self._user(handle), id_)

    def user_id(self, handle: str) -> str:
        """A user's id."""
        return self._user(handle).id

    def bearer(self) -> str:
        """The app's bearer token."""
        return self._state.bearer()

    def issue_keys(self, handle: str) -> dict[str, str]:
        """Make keys to post as a user: api_key, api_secret, access_token, access_token_secret."""
        return self._state.issue_keys(self._user(handle)).model_dump(exclude={"user_id"})

    def posts(self, handle: str) -> list[Post]:
        """The posts made through the API as this user, oldest first."""
        posts = self._state.posts(self._user(handle))
        return [post for post in reversed(posts) if post.automated]

    def counts(self) -> dict[str, dict[str, int | str]]:
        """What X sent and sold of each user, by handle: the keys of PRICES, and `usd`."""
        return {
            handle: {**sales, "usd": str(price(sales))}
            for handle, sales in self._state.sold().items()
        }

    def respond(self, request: Request) -> Response:
        """The API's response, or a page for people."""
        if re.match(r"/2(/|$)", request.path):
            return self._api.respond(request)
        status, text = self._page(unquote(request.path.strip("/")))
        headers = [
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"),
        ]
        return Response(status, text.encode(), headers)

    def _page(self, handle: str) -> tuple[int, str]:
        if not handle:
            return 200, page.accounts(self._state)
        user = self._state.by_handle(handle)
        return (200, page.timeline(self._state, user)) if user else (404, page.nobody(handle))

    def _user(self, handle: str) -> User:
        user = self._state.by_handle(handle)
        if user is None:
            raise UserError(f"X on this machine has no user @{handle}: add it with add_user")
        return user
