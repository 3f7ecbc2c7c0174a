"""The endpoints of X's API v2 that the bots use.

Stands in for api.twitter.com. It cannot show X's spam filters, its daily limits, how soon a post
appears in its timeline, nor that X may sell a post twice in a day on which it has an outage.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import parse_qsl

from local.gateway.server import Request, Response
from local.x import problems
from local.x.auth import Authority
from local.x.limits import Limits
from local.x.problems import Problem
from local.x.state import Post, State, User
from local.x.tweet import FIELDS, tweet
from pipeline import text as rules

VISIBLE, VISIBLE_WITHOUT_REPLIES = 3200, 800
"""How many of a user's newest posts a timeline shows."""

_ID = r"[0-9]{1,19}"
_HANDLE = r"[A-Za-z0-9_]{1,15}"
_TOKEN = "7140dibdnow9c7btw"  # noqa: S105 - the prefix of X's page tokens
_USER_FIELDS = [
    *("created_at", "description", "entities", "id", "location", "name", "pinned_tweet_id"),
    *("profile_image_url", "protected", "public_metrics", "url", "username", "verified"),
    *("verified_type", "withheld"),
]

# The parameters of a timeline: the pattern of each value, or the words that a list may hold.
_TIMELINE_PATTERNS = {
    "since_id": _ID,
    "until_id": _ID,
    "max_results": "[0-9]+",
    "pagination_token": f"{_TOKEN}[0-9a-f]{{1,16}}",
}
_TIMELINE_LISTS = {"exclude": ["replies", "retweets"], "tweet.fields": FIELDS}


@dataclass(frozen=True)
class _Call:
    """One call: its app and caller, the user or handle in its path, its query and body.

    The caller is None for a bearer token, with which an app calls in nobody's name.
    """

    app: str
    caller: User | None
    subject: str
    query: Mapping[str, str]
    body: bytes


class Api:
    """Responds to the calls."""

    def __init__(self, state: State, authority: Authority) -> None:
        self._state = state
        self._authority = authority
        self._limits = Limits(state.now)

    def respond(self, request: Request) -> Response:
        """X's response, which may be a problem."""
        headers: list[tuple[str, str]] = []
        try:
            endpoint, subject, call = self._endpoint(request)
            app, caller = self._authority.caller(request)
            if caller is None and endpoint in ("me", "post"):
                raise problems.app_only()
            headers = self._limits.take(endpoint, caller.id if caller else None)
            query = dict(parse_qsl(request.query, keep_blank_values=True))
            status, document = call(_Call(app, caller, subject, query, request.body.read()))
        except Problem as problem:
            failed = problem.response
            return Response(failed.status, failed.body, [*failed.headers, *headers])
        return Response.json(status, document, headers)

    def _endpoint(
        self, request: Request
    ) -> tuple[str, str, Callable[[_Call], tuple[int, dict[str, Any]]]]:
        for method, path, endpoint, call in (
            ("GET", r"/2/users/me()", "me", self._me),
            ("GET", r"/2/users/by/username/([^/]*)", "user", self._user),
            ("GET", r"/2/users/([^/]*)/tweets", "timeline", self._timeline),
            ("POST", r"/2/tweets()", "post", self._post),
        ):
            match = re.fullmatch(path, request.path)
            if match and method == request.method:
                return endpoint, match[1], call
        raise problems.unknown_path()

    def _me(self, call: _Call) -> tuple[int, dict[str, Any]]:
        _refuse_unknown(call.query, ())
        user = _signer(call)
        return 200, self._sold_user(call, user, [])

    def _user(self, call: _Call) -> tuple[int, dict[str, Any]]:
        _refuse_unknown(call.query, ("user.fields",))
        fields = _words(call.query, "user.fields", _USER_FIELDS)
        _match("username", call.subject, _HANDLE)
        user = self._state.by_handle(call.subject)
        if user is None:
            return 200, problems.no_such_user("username", call.subject)
        if user.suspended:
            return 200, problems.suspended("username", call.subject)
        return 200, self._sold_user(call, user, fields)

    def _sold_user(self, call: _Call, user: User, fields: list[str]) -> dict[str, Any]:
        self._state.sell_reads(call.app, user, "user_reads", [user.id])
        known: dict[str, Any] = {
            "protected": user.protected,
            "public_metrics": {
                **dict.fromkeys(["followers_count", "following_count"], 0),
                "tweet_count": len(self._state.posts(user)),
                **dict.fromkeys(["listed_count", "like_count", "media_count"], 0),
            },
        }
        asked = {field: known[field] for field in fields if field in known}
        return {"data": {"id": user.id, "name": user.handle, "username": user.handle, **asked}}

    def _timeline(self, call: _Call) -> tuple[int, dict[str, Any]]:
        query = call.query
        _match("id", call.subject, _ID)
        size, exclude, fields = _timeline_query(query)
        user = self._state.by_id(call.subject)
        if user is None:
            return 200, problems.no_such_user("id", call.subject)
        if user.suspended:
            return 200, problems.suspended("id", call.subject)
        if user.protected and call.caller != user:
            return 200, problems.protected("id", call.subject)
        visible = VISIBLE_WITHOUT_REPLIES if "replies" in exclude else VISIBLE
        since = int(query.get("since_id", 0))
        until = [int(query[key]) for key in ("until_id",) if key in query]
        if token := query.get("pagination_token"):
            until.append(int(token.removeprefix(_TOKEN), 16))
        wanted = [
            post
            for post in self._state.posts(user)[:visible]
            if since < int(post.id) and all(int(post.id) < limit for limit in until)
        ]
        # X excludes posts after it has cut the page, so a page may even be empty.
        page = [post for post in wanted[:size] if not _excluded(post, exclude)]
        sale = "own_posts_read" if call.caller == user else "posts_read"
        self._state.sell_reads(call.app, user, sale, [post.id for post in page])
        meta: dict[str, Any] = {"result_count": len(page)}
        if page:
            meta |= {"newest_id": page[0].id, "oldest_id": page[-1].id}
        if len(wanted) > size:
            meta["next_token"] = f"{_TOKEN}{int(wanted[size - 1].id):x}"
        data = {"data": [self._tweet(post, fields) for post in page]} if page else {}
        return 200, {**data, "meta": meta}

    def _post(self, call: _Call) -> tuple[int, dict[str, Any]]:
        user = _signer(call)
        text = _text(call.body)
        if user.suspended:
            raise problems.suspended_poster()
        if rules.weighted_length(text) > rules.LIMIT:
            raise problems.too_long()
        post = self._state.post(user, text)
        if post is None:
            raise problems.duplicate()
        self._state.sell(user, "posts_created", 1)
        self._state.sell(user, "links_created", 1 if rules.has_link(text) else 0)
        return 201, {"data": self._tweet(post, [])}

    def _tweet(self, post: Post, fields: list[str]) -> dict[str, Any]:
        return tweet(post, fields, self._state.conversation(post))


def _signer(call: _Call) -> User:
    if call.caller is None:
        raise problems.app_only()
    return call.caller


def _excluded(post: Post, exclude: list[str]) -> bool:
    """Whether a timeline leaves a post out. X keeps answers to oneself.

    Source: https://github.com/tweepy/tweepy/issues/2069
    """
    answer = post.answers_user not in (None, post.user_id)
    return ("retweets" in exclude and post.retweets is not None) or (
        "replies" in exclude and answer
    )


def _timeline_query(query: Mapping[str, str]) -> tuple[int, list[str], list[str]]:
    """The page's size, the excluded kinds, and the requested fields; raises Problem (400)."""
    _refuse_unknown(query, (*_TIMELINE_PATTERNS, *_TIMELINE_LISTS))
    for name, pattern in _TIMELINE_PATTERNS.items():
        if name in query:
            _match(name, query[name], pattern)
    exclude, fields = (_words(query, name, known) for name, known in _TIMELINE_LISTS.items())
    size = int(query.get("max_results", "10"))
    if not 5 <= size <= 100:
        message = f"The `max_results` query parameter value [{size}] is not between 5 and 100"
        raise problems.invalid("max_results", str(size), message)
    return size, exclude, fields


def _words(query: Mapping[str, str], name: str, known: list[str]) -> list[str]:
    """The words of a list in the query; raises Problem (400)."""
    words = query[name].split(",") if name in query else []
    for word in words:
        if word not in known:
            message = f"The `{name}` query parameter value [{word}] is not one of "
            raise problems.invalid(name, word, f"{message}[{','.join(known)}]")
    return words


def _refuse_unknown(query: Mapping[str, str], known: tuple[str, ...]) -> None:
    for name, value in query.items():
        if name not in known:
            message = f"The query parameter [{name}] is not one of [{','.join(known)}]"
            raise problems.invalid(name, value, message)


def _match(name: str, value: str, pattern: str) -> None:
    if not re.fullmatch(pattern, value):
        message = f"The `{name}` query parameter value [{value}] does not match ^{pattern}$"
        raise problems.invalid(name, value, message)


def _text(body: bytes) -> str:
    """The text to post; raises Problem (400) if the body holds anything else."""
    try:
        document: Any = json.loads(body)
    except ValueError as error:
        raise problems.invalid("", "", "The body is no JSON") from error
    if not isinstance(document, dict):
        raise problems.invalid("", "", "[$: object expected]")
    asked = cast("dict[str, Any]", document)
    for name in asked:
        if name != "text":
            message = f"[$.{name}: is not defined in the schema and the schema does not allow "
            raise problems.invalid(name, str(asked[name]), f"{message}additional properties]")
    text = asked.get("text")
    if not isinstance(text, str) or not text.strip():
        raise problems.invalid("text", str(text), "[$.text: a string that is not empty expected]")
    return text
