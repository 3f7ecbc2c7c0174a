"""X on this machine, asked by tweepy as the programs ask the real one."""

import html
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import oauthlib.oauth1
import pytest
import requests

from local.x import Draft, XServer
from pipeline import clock, x
from pipeline import text as rules
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
    for text, at in tweets(5, "RT @other: retweet {}", days_ago=20):
        server.write("keeper", Draft(text=text, created_at=at, retweets="7"))
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


# What X says of a post

ALL_FIELDS = [
    *("attachments", "author_id", "conversation_id", "created_at", "edit_controls", "entities"),
    *("display_text_range", "in_reply_to_user_id", "lang", "note_tweet", "public_metrics"),
    *("referenced_tweets", "source"),
]


@pytest.fixture
def write(server: XServer, reader: Reader) -> Callable[..., dict[str, Any]]:
    """Writes a post of @keeper's, and returns what a timeline says of it."""
    server.add_user("keeper")
    minutes = iter(range(1, 60))

    def written(text: str, **facts: Any) -> dict[str, Any]:
        at = NOW - timedelta(minutes=60 - next(minutes))
        post = server.write("keeper", Draft(text=text, created_at=at, **facts))
        page = reader.page(post.user_id, tweet_fields=ALL_FIELDS)["data"]
        return next(found for found in page if found["id"] == post.id)

    return written


Write = Callable[..., dict[str, Any]]


def test_a_field_without_a_value_is_left_out(write: Write) -> None:
    assert set(write("fog")) == {
        *("author_id", "conversation_id", "created_at", "display_text_range", "edit_controls"),
        *("edit_history_tweet_ids", "id", "lang", "public_metrics", "text"),
    }


def test_each_field_comes_alone_if_it_alone_was_asked_for(
    server: XServer, reader: Reader, write: Write
) -> None:
    whole = write("@baker #fog at example.com " + "x" * 280, answers="7", answers_user="8",
                  quotes="9", media=["photo"])  # fmt: skip
    user = server.user_id("keeper")
    for field in ALL_FIELDS:
        alone = reader.page(user, tweet_fields=[field])["data"][0]
        default = {"edit_history_tweet_ids", "id", "text"}
        assert set(alone) - default == ({field} & set(whole))
        assert alone.get(field) == whole.get(field)
    assert set(ALL_FIELDS) - set(whole) == {"source"}, "X has stopped telling the app"


def test_a_reply_names_whom_and_what_it_answers(server: XServer, write: Write) -> None:
    reply = write("@baker yes", answers="7", answers_user="8", language="de")
    assert reply["in_reply_to_user_id"] == "8"
    assert reply["referenced_tweets"] == [{"type": "replied_to", "id": "7"}]
    assert (reply["conversation_id"], reply["lang"]) == ("7", "de")
    assert reply["display_text_range"] == [len("@baker "), len("@baker yes")]
    orphan = write("@baker still here?", answers_user="8")
    assert "referenced_tweets" not in orphan
    assert orphan["in_reply_to_user_id"] == "8"


def test_a_thread_is_one_conversation(server: XServer, write: Write) -> None:
    user = server.user_id("keeper")
    first = write("one")
    second = write("two", answers=first["id"], answers_user=user)
    third = write("three", answers=second["id"], answers_user=user)
    assert {post["conversation_id"] for post in (first, second, third)} == {first["id"]}
    assert third["referenced_tweets"] == [{"type": "replied_to", "id": second["id"]}]


def test_a_quote_and_a_retweet_name_the_other_post(write: Write) -> None:
    quote = write("so true", quotes="9")
    assert quote["referenced_tweets"] == [{"type": "quoted", "id": "9"}]
    (link,) = quote["entities"]["urls"]
    assert quote["text"] == f"so true {link['url']}"
    assert link["expanded_url"].endswith("/status/9")
    retweet = write("RT @baker: bread", retweets="10")
    assert retweet["referenced_tweets"] == [{"type": "retweeted", "id": "10"}]
    assert retweet["text"] == "RT @baker: bread"


def test_places_count_in_the_text_as_x_sends_it(write: Write) -> None:
    sent = write("a & b https://example.com/a?b=c then @baker and #fog at example.org")
    text, entities = sent["text"], sent["entities"]
    assert text.startswith("a &amp; b https://t.co/")
    links = [text[link["start"] : link["end"]] for link in entities["urls"]]
    assert links == [link["url"] for link in entities["urls"]]
    assert len(set(links)) == 2
    assert all(len(link) == 23 for link in links), "X counts each link as 23"
    assert [link["expanded_url"] for link in entities["urls"]] == [
        "https://example.com/a?b=c",
        "http://example.org",
    ]
    (mention,), (hashtag,) = entities["mentions"], entities["hashtags"]
    assert (mention["username"], hashtag["tag"]) == ("baker", "fog")
    assert text[mention["start"] : mention["end"]] == "@baker"
    assert text[hashtag["start"] : hashtag["end"]] == "#fog"


def test_media_have_a_link_behind_the_text_and_keys_that_tell_their_kind(write: Write) -> None:
    sent = write("the lamp", media=["photo", "video", "animated_gif"])
    keys = sent["attachments"]["media_keys"]
    assert [key.partition("_")[0] for key in keys] == ["3", "7", "16"]
    (link,) = sent["entities"]["urls"]
    assert link["media_key"] == keys[0]
    assert sent["text"] == f"the lamp {link['url']}"
    assert sent["display_text_range"] == [0, len("the lamp")]


@pytest.mark.parametrize("word", ["fog & ", "\u9727"])
def test_a_long_post_is_cut_and_its_note_is_whole(write: Write, word: str) -> None:
    typed = word * 150 + "end"
    sent = write(typed)
    assert sent["text"].endswith("…")
    whole = sent["note_tweet"]["text"]
    assert whole == html.escape(typed, quote=False)
    assert whole.startswith(sent["text"][:-1])
    assert 270 < rules.weighted_length(html.unescape(sent["text"])) <= rules.LIMIT
    assert "note_tweet" not in write("x" * 280)


def test_a_timeline_shows_the_living_version_alone(
    server: XServer, reader: Reader, time: Time
) -> None:
    server.add_user("keeper", [("fgo", NOW), ("rain", NOW - timedelta(hours=1))])
    user = reader.user("keeper")
    first = reader.page(user)["data"][0]
    time.now += timedelta(minutes=29)
    living = server.edit("keeper", first["id"], "fog")
    edited, other = reader.page(user, tweet_fields=["edit_controls", "created_at"])["data"]
    assert (edited["id"], edited["text"], other["text"]) == (living.id, "fog", "rain")
    assert edited["edit_history_tweet_ids"] == [first["id"], living.id]
    assert edited["created_at"] == "2026-11-23T09:29:00.000Z"
    assert edited["edit_controls"] == {
        "edits_remaining": 4,
        "is_edit_eligible": True,
        "editable_until": "2026-11-23T09:30:00.000Z",
    }
    server.add_user("keeper", [("fgo", NOW)])
    assert len(reader.page(user)["data"]) == 2, "the older version is not put back"


def test_a_post_is_edited_five_times_within_half_an_hour(server: XServer, time: Time) -> None:
    server.add_user("keeper", [("0", NOW)])
    other = Draft(text="@baker", created_at=NOW, answers_user="8")
    for draft in (other, Draft(text="RT @baker: bread", created_at=NOW, retweets="7")):
        post = server.write("keeper", draft)
        assert not post.editable
        with pytest.raises(UserError, match="does not let @keeper edit"):
            server.edit("keeper", post.id, "no")
    post = server.write("keeper", Draft(text="1", created_at=NOW))
    for number in range(5):
        post = server.edit("keeper", post.id, f"edit {number}")
    with pytest.raises(UserError, match="does not let @keeper edit"):
        server.edit("keeper", post.id, "a sixth")
    late = server.write("keeper", Draft(text="2", created_at=NOW))
    time.now += timedelta(minutes=31)
    with pytest.raises(UserError, match="does not let @keeper edit"):
        server.edit("keeper", late.id, "late")


def test_a_deleted_post_is_gone_with_all_its_versions(
    server: XServer, reader: Reader, poster: Poster
) -> None:
    server.add_user("keeper", [("one", NOW), ("two", NOW)])
    edited = server.edit("keeper", poster.post("tree")["id"], "three")
    server.delete("keeper", edited.id)
    user = reader.user("keeper")
    assert reader.all(user) == ["two", "one"]
    with pytest.raises(UserError, match=f"no post {edited.id} of @keeper"):
        server.delete("keeper", edited.id)
    server.add_user("keeper", [("one", NOW)])
    assert reader.all(user) == ["two", "one"]
    assert int(poster.post("three")["id"]) > int(edited.id)


def test_replies_are_excluded_by_whom_they_answer_and_not_by_their_text(
    server: XServer, reader: Reader, write: Write
) -> None:
    user = server.user_id("keeper")
    write("@baker is a handle, and this answers nobody")
    first = write("a thread begins")
    write("and goes on", answers=first["id"], answers_user=user)
    write("@baker yes", answers="7", answers_user="8")
    write("RT @baker: written by hand")
    write("RT @baker: bread", retweets="10")
    shown = reader.all(user, exclude=["replies", "retweets"])
    assert shown == [
        "RT @baker: written by hand",
        "and goes on",
        "a thread begins",
        "@baker is a handle, and this answers nobody",
    ]
    assert len(reader.all(user)) == 6


def test_a_timeline_without_replies_shows_the_newest_800_posts(
    server: XServer, reader: Reader
) -> None:
    server.add_user("keeper", tweets(805))
    assert len(reader.all(reader.user("keeper"), exclude=["replies"])) == 800


def test_a_user_s_posts_are_counted_on_request(server: XServer, reader: Reader) -> None:
    server.add_user("keeper", tweets(3))
    plain = x.ask(reader.client.get_user, username="keeper")["data"]
    asked = x.ask(reader.client.get_user, username="keeper", user_fields=["public_metrics"])["data"]
    assert asked.pop("public_metrics")["tweet_count"] == 3
    assert asked == plain


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
        ("/2/users/by/username/keeper?user.fields=colour", "[colour] is not one of"),
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
            "posts_sent": 20,
            "users_sent": 1,
            "posts_read": 20,
            "own_posts_read": 0,
            "user_reads": 1,
            "posts_created": 2,
            "links_created": 1,
            "usd": "0.325",
        }
    }


def counted(server: XServer, *sales: str) -> list[Any]:
    return [server.counts()["keeper"][sale] for sale in sales]


def test_a_post_and_a_user_are_sold_once_in_a_day_of_utc(
    server: XServer, reader: Reader, time: Time
) -> None:
    server.add_user("keeper", tweets(5))
    time.now = datetime(2026, 11, 23, 23, 59, tzinfo=UTC)
    for sent, sold in ((1, 1), (2, 1), (3, 2)):
        reader.page(reader.user("keeper"), max_results=5)
        sales = counted(server, "users_sent", "user_reads", "posts_sent", "posts_read")
        assert sales == [sent, sold, 5 * sent, 5 * sold]
        if sent == 2:
            time.now += timedelta(minutes=1)


def test_a_day_that_is_paid_for_is_one_app_s(server: XServer, reader: Reader) -> None:
    server.add_user("keeper", tweets(5))
    server.add_user("baker")
    user = reader.user("keeper")
    for _ in range(2):
        reader.page(user, max_results=5)
        other: Any = x.poster(x.Keys.model_validate(server.issue_keys("baker")))
        x.ask(other.get_users_tweets, user, max_results=5, user_auth=True)
    assert counted(server, "posts_sent", "posts_read", "own_posts_read") == [20, 15, 0]


def test_one_s_own_posts_by_one_s_own_keys_are_cheap(server: XServer, reader: Reader) -> None:
    server.add_user("keeper", tweets(5))
    user = server.user_id("keeper")
    own: Any = x.poster(x.Keys.model_validate(server.issue_keys("keeper")))
    for _ in range(2):
        x.ask(own.get_users_tweets, user, max_results=5, user_auth=True)
    assert counted(server, "posts_sent", "posts_read", "own_posts_read", "usd") == [
        *(10, 0, 5),
        "0.005",
    ]


def test_what_is_new_since_a_day_was_paid_for_is_sold(
    server: XServer, reader: Reader, time: Time
) -> None:
    server.add_user("keeper", [("fgo", NOW)])
    user = reader.user("keeper")
    first = reader.page(user)["data"][0]["id"]
    server.edit("keeper", first, "fog")
    server.add_user("keeper", [("rain", NOW)])
    reader.page(user)
    assert counted(server, "posts_sent", "posts_read") == [3, 3]


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
        ("503", "unavailable"),
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


def test_the_state_of_an_older_version_is_read(
    tmp_path: Path, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = {"id": "7", "handle": "keeper", "protected": False, "suspended": False}
    post = {"id": "9", "user_id": "7", "text": "fog", "created_at": "2026-11-01T10:00:00Z",
            "automated": False}  # fmt: skip
    sales = {"posts_read": 5, "user_reads": 1, "posts_created": 0, "links_created": 0}
    for name, record in {
        "users": {"7": user},
        "posts": {"9": post},
        "sales": {"keeper": {"handle": "keeper", "counts": sales}},
    }.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(record))
    server = XServer(tmp_path, time)
    server.start()
    monkeypatch.setenv("X_API_URL", server.url)
    try:
        assert Reader(server).all("7") == ["fog"]
        assert counted(server, "posts_read", "posts_sent", "user_reads") == [6, 1, 1]
    finally:
        server.stop()


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
