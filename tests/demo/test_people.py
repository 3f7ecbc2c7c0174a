"""The made-up people: what they write is what their labels say, and nobody else's."""

import re
from collections import Counter
from collections.abc import Callable
from functools import cache

import pytest

from demo.samples import people
from demo.samples.people import PEOPLE
from demo.samples.sample import ODDITIES, Oddity, Sample
from pipeline.text import LIMIT, weighted_length
from pipeline.tweets import Tweet, together

pytestmark = pytest.mark.parametrize("person", PEOPLE)

# U+200D also joins emoji, where it is not hidden: the farmer is a woman and a sheaf of rice.
HIDDEN = re.compile(
    "[\u00ad\u115f\u200b\u200c\u200e\u200f\u202a-\u202e\u2060-\u2069\u2800\u3164\ufeff]"
    "|\u200d(?!\U0001f33e)"
)
EMAIL = re.compile(r"[a-z0-9.-]+@[a-z.]+\.[a-z]+")
LINK = re.compile(r"https://t\.co/\w{10}")
DOMAIN = re.compile(r"(?<![@\w.])(?:\w+\.)*example\.(?:com|org|net|jp)\b")


@cache
def written(person: str) -> list[Sample]:
    return people.samples(person, 1500)


def labelled(person: str, oddity: Oddity) -> list[Sample]:
    return [sample for sample in written(person) if oddity in sample.oddities]


def test_the_same_seed_writes_the_same_and_more_of_it_begins_alike(person: str) -> None:
    few = people.samples(person, 60)
    assert people.samples(person, 60) == few
    assert people.samples(person, 90)[:60] == few
    assert people.samples(person, 60, seed=8) != few


def test_texts_and_ids_are_distinct_and_in_order(person: str) -> None:
    samples = written(person)
    assert len({sample.text for sample in samples}) == len(samples) == 1500
    ids = [int(sample.id) for sample in samples]
    assert ids == sorted(set(ids))
    assert [sample.at for sample in samples] == sorted(sample.at for sample in samples)


def test_every_oddity_occurs(person: str) -> None:
    counts = Counter(oddity for sample in written(person) for oddity in sample.oddities)
    assert counts.keys() == set(ODDITIES)


def test_most_of_the_mechanics_tweets_answer_others_and_the_walkers_are_threads_or_long(
    person: str,
) -> None:
    kinds = Counter(sample.kind for sample in written(person))
    share = {kind: count / 1500 for kind, count in kinds.items()}
    assert 0.75 < share["reply"] < 0.85 if person == "mechanic" else share["reply"] < 0.2
    if person == "walker":
        assert share["thread"] > 0.25
        assert len(labelled(person, "long")) > 200
    if person == "station":
        assert len(labelled(person, "template")) > 700
        assert {sample.app for sample in labelled(person, "template")} == {"Example Bulletins"}
    assert share["retweet"] > 0.015
    assert share["quote"] > 0.005


LABELS: dict[Oddity, Callable[[str], object]] = {
    "words of others": re.compile(r"(?:\b(?:rt|RT|MT|QT|via):? |[“\"])@\w+").search,
    "cut": re.compile(r"(?s)^.{105,139}\w…(?: https://t\.co/\w{10})?$").search,
    "introduced link": LINK.search,
    "link": LINK.search,
    "photo": LINK.search,
    "bare domain": DOMAIN.search,
    "hashtags": re.compile(r"#\w").search,
    "mention inside": re.compile(r".@\w+\)?$").search,
    "subject mention": re.compile(r"^\.@\w+ ").search,
    "email": EMAIL.search,
    "phone": re.compile(r"\d{3,}(?:[ ()\uff0d-]*\d){4,}").search,
    "address": re.compile(r"Example|Sample|見本県|Примерск|المثال").search,
    "hidden characters": HIDDEN.search,
    "marker": re.compile(r"<\|?\w+\|?>|\[INST\]").search,
    "paragraphs": re.compile("\n\n").search,
    "escaped": re.compile("[&<>]").search,
    "long": lambda text: weighted_length(text) > LIMIT,
}
ONLY_WHERE_LABELLED: tuple[Oddity, ...] = (
    *("email", "hidden characters", "marker", "paragraphs", "escaped", "long", "subject mention"),
    *("bare domain", "words of others"),
)


@pytest.mark.parametrize("oddity", LABELS)
def test_a_label_says_what_is_in_the_text(person: str, oddity: Oddity) -> None:
    samples = labelled(person, oddity)
    assert samples
    assert [s.text for s in samples if not LABELS[oddity](s.text)] == []


@pytest.mark.parametrize("oddity", ONLY_WHERE_LABELLED)
def test_a_text_without_the_label_has_nothing_of_the_kind(person: str, oddity: Oddity) -> None:
    others = [s for s in written(person) if oddity not in s.oddities and s.kind != "retweet"]
    assert others
    assert [s.text for s in others if LABELS[oddity](s.text)] == []


def test_what_may_be_learnt_has_no_words_of_others_and_nothing_private(person: str) -> None:
    own = [sample.own for sample in written(person) if sample.own]
    assert len(own) > 400
    for text in own:
        assert not EMAIL.search(text)
        assert not LINK.search(text)
        assert not HIDDEN.search(text)
        assert "RT" not in text
        assert "{" not in text
    for oddity in ("email", "phone", "address", "cut", "template", "no words"):
        assert {sample.own for sample in labelled(person, oddity)} == {""}


def test_own_words_are_part_of_the_text_but_for_hidden_characters(person: str) -> None:
    for sample in written(person):
        if sample.oddities.isdisjoint({"bare domain", "near-duplicate"}):
            assert sample.own in HIDDEN.sub("", sample.text)


def test_a_near_duplicate_repeats_an_earlier_tweet(person: str) -> None:
    earlier: set[str] = set()
    repeated = 0
    for sample in written(person):
        if "near-duplicate" in sample.oddities:
            assert sample.own in earlier
            repeated += 1
        earlier.add(sample.text)
    assert repeated > 3


def test_a_thread_answers_its_own_last_tweet_soon_after(person: str) -> None:
    before, *_ = samples = written(person)
    followed = 0
    for sample in samples:
        if sample.kind == "thread":
            assert sample.answered is not None
            assert sample.answered.tweet == before.id
            assert sample.answered.user == PEOPLE[person].user_id
            assert (sample.at - before.at).total_seconds() < 300
            followed += 1
        before = sample
    assert followed or person == "station"


def test_an_answer_to_others_begins_with_the_name_of_the_answered(person: str) -> None:
    answers = [sample for sample in written(person) if sample.kind == "reply"]
    assert answers
    for sample in answers:
        assert sample.answered is not None
        assert sample.text.startswith("@")
        assert sample.answered.user != PEOPLE[person].user_id
        assert (sample.answered.tweet is None) == ("unknown answered tweet" in sample.oddities)
        assert (sample.answered.handle is None) == ("unknown answered name" in sample.oddities)
        if sample.answered.tweet:
            assert int(sample.answered.tweet) < int(sample.id)
        said = re.sub(r"^(?:@\w+ )+", "", LINK.sub("", sample.text)).strip()
        assert said == sample.own or "no words" in sample.oddities


def test_an_edited_tweet_has_an_earlier_version_with_two_letters_swapped(person: str) -> None:
    edited = labelled(person, "edited")
    for sample in edited:
        [version] = sample.versions
        assert int(version.id) < int(sample.id)
        assert version.at < sample.at
        assert sorted(version.text) == sorted(sample.text)
        assert sample.tweet().edits == (version.id, sample.id)
    assert edited


SCRIPTS = {"ja": "[\u3041-\u30ff]", "ru": "[\u0430-\u0451]", "ar": "[\u0621-\u064a]", "en": "[a-z]"}


def test_everybody_writes_in_their_own_script(person: str) -> None:
    script = SCRIPTS[PEOPLE[person].language]
    others = "".join(s.strip("[]") for s in SCRIPTS.values() if s not in (script, SCRIPTS["en"]))
    for sample in written(person):
        if sample.own and sample.kind != "quote":
            assert re.search(script, sample.own), sample.own
        assert not re.search(f"[{others}]", sample.text), sample.text


def test_japanese_has_no_spaces_between_words_and_english_sentences_start_with_capitals(
    person: str,
) -> None:
    for sample in written(person):
        if person == "potter":
            assert not re.search(r"[\u3041-\u9fff] [\u3041-\u9fff]", sample.own), sample.own
        if PEOPLE[person].language == "en":
            assert not re.search(r"(?:^|[.?!] )[a-z]|\b[Aa] [aeiou]", sample.own), sample.own


def test_names_addresses_and_numbers_are_nobodys(person: str) -> None:
    for sample in written(person):
        assert all(mention.value.startswith("example_") for mention in sample.mentions())
        assert all(
            re.search(r"@(?:[\w-]+\.)*example\.(?:com|org|net|jp)$", email)
            for email in EMAIL.findall(sample.text)
        )
        for link in sample.links:
            assert re.match(
                r"https://(?:blog\.example\.org|twitter\.com/example_\w+|twitter\.com/i/web)/",
                link.full,
            )


def test_places_of_links_and_hashtags_are_places_in_the_delivered_text(person: str) -> None:
    linked = 0
    for sample in written(person):
        tweet = sample.tweet()
        for link in tweet.links:
            assert LINK.fullmatch(tweet.text[link.start : link.end])
            linked += 1
        for hashtag in sample.hashtags():
            assert tweet.text[hashtag.start : hashtag.end] == f"#{hashtag.value}"
        for mention in sample.mentions():
            assert tweet.text[mention.start : mention.end] == f"@{mention.value}"
    assert linked


def test_a_tweet_tells_all_that_its_sample_knows(person: str) -> None:
    samples, tweets = written(person), people.tweets(person, 1500)
    assert together(tweets) == tweets
    assert {tweet.source for tweet in tweets} == {"archive"}
    for sample, tweet in zip(samples, tweets, strict=True):
        assert Tweet.model_validate_json(tweet.model_dump_json()) == tweet
        assert tweet.kind == sample.kind
        assert tweet.cut == ("cut" in sample.oddities)
        assert len(tweet.media) == len(sample.photos)
        assert bool(tweet.edits) == ("edited" in sample.oddities)
        assert (tweet.quotes is not None) == (sample.kind == "quote")
