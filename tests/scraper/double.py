"""X's user look-up and timelines over real HTTP, counting what they sell.

It stands in for api.twitter.com and takes from it what the scraper's rules depend on: ids, pages,
`since_id`, `until_id`, tokens, the reach of a timeline, refusals. It cannot show what X charges.
"""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

BEARER = "the-bearer-token"


@dataclass
class X:
    """One user's timeline; `posts` by id, `faults` are answered first, one each."""

    handle: str = "keeper_of_light"
    user_id: str = "783214"
    reach: int = 3200
    posts: dict[int, dict[str, Any]] = field(default_factory=dict[int, dict[str, Any]])
    faults: list[tuple[int, dict[str, str], bytes]] = field(
        default_factory=list[tuple[int, dict[str, str], bytes]]
    )
    empty_pages: int = 0
    lookups: int = 0
    sold: list[str] = field(default_factory=list[str])
    asked: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    before_answer: Callable[[], None] = lambda: None
    url: str = ""

    def post(self, *numbers: int) -> None:
        for number in numbers:
            self.posts[number] = {
                "id": str(number),
                "text": f"the light turned for the {number}th time",
                "created_at": "2026-11-01T10:00:00.000Z",
                "edit_history_tweet_ids": [str(number)],
            }

    def fail(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.faults.append((status, headers or {}, data))

    def answer(
        self, path: str, query: dict[str, str], headers: Any
    ) -> tuple[int, dict[str, str], bytes]:
        if headers["Authorization"] != f"Bearer {BEARER}":
            return 401, {}, b'{"title": "Unauthorized", "status": 401}'
        if self.faults:
            return self.faults.pop(0)
        if path == f"/2/users/by/username/{self.handle}":
            self.lookups += 1
            user: dict[str, Any] = {"id": self.user_id, "username": self.handle}
            if query.get("user.fields") == "public_metrics":
                user["public_metrics"] = {"tweet_count": len(self.posts)}
            body: dict[str, Any] = {"data": user}
        elif path == f"/2/users/{self.user_id}/tweets":
            body = self._timeline(query)
        else:
            return 404, {}, b'{"title": "Not Found", "status": 404}'
        return 200, {}, json.dumps(body).encode()

    def _timeline(self, query: dict[str, str]) -> dict[str, Any]:
        self.asked.append(query)
        skipped = int(query.get("pagination_token", 0))
        if skipped < self.empty_pages:
            return {"meta": {"result_count": 0, "next_token": str(skipped + 1)}}
        above, below = int(query.get("since_id", 0)), int(query.get("until_id", 10**19))
        reached = sorted(self.posts, reverse=True)[: self.reach]
        there = [n for n in reached if above < n < below]
        page = there[: int(query.get("max_results", 10))]
        meta: dict[str, Any] = {"result_count": len(page)}
        if len(there) > len(page):
            meta["next_token"] = "0"
        if not page:
            return {"meta": meta}
        self.sold += [str(number) for number in page]
        return {"data": [self.posts[number] for number in page], "meta": meta}


class Server:
    """Serves an X while it is entered."""

    def __init__(self, x: X) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                split = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(split.query).items()}
                status, headers, body = x.answer(split.path, query, self.headers)
                x.before_answer()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        x.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> None:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()
