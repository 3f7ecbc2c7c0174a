"""X's address on this machine: the API below /2/, and pages for people beside it."""

import re
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from local.web import Connection, Request, Response, Server
from local.x import faults, page
from local.x.api import Api
from local.x.auth import Authority
from local.x.faults import Fault, Faults, Kind
from local.x.state import Post, State, User, price
from pipeline import clock as clocks
from pipeline.clock import Clock
from pipeline.errors import UserError


class XServer:
    """X, with all it knows kept in `folder`; `port` 0 takes any that is free.

    `clock` gives posts and rate limits their time; by `wall_clock` the signatures' times are
    judged, which OAuth libraries take from the machine.
    """

    def __init__(
        self, folder: Path, clock: Clock, port: int = 0, wall_clock: Clock = clocks.now
    ) -> None:
        self._state = State(folder, clock)
        self._faults = Faults()
        self._api = Api(self._state, Authority(self._state, wall_clock))
        x = self

        class BoundConnection(_Connection):
            """A connection of this server."""

            def __init__(self, *args: Any) -> None:
                self.x = x
                super().__init__(*args)

        self._server = Server(port, BoundConnection)
        self.url = self._server.url

    def start(self) -> None:
        """Answer from now on, on threads of its own."""
        self._server.start()

    def stop(self) -> None:
        """Answer no more."""
        self._server.stop()

    def add_user(
        self,
        handle: str,
        tweets: Iterable[tuple[str, datetime]] = (),
        *,
        protected: bool = False,
        suspended: bool = False,
    ) -> None:
        """Make or change a user, who posted these texts at these times (aware).

        What is there already stays, so that the same call again changes nothing.
        """
        user = self._state.put_user(handle, protected=protected, suspended=suspended)
        self._state.put_posts(user, tweets)

    def bearer(self) -> str:
        """The app's bearer token."""
        return self._state.bearer()

    def issue_keys(self, handle: str) -> dict[str, str]:
        """New keys to post as a user: api_key, api_secret, access_token, access_token_secret."""
        return self._state.issue_keys(self._user(handle)).model_dump(exclude={"user_id"})

    def posts(self, handle: str) -> list[Post]:
        """What was posted through the API as this user, the oldest first."""
        posts = self._state.posts(self._user(handle))
        return [post for post in reversed(posts) if post.automated]

    def counts(self) -> dict[str, dict[str, int | str]]:
        """What was sold, by handle: posts_read, user_reads, posts_created, links_created, usd."""
        return {
            handle: {**sales, "usd": str(price(sales))}
            for handle, sales in self._state.sold().items()
        }

    def set_credits(self, usd: Decimal | None) -> None:
        """Leave so much to buy with; at nothing every call is answered 402. None: no end of it."""
        self._api.credits = usd

    def fail_next(self, kind: Kind, times: int = 1, *, after_effect: bool = False) -> None:
        """Let the next calls fail; with `after_effect`, after X did what it was asked."""
        self._faults.add(Fault(kind, after_effect), times)

    def call(self, request: Request, connection: "_Connection") -> Response:
        """The answer to a program."""
        fault = self._faults.take()
        if fault is None:
            return self._api.answer(request)
        if fault.after_effect:
            self._api.answer(request)
        if fault.kind == "cut":
            connection.cut()
        if fault.kind == "timeout":
            request.body.read()
            connection.wait_for_end()
        return faults.answer(fault.kind, self._state.now)

    def show(self, path: str) -> tuple[int, str]:
        """The page for a person."""
        handle = unquote(path.strip("/"))
        if not handle:
            return 200, page.accounts(self._state)
        user = self._state.by_handle(handle)
        return (200, page.timeline(self._state, user)) if user else (404, page.nobody(handle))

    def _user(self, handle: str) -> User:
        user = self._state.by_handle(handle)
        if user is None:
            raise UserError(f"X on this machine has no user @{handle}: add it with add_user")
        return user


class _Connection(Connection):
    x: XServer

    def serve(self, request: Request) -> Response:
        if re.match(r"/2(/|$)", request.path):
            return self.x.call(request, self)
        status, text = self.x.show(request.path)
        headers = [
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"),
        ]
        return Response(status, text.encode(), headers)

    def wait_for_end(self) -> None:
        """Say nothing until the client gives up."""
        self.rfile.read(1)
        raise ConnectionAbortedError
