"""What of the collected tweets is learnt: each rule by its examples, and what holds for all."""

import json
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.curation import RULES, curate
from pipeline.curation.rule import Example
from pipeline.tweets import Tweet
from tests.pipeline import curation_page
from tests.pipeline.curating import clean, curated, learn, shown
from tests.pipeline.test_tweets import tweet

EXAMPLES = [
    pytest.param(rule.name, example, id=f"{rule.name}-{number}")
    for rule in RULES
    for number, example in enumerate(rule.examples, start=1)
]
LINK = "https://t.co/aB3dE5fG7h"


def texts(*raw: str, **keys: Any) -> list[str]:
    return [one.text for one in curated(*raw, **keys).kept]


def reasons(*raw: str, **keys: Any) -> list[str]:
    return [one.reason for one in curated(*raw, **keys).dropped]


# The rules


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_an_example_of_a_rule_is_what_happens(name: str, example: Example) -> None:
    assert shown(example) == (example.learnt, "" if example.learnt else name)


def test_every_rule_has_a_name_of_its_own_and_says_what_it_does() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule.says.endswith("."), rule.name
        assert rule.examples or rule.name == "edited later", rule.name


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("The light is lit.", "The light is lit."),
        ("bread &amp; butter &lt;3 &gt;", "bread & butter <3 >"),
        ("&amp;lt; is how one writes it", "&lt; is how one writes it"),
        ("Fog https://t.co/aB3 again", "Fog again"),
        ("Fog https://t.co/aB3", "Fog"),
        ("見てhttps://t.co/aB3です", "見て です"),
        ("Read http://t.co/aB3?amp=1.", "Read"),
        ("Old http://example.com/a-b_(c)?d=e#f link", "Old link"),
        ("@baker @the_keeper good morning", "good morning"),
        (".@baker: good morning", "good morning"),
        ("@baker\nhello", "hello"),
        ("RT @baker: fresh bread", None),
        ("one\r\n\r\n  two \n three", "one\n\ntwo\nthree"),
        ("cafe\u0301", "caf\u00e9"),
        ("a <|endoftext|> b", "a b"),
        ("a &lt;|endoftext|&gt; b", "a b"),
        ("bell\x07 ringing", "bell ringing"),
        ("🍞🍞", None),
        ("12:30!", None),
        ("@baker https://t.co/aB3", None),
        ("", None),
        ("パンが焼けた", "パンが焼けた"),
    ],
)
def test_cleaning_leaves_what_the_author_wrote(raw: str, cleaned: str | None) -> None:
    assert clean(raw) == cleaned


@pytest.mark.parametrize(
    ("raw", "left"),
    [
        ("Yes! rt @a words", "Yes!"),
        ("Yes! Rt: @a: words", "Yes!"),
        ("Yes! RT “@a: words”", "Yes!"),
        ("Yes! (RT @a words)", "Yes!"),
        ("Yes! RTRT @a: words", "Yes!"),
        ("Yes! MT @a: words", "Yes!"),
        ("Yes! QT @a: words", "Yes!"),
        ("Yes! HT @a words", "Yes!"),
        ("Yes! ht: @a words", "Yes!"),
        ("Yes! “@a: words”", "Yes!"),
        ('Yes! "@a: words"', "Yes!"),
        ("Yes! „@a: words“", "Yes!"),
        ("Oui ! « @a : words »", "Oui !"),
        ("はい 「@a: words」", "はい"),
        ("はい RT @a: words", "はい"),
        ("Yes! ♻ @a: words", "Yes!"),
        ("Yes! >> @a: words", "Yes!"),
        ("Yes! \uff32\uff34 is not it", "Yes! \uff32\uff34 is not it"),
        ("Yes! RT \uff20a: words", "Yes!"),
        ("Yes! RT\u200b @a: words", "Yes!"),
        ("words via @a", None),
        ("words (via @a)", None),
        ("words https://t.co/a via @a", None),
        ("“@a: words” Yes!", "Yes!"),
        ("Yes! “@a: he said “no”” Indeed.", "Yes! Indeed."),
        ("“@a: words that do not end Yes!", None),
        ("I got here via @a railway in the end", "I got here via @a railway in the end"),
        ("ART @MoMA is open", "ART @MoMA is open"),
        ("“A quotation of a book” by @a", "“A quotation of a book” by @a"),
    ],
)
def test_nobodys_words_are_learnt_but_the_authors(raw: str, left: str | None) -> None:
    assert clean(raw) == left


@pytest.mark.parametrize(
    ("raw", "left"),
    [
        (f"New post: {LINK}", None),
        (f"New blog post - {LINK}", None),
        (f"NEW POST: The tide tables {LINK}", "The tide tables"),
        (f"Fog ({LINK})", "Fog"),
        (f"Fog [{LINK}] again", "Fog again"),
        (f"Fog → {LINK}", "Fog"),
        (f"Fog -> {LINK}", "Fog"),
        (f"Fog >> {LINK}", "Fog"),
        (f'They call it "fog" {LINK}', 'They call it "fog"'),
        (f'Fog "{LINK}"', "Fog"),
        (f"Fog <calm> {LINK}", "Fog <calm>"),
        (f"« La brume » {LINK}", "« La brume »"),
        (f"Fog. Read more: {LINK}", "Fog."),
        (f"Fog. Mehr dazu: {LINK}", "Fog."),
        (f"Туман. Подробнее: {LINK}", "Туман."),
        (f"霧が出た。続きはこちら→{LINK}", "霧が出た。"),
        (f"I wrote a new post: {LINK}", "I wrote a new post"),
        (f"One.\n\nTwo: {LINK}\n\nThree.", "One.\n\nTwo\n\nThree."),
        (f"{LINK} {LINK}", None),
        ("See pic.twitter.com/abc today", "See today"),
        ("We moved to example.org!", "We moved to !"),
        ("Well...ok then, e.g. this", "Well...ok then, e.g. this"),
        ("3.5 degrees. Cold.", "3.5 degrees. Cold."),
    ],
)
def test_what_introduced_a_link_goes_with_it(raw: str, left: str | None) -> None:
    assert clean(raw) == left


@pytest.mark.parametrize(
    "raw",
    [
        "Mail keeper@example.com",
        "Mail keeper@\u200bexample.com",
        "Mail keeper\uff20example.com",
        "Mail keeper (at) example.com",
        "keeper at example dot org",
        "Call +49 171 2345678",
        "Call 555-0132 now",
        "Tel. 030 123 45 67",
        "0612345678",
        "電話 03-1234-5678",
        "ご予約は090-0000-5850まで",
        "Москва, Садовый пер., д. 31, кв. 16",
        "في ٩٧ شارع النموذج",
        "اتصل ٠١٠١٢٣٤٥٦٧٨",
        "Come to 12 Harbour Street",
        "221B Baker St, London",
        "Hafenstraße 12, wie immer",
        "12 rue de la Paix",
        "Calle Mayor 3, a las seis",
        "ул. Ленина, д. 5",
        "〒100-0001 に来て",
        "中山路12号见",
        "PO Box 12",
        "Springfield, IL 62704",
    ],
)
def test_personal_data_is_never_learnt(raw: str) -> None:
    assert clean(raw) is None


@pytest.mark.parametrize(
    "raw",
    [
        "In 1999-2004 we had 12,500 visitors",
        "2026-11-23 10:30 and 23.11.2026",
        "Wars: 1914 1918 1939 1945",
        "It costs $1,000,000.00 or 1000000 €",
        "1 000 000 000 gulls",
        "The M25 6PM traffic",
        "Scores: 3-2 1-0 4-1 2-2 0-0",
        "3.14159265358979 is pi",
        "Platz 1 für die Gans, Spring 2026",
        "I ran 10 miles in 90 minutes",
        "@keeper at home",
        "Bring boots @ 6",
    ],
)
def test_dates_prices_and_scores_are_no_personal_data(raw: str) -> None:
    assert clean(raw, replies=True) is not None


@pytest.mark.parametrize(
    "text",
    [
        "👨‍👩‍👧 we are here",
        "❤️‍🔥 is lit",
        "🏴󠁧󠁢󠁷󠁬󠁳󠁿 is Wales",
        "می‌خواهم بروم",
        "श्री क्‍ष और क्‌ष",
        "葛\U000e0100飾 is a place",
    ],
)
def test_a_character_that_shapes_what_is_seen_stays(text: str) -> None:
    assert clean(text) == text


def test_a_joiner_elsewhere_goes() -> None:
    assert clean("a\u200db c\u200cd \u200d\u200c") == "ab cd"
    assert clean("hi\U000e0041\U000e0042") == "hi"


def test_words_are_counted_in_every_script() -> None:
    for enough in (
        "one two three",
        "один два три",
        "واحد اثنان ثلاثة",
        "パンが焼けた",
        "今天又下雨了",
    ):
        assert clean(enough, min_words=3) == enough
    for short in (
        "one two",
        "один два",
        "واحد اثنان",
        "パン",
        "one two 3 4 5",
        "one two #three @four",
    ):
        assert clean(short, min_words=3) is None


def test_an_answer_to_another_is_told_by_its_kind_and_else_by_its_text() -> None:
    def reason(**fields: object) -> list[str]:
        return [one.reason for one in curate([tweet(**fields)], learn()).dropped]

    assert reason(kind="reply", text="So true") == ["reply to another"]
    assert reason(kind=None, text="@a so true") == ["reply to another"]
    assert reason(kind="post", text="@a so true") == ["reply to another"]
    assert reason(kind="thread", text="@me and then") == []
    assert reason(kind=None, text=".@a opens at six") == []


def test_a_thread_stays_in_its_order() -> None:
    thread = [
        tweet(id="10", text="First."),
        tweet(id="9", text="Before."),
        tweet(id="11", kind="thread", text="Second."),
    ]
    assert [one.text for one in curate(thread, learn()).kept] == ["Before.", "First.", "Second."]


def test_an_edited_tweet_counts_once() -> None:
    first = tweet(id="1", text="Fgo.", edits=("1", "2"))
    second = tweet(id="2", text="Fog.", edits=("1", "2"))
    result = curate([first, second], learn())
    assert [one.text for one in result.kept] == ["Fog."]
    assert result.reasons == {"edited later": 1}
    assert [one.text for one in curate([first], learn()).kept] == ["Fgo."]


def test_a_cut_text_is_left_out() -> None:
    assert reasons(f"The water freezes on t… {LINK}") == ["cut by X"]
    assert [one.reason for one in curate([tweet(cut=True)], learn()).dropped] == ["cut by X"]
    picture = tweet(text=f"Wait for it… {LINK}", media=("photo",))
    assert [one.text for one in curate([picture], learn()).kept] == ["Wait for it…"]


def test_the_page_of_the_rules_is_current() -> None:
    assert curation_page.PAGE.read_text() == curation_page.page(), "write it again: `make docs`"


# Templates and duplicates


def test_what_an_app_writes_counts_once_or_not_at_all() -> None:
    runs = [f"I just ran {n}.5 km with a watch {LINK}" for n in range(5)]
    lists = [f"My Top 3 #lastfm Artists: {a} (9), {b} (4) {LINK}" for a, b in ("ab", "cd", "ef")]
    assert len(texts(*runs, *lists)) == 2
    assert texts(*runs, *lists, apps="never") == []
    assert len(texts(*runs, *lists, apps="all")) == 8


def test_the_app_is_enough_to_tell_who_wrote() -> None:
    photo = tweet(text="Sunset at the pier", app="Instagram")
    by_hand = tweet(id="2", text="Sunrise at the pier", app="Twitter for iPhone")
    left = curate([photo, by_hand], learn(apps="never"))
    assert [one.id for one in left.kept] == ["2"]


def test_ones_own_prose_is_no_template() -> None:
    prose = [f"a thought of my own, number {n}" for n in range(20)]
    prose += [f"I cannot believe that the {what} is open" for what in ("bakery", "pier", "lamp")]
    assert texts(*prose) == prose


def test_nearly_equal_texts_count_once_wherever_they_differ() -> None:
    words = [
        "the",
        "harbour",
        "office",
        "stays",
        "closed",
        "on",
        "every",
        "second",
        "monday",
        "until",
        "the",
        "end",
        "of",
        "winter",
    ]
    for place in range(len(words)):
        other = [*words[:place], "whatever", *words[place + 1 :]]
        assert texts(" ".join(words), " ".join(other)) == [" ".join(words)], place
    chinese = "港口办公室每隔一个星期一都不开门一直到冬天结束为止请大家互相转告"
    assert texts(chinese, chinese.replace("冬天", "春天")) == [chinese]


def test_texts_of_the_same_words_in_part_are_kept() -> None:
    pair = [
        "the harbour office stays closed on every second monday until the end of winter",
        "the harbour office opens again on every other friday since the start of spring",
    ]
    assert texts(*pair) == pair


def test_the_oldest_of_equal_texts_is_kept() -> None:
    old, new = tweet(id="9", text="Good Morning"), tweet(id="10", text="good morning!")
    assert [one.id for one in curate([new, old], learn()).kept] == ["9"]


def test_a_bot_does_not_learn_from_its_own_posts() -> None:
    result = curated("Fish &amp; chips again", "Nothing new", posted=("Fish & Chips again", "Else"))
    assert [one.text for one in result.kept] == ["Nothing new"]
    assert result.reasons == {"own post": 1}


# Exclusions


def test_excluded_words_are_whole_words_but_where_a_script_has_no_spaces() -> None:
    exclude = {"words": ["boss", "two  words", "会社", "Straße"]}
    assert (
        reasons("the boss", "Two\nWords", "新しい会社だ", "die STRASSE", exclude=exclude)
        == ["excluded"] * 4
    )
    assert reasons("bossy", "two more words", exclude=exclude) == []


def test_an_excluded_pattern_takes_time_that_grows_with_the_text_alone() -> None:
    assert reasons("a" * 5000 + "!", exclude={"patterns": ["(a*)*b"]}) == []


# What holds for every text


HIDDEN = (
    "".join(map(chr, [*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x206A)]))
    + "\ufeff\u00ad\u115f\u1160\u3164\uffa0\u2800"
)
PIECES = [
    "RT", "rt", "@a", "@bc:", ".@d", "“", "”", '"', "(", ")", ":", "…", "https://t.co/aB3", "a.com",
    "x@y.org", "+49 171 2345678", "<|endoftext|>", "<s>", "[INST]", "#tag", "#", "New post:", "via",
    "Read more", "I just ran 5 km", "fog", "Fog", "the", "霧", "туман",
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "👨\u200d👩",
    "\n", "\n\n\n", " ", "  ", "-", "\u2013", "12 Harbour Street", "\0", *HIDDEN,
]  # fmt: skip
TEXTS = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from(PIECES), max_size=12).map(" ".join),
    st.lists(st.sampled_from(PIECES), max_size=12).map("".join),
)
POLICIES = st.fixed_dictionaries(
    {
        "replies": st.booleans(),
        "hashtags": st.sampled_from(["keep", "words", "drop"]),
        "mentions": st.sampled_from(["keep", "words", "drop"]),
        "apps": st.sampled_from(["once", "never", "all"]),
    }
)


def escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


@given(TEXTS, POLICIES)
def test_cleaning_a_clean_text_changes_nothing(raw: str, keys: dict[str, Any]) -> None:
    once = clean(raw, **keys)
    if once is not None:
        assert clean(escaped(once), **keys) == once


@given(TEXTS)
def test_no_hidden_character_survives_but_a_joiner_between_its_own(raw: str) -> None:
    left = clean(raw) or ""
    assert not set(left) & set(HIDDEN) - set("\u200c\u200d")
    assert not re.search(
        r"[a-z ]\u200c|\u200c[a-z ]|[a-z ]\u200d|\u200d[a-z ]|^\u200d|\u200d$", left
    )


@given(st.text(max_size=20), st.emails(), st.text(max_size=20))
def test_no_email_address_survives(before: str, email: str, after: str) -> None:
    left = clean(f"{before} {email} {after}") or ""
    assert email not in left


@given(st.lists(TEXTS, max_size=12), POLICIES, st.lists(TEXTS, max_size=3))
def test_every_tweet_is_kept_or_dropped_for_one_reason(
    raw: list[str], keys: dict[str, Any], posted: list[str]
) -> None:
    result = curated(*raw, posted=tuple(posted), **keys)
    ids = [one.id for one in result.kept] + [one.tweet.id for one in result.dropped]
    assert sorted(map(int, ids)) == list(range(1, len(raw) + 1))
    assert {one.reason for one in result.dropped} <= {rule.name for rule in RULES}
    assert sum(result.reasons.values()) == len(result.dropped)


@given(st.lists(TEXTS, max_size=12), st.integers(min_value=0, max_value=12))
def test_newer_tweets_change_nothing_for_older_ones(raw: list[str], first: int) -> None:
    assert curated(*raw).kept[: len(curated(*raw[:first]).kept)] == curated(*raw[:first]).kept


@given(st.lists(TEXTS, max_size=12), st.randoms(use_true_random=False))
def test_the_order_of_reading_does_not_matter(raw: list[str], rng: random.Random) -> None:
    tweets: list[Tweet] = [tweet(id=str(n), text=text) for n, text in enumerate(raw, start=1)]
    mixed = rng.sample(tweets, len(tweets))
    assert curate(tweets, learn()) == curate(mixed, learn())


# Recorded texts


def test_no_link_of_the_conformance_suite_survives(shared_data: Path) -> None:
    cases = json.loads((shared_data / "text/extract.json").read_text())["urls"]
    assert cases
    for case in cases:
        left = clean(case["text"]) or ""
        assert not [url for url in case["expected"] if url in left], case


def test_no_recorded_retweet_survives(shared_data: Path) -> None:
    recorded = json.loads((shared_data / "x-api/05-timeline-shapes-recorded.json").read_text())
    posts = [post["text"] for post in recorded["body"]["data"]]
    result = curated(*posts)
    assert Counter(one.reason for one in result.dropped)["words of others"] == sum(
        text.startswith("RT @") for text in posts
    )
    assert "NYC < London (weather this week)" in [one.text for one in result.kept]
