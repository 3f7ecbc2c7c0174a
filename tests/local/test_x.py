"""X on this machine, asked by tweepy as the programs ask the real one."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import oauthlib.oauth1
import pytest
import requests

from local.x import XServer
from pipeline import clock, x
from pipeline.errors import UserError
from tests.local.faults import FaultyX, Kind

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
HOST = "https://api.twitter.com"


class Time:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def server(tmp_path: Path, time: Time, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyX]:
    started = FaultyX(tmp_path, time)
    started.start()
    monkeypatch.setenv("X_API_URL", started.url)
    yield started
    started.stop()


def tweets(count: int, text: str = "tweet {}", days_ago: int = 30) -> list[tuple[str, datetime]]:
    start = NOW - timedelta(days=days_ago)
    return [(text.format(number), start + timedelta(minutes=number)) for number in range(count)]


class Reader:
    """What a scraper asks, by tweepy with the app's bearer token."""

    def __init__(self, server: XServer, bearer: str | None = None) -> None:
        self.client: Any = x.client(bearer or server.bearer())

    def user(self, handle: str) -> str:
        return x.ask(self.client.get_user, username=handle)["data"]["id"]

    def page(self, user_id: str, **parameters: Any) -> dict[str, Any]:
        return x.ask(self.client.get_users_tweets, user_id, **parameters)

    def all(self, user_id: str, **parameters: Any) -> list[str]:
        texts: list[str] = []
        while True:
            page = self.page(user_id, max_results=100, **parameters)
            texts += [post["text"] for post in page.get("data", [])]
            if "next_token" not in page["meta"]:
                return texts
            parameters["pagination_token"] = page["meta"]["next_token"]


class Poster:
    """What a poster asks, by tweepy with an account's four keys."""

    def __init__(self, keys: dict[str, str]) -> None:
        self._client: Any = x.poster(x.Keys.model_validate(keys))

    def post(self, text: str) -> dict[str, Any]:
        return x.ask(self._client.create_tweet, text=text, user_auth=True)["data"]

    def me(self) -> dict[str, Any]:
        return x.ask(self._client.get_me, user_auth=True)["data"]


@pytest.fixture
def reader(server: XServer) -> Reader:
    return Reader(server)


@pytest.fixture
def poster(server: XServer) -> Poster:
    server.add_user("keeper")
    return Poster(server.issue_keys("keeper"))


def refused(call: Callable[..., Any], *args: Any, **parameters: Any) -> str:
    with pytest.raises(x.XError) as error:
        call(*args, **parameters)
    return error.value.kind


# Timelines


def test_a_user_is_found_whatever_the_case_of_the_handle(server: XServer, reader: Reader) -> None:
    server.add_user("LampKeeper")
    assert reader.user("lampkeeper") == reader.user("LAMPKEEPER")


def test_pages_hold_every_post_once_newest_first(server: XServer, reader: Reader) -> None:
    server.add_user("keeper", tweets(250))
    expected = [f"tweet {number}" for number in reversed(range(250))]
    assert reader.all(reader.user("keeper")) == expected


def test_a_new_post_does_not_shift_later_pages(server: XServer, reader: Reader) -> None:
    server.add_user("keeper", tweets(20))
    user = reader.user("keeper")
    first = reader.page(user, max_results=10)
    server.add_user("keeper", [("news", NOW)])
    second = reader.page(user, max_results=10, pagination_token=first["meta"]["next_token"])
    assert second["data"][0]["text"] == "tweet 9"
    assert "next_token" not in second["meta"]


def test_since_and_until_exclude_the_posts_they_name(server: XServer, reader: Reader) -> None:
    server.add_user("keeper", tweets(10))
    user = reader.user("keeper")
    ids = [post["id"] for post in reader.page(user)["data"]]
    between = reader.page(user, since_id=ids[6], until_id=ids[2])["data"]
    assert [post["id"] for post in between] == ids[3:6]
    assert reader.page(user, since_id=ids[0]) == {"meta": {"result_count": 0}}


def test_a_timeline_shows_the_newest_3200_posts(server: XServer, reader: Reader) -> None:
    server.add_user("keeper", tweets(3205))
    found = reader.all(reader.user("keeper"))
    assert (len(found), found[-1]) == (3200, "tweet 5")


def test_a_page_with_a_next_one_may_be_empty_after_exclusion(
    server: XServer, reader: Reader
) -> None:
    server.add_user("keeper", tweets(5))
    server.add_user("keeper", tweets(5, "RT @other: retweet {}", days_ago=20))
    page = reader.page(reader.user("keeper"), max_results=5, exclude=["retweets"])
    assert "data" not in page
    assert page["meta"]["result_count"] == 0
    assert reader.all(reader.user("keeper"), exclude=["retweets"])[0] == "tweet 4"


def test_texts_are_escaped_and_fields_come_on_request(server: XServer, reader: Reader) -> None:
    server.add_user("keeper", [("<b> & co", NOW)])
    user = reader.user("keeper")
    assert set(reader.page(user)["data"][0]) == {"edit_history_tweet_ids", "id", "text"}
    post = reader.page(user, tweet_fields=["created_at", "author_id"])["data"][0]
    assert post["text"] == "&lt;b&gt; &amp; co"
    assert post["created_at"] == "2026-11-23T09:00:00.000Z"
    assert post["author_id"] == user


def test_ids_grow_with_time_and_are_unique(server: XServer, reader: Reader, poster: Poster) -> None:
    server.add_user("keeper", [(f"tweet {number}", NOW) for number in range(5)])
    poster.post("one")
    poster.post("two")
    ids = [int(post["id"]) for post in reader.page(reader.user("keeper"))["data"]]
    assert ids == sorted(set(ids), reverse=True)
    assert [post.text for post in server.posts("keeper")] == ["one", "two"]


def test_missing_suspended_and_protected_users_are_a_200_with_errors(
    server: XServer, reader: Reader
) -> None:
    server.add_user("gone", tweets(5))
    user = reader.user("gone")
    assert refused(reader.user, "nobody") == "not-found"
    assert refused(reader.page, "12345") == "not-found"
    server.add_user("gone", suspended=True)
    assert refused(reader.user, "gone") == "forbidden"
    assert refused(reader.page, user) == "forbidden"
    server.add_user("gone", protected=True)
    assert reader.user("gone") == user
    assert refused(reader.page, user) == "forbidden"
    server.add_user("gone")
    assert len(reader.all(user)) == 5


# Who calls


def test_a_wrong_bearer_token_is_rejected(server: XServer) -> None:
    assert refused(Reader(server, "wrong").user, "keeper") == "credentials"


@pytest.mark.parametrize("key", ["api_key", "api_secret", "access_token", "access_token_secret"])
def test_each_of_the_four_keys_has_to_be_right(server: XServer, poster: Poster, key: str) -> None:
    keys = server.issue_keys("keeper")
    assert refused(Poster({**keys, key: "wrong"}).post, "hello") == "credentials"
    assert server.posts("keeper") == []
    Poster(keys).post("hello")


def test_keys_act_for_the_user_they_were_issued_for(server: XServer, poster: Poster) -> None:
    server.add_user("baker")
    assert poster.me()["username"] == "keeper"
    assert Poster(server.issue_keys("baker")).me()["username"] == "baker"


def test_the_bearer_token_can_neither_post_nor_be_a_user(server: XServer, reader: Reader) -> None:
    for call in (
        lambda: reader.client.create_tweet(text="hello", user_auth=False),
        lambda: reader.client.get_me(user_auth=False),
    ):
        assert refused(x.ask, call) == "forbidden"


def signed(
    server: XServer,
    path: str,
    method: Literal["GET", "POST"] = "GET",
    body: Any = None,
    url: str = HOST,
    timeout: float = 10.0,
    **oauth: Any,
) -> Callable[..., requests.Response]:
    """A request signed for X's real address, and sent to the local one."""
    keys = server.issue_keys("keeper")
    client: Any = oauthlib.oauth1.Client(
        keys["api_key"],
        keys["api_secret"],
        keys["access_token"],
        keys["access_token_secret"],
        **oauth,
    )
    _, headers, _ = client.sign(url + path, method)

    def send(path: str = path) -> requests.Response:
        return requests.request(
            method, server.url + path, headers=headers, json=body, timeout=timeout
        )

    return send


def test_a_signature_is_for_one_address_and_its_parameters(server: XServer, poster: Poster) -> None:
    timeline = "/2/users/1/tweets?max_results=5"
    assert signed(server, timeline)().status_code == 200
    assert signed(server, timeline)("/2/users/1/tweets?max_results=6").status_code == 401
    assert signed(server, timeline)("/2/users/2/tweets?max_results=5").status_code == 401
    assert signed(server, timeline, url="https://api.x.com")().status_code == 401


def test_only_hmac_sha1_is_accepted(server: XServer, poster: Poster) -> None:
    plain = signed(server, "/2/users/me", signature_method=oauthlib.oauth1.SIGNATURE_PLAINTEXT)
    assert plain().status_code == 401
    assert signed(server, "/2/users/me")().status_code == 200


def test_a_signed_request_is_accepted_once(server: XServer, poster: Poster) -> None:
    request = signed(server, "/2/tweets", "POST", {"text": "hello"})
    assert [request().status_code for _ in range(2)] == [201, 401]


@pytest.mark.parametrize(("off", "status"), [(-301, 401), (-200, 200), (200, 200), (301, 401)])
def test_a_signature_is_valid_for_five_minutes(
    tmp_path: Path, time: Time, off: int, status: int
) -> None:
    server = XServer(tmp_path, time, wall_clock=lambda: NOW)
    server.start()
    server.add_user("keeper")
    stamp = str(int(NOW.timestamp()) + off)
    assert signed(server, "/2/users/me", timestamp=stamp)().status_code == status
    server.stop()


def test_signatures_stay_good_when_the_cloud_s_clock_is_ahead(
    server: XServer, time: Time, poster: Poster
) -> None:
    time.now += timedelta(days=40)
    assert poster.me()["username"] == "keeper"


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ü", "OAuth", "OAuth x", 'OAuth oauth_token="1"', "Basic eDp5"]
)
def test_malformed_authorization_headers_are_a_401(server: XServer, header: str) -> None:
    headers = {"Authorization": header.encode()} if header else {}
    response = requests.get(f"{server.url}/2/users/me", headers=headers, timeout=10)
    assert response.status_code == 401
    assert response.json()["title"] == "Unauthorized"


# Posting


def test_a_text_is_posted_once(server: XServer, poster: Poster) -> None:
    posted = poster.post("hello <b>")
    assert posted["text"] == "hello &lt;b&gt;"
    assert refused(poster.post, "hello <b>") == "duplicate"
    assert [(post.id, post.text) for post in server.posts("keeper")] == [
        (posted["id"], "hello <b>")
    ]


def test_another_account_may_post_the_same_text(server: XServer, poster: Poster) -> None:
    server.add_user("baker")
    poster.post("hello")
    Poster(server.issue_keys("baker")).post("hello")


def test_the_limit_is_280_by_weight(server: XServer, poster: Poster) -> None:
    poster.post("x" * 280)
    poster.post("字" * 140)
    assert refused(poster.post, "x" * 281) == "invalid"
    assert refused(poster.post, "字" * 141) == "invalid"


def test_a_suspended_account_posts_nothing(server: XServer, poster: Poster) -> None:
    server.add_user("keeper", suspended=True)
    assert refused(poster.post, "hello") == "forbidden"


@pytest.mark.parametrize(
    "body", [{}, {"text": ""}, {"text": 5}, {"text": "a", "colour": "red"}, ["text"]]
)
def test_a_body_that_is_not_a_post_is_a_400(server: XServer, poster: Poster, body: Any) -> None:
    response = signed(server, "/2/tweets", "POST", body)()
    assert response.status_code == 400
    assert response.json()["title"] == "Invalid Request"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/2/users/1/tweets?max_results=4", "[4] is not between 5 and 100"),
        ("/2/users/1/tweets?max_results=101", "[101] is not between 5 and 100"),
        ("/2/users/1/tweets?since_id=x", "[x] does not match ^[0-9]{1,19}$"),
        ("/2/users/1/tweets?pagination_token=x", "`pagination_token`"),
        ("/2/users/1/tweets?exclude=cats", "[cats] is not one of [replies,retweets]"),
        ("/2/users/1/tweets?tweet.fields=colour", "[colour] is not one of"),
        ("/2/users/1/tweets?colour=red", "[colour] is not one of"),
        ("/2/users/x/tweets", "`id`"),
        ("/2/users/by/username/a-b", "does not match ^[A-Za-z0-9_]{1,15}$"),
        ("/2/users/by/username/sixteen_letters_", "does not match ^[A-Za-z0-9_]{1,15}$"),
    ],
)
def test_a_wrong_parameter_is_named_in_x_s_words(server: XServer, path: str, words: str) -> None:
    headers = {"Authorization": f"Bearer {server.bearer()}"}
    response = requests.get(server.url + path, headers=headers, timeout=10)
    assert response.status_code == 400
    assert words in response.json()["errors"][0]["message"]


# Limits and money


def test_calls_beyond_the_rate_limit_are_a_429_until_the_reset(
    server: XServer, time: Time, poster: Poster
) -> None:
    assert [refused(poster.post, "x" * 281) for _ in range(100)] == ["invalid"] * 100
    with pytest.raises(x.XError) as error:
        poster.post("hello")
    assert error.value.kind == "rate"
    response = signed(server, "/2/tweets", "POST", {"text": "hello"})()
    headers = {name: response.headers[f"x-rate-limit-{name}"] for name in ("limit", "remaining")}
    assert headers == {"limit": "100", "remaining": "0"}
    reset = datetime.fromtimestamp(int(response.headers["x-rate-limit-reset"]), UTC)
    assert reset == NOW + timedelta(minutes=15)
    time.now = reset
    poster.post("hello")


def test_one_caller_s_limit_is_not_another_s(server: XServer, poster: Poster) -> None:
    server.add_user("baker")
    for _ in range(100):
        refused(poster.post, "x" * 281)
    Poster(server.issue_keys("baker")).post("hello")


def test_sales_and_nothing_else_are_counted(
    server: XServer, reader: Reader, poster: Poster
) -> None:
    server.add_user("keeper", tweets(30))
    user = reader.user("keeper")
    reader.page(user, max_results=20)
    reader.page(user, since_id="9" * 19)
    poster.post("hello")
    poster.post("see example.com")
    refused(poster.post, "hello")
    refused(reader.user, "nobody")
    assert server.counts() == {
        "keeper": {
            "posts_read": 20,
            "user_reads": 1,
            "posts_created": 2,
            "links_created": 1,
            "usd": "0.325",
        }
    }


# Bad days


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("401", "credentials"),
        ("402", "credits"),
        ("403", "forbidden"),
        ("429", "rate"),
        ("429-no-reset", "rate"),
        ("usage-cap", "cap"),
        ("500", "unavailable"),
        ("nonsense", "nonsense"),
        ("cut", "unavailable"),
    ],
)
@pytest.mark.parametrize("after_effect", [False, True])
def test_a_fault_happens_as_often_as_it_was_asked_for(
    server: FaultyX, poster: Poster, fault: Kind, kind: str, after_effect: bool
) -> None:
    server.fail_next(fault, 1, after_effect=after_effect)
    assert refused(poster.post, "hello") == kind
    assert len(server.posts("keeper")) == after_effect
    if after_effect:
        assert refused(poster.post, "hello") == "duplicate"
    else:
        poster.post("hello")


@pytest.mark.parametrize("after_effect", [False, True])
def test_a_response_may_never_come(server: FaultyX, poster: Poster, after_effect: bool) -> None:
    server.fail_next("timeout", after_effect=after_effect)
    request = signed(server, "/2/tweets", "POST", {"text": "hello"}, timeout=0.2)
    with pytest.raises(requests.ReadTimeout):
        request()
    assert len(server.posts("keeper")) == after_effect


# What is kept


def test_the_state_survives_a_restart(
    server: XServer,
    tmp_path: Path,
    time: Time,
    reader: Reader,
    poster: Poster,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.add_user("keeper", tweets(5))
    user = reader.user("keeper")
    keys = server.issue_keys("keeper")
    posted = poster.post("hello")
    before = (server.bearer(), server.counts(), server.posts("keeper"))
    server.stop()
    again = XServer(tmp_path, time)
    again.start()
    monkeypatch.setenv("X_API_URL", again.url)
    assert (again.bearer(), again.counts(), again.posts("keeper")) == before
    again.add_user("keeper", tweets(5))
    assert len(Reader(again).all(user)) == 6
    assert refused(Poster(keys).post, "hello") == "duplicate"
    assert int(Poster(keys).post("more")["id"]) > int(posted["id"])
    again.stop()


def test_a_write_that_was_cut_short_costs_only_itself(
    server: XServer,
    tmp_path: Path,
    time: Time,
    poster: Poster,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def cut(self: Path, target: Path) -> None:
        raise OSError("cut")

    poster.post("one")
    with monkeypatch.context() as short, pytest.raises(OSError, match="cut"):
        short.setattr(Path, "replace", cut)
        server.add_user("keeper", [("lost", NOW)])
    server.stop()
    again = XServer(tmp_path, time)
    assert [post.text for post in again.posts("keeper")] == ["one"]
    again.add_user("keeper", [("two", NOW)])
    again.stop()
    posts = json.loads((tmp_path / "posts.json").read_text()).values()
    assert [post["text"] for post in posts] == ["one", "two"]


def test_keys_are_readable_by_their_owner_alone(
    server: XServer, tmp_path: Path, poster: Poster
) -> None:
    server.bearer()
    for name in ("keys.json", "bearer.json"):
        assert (tmp_path / name).stat().st_mode & 0o077 == 0


def test_keys_for_an_unknown_user_are_one_clear_line(server: XServer) -> None:
    with pytest.raises(UserError, match="@nobody"):
        server.issue_keys("nobody")


def test_a_port_that_is_taken_is_one_clear_line(server: XServer, tmp_path: Path) -> None:
    port = int(server.url.rpartition(":")[2])
    with pytest.raises(UserError, match=f"port {port} is taken"):
        XServer(tmp_path / "other", clock.now, port)


# The page


def page(server: XServer, path: str) -> requests.Response:
    return requests.get(server.url + path, timeout=10)


def test_the_first_page_lists_automated_accounts_first(server: XServer) -> None:
    server.add_user("aardvark", tweets(1))
    server.add_user("keeper")
    Poster(server.issue_keys("keeper")).post("hello")
    text = page(server, "/").text
    assert text.index("@keeper") < text.index("@aardvark")
    assert 'href="/keeper"' in text


def test_a_timeline_shows_texts_times_and_automated_posts(server: XServer) -> None:
    server.add_user("keeper", [("by hand", NOW - timedelta(days=1))])
    Poster(server.issue_keys("keeper")).post("by the bot")
    text = page(server, "/keeper").text
    assert text.index("by the bot") < text.index("by hand")
    assert "22 November 2026, 09:00 UTC" in text
    assert "2 posts, 1 automated" in text
    assert "1 post created, $0.015" in text


@pytest.mark.parametrize("evil", ["<script>alert(1)</script>", "&lt;", "\"'>"])
def test_user_text_is_never_markup(server: XServer, evil: str) -> None:
    server.add_user("keeper", [(evil, NOW)])
    text = page(server, "/keeper").text
    assert evil not in text
    response = page(server, "/" + quote(evil, safe=""))
    assert response.status_code == 404
    assert "<script" not in response.text
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
