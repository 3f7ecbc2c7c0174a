"""Writes a person's tweets, one after the other, from the person's grammar and habits."""

import html
import random
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from demo.samples import expander
from demo.samples.people.person import Form, Person
from demo.samples.sample import (
    Address,
    Answered,
    Oddity,
    Sample,
    Version,
    is_long,
    snowflake,
    user_id,
)
from pipeline.tweets import Kind

# Characters that nobody sees. In Arabic script, joiners show.
_IN_WORDS = ("\u200b", "\u2060", "\ufeff", "\u00ad")
_JOINERS = ("\u200c", "\u200d")
_BLANK = ("\u2800", "\u3164", "\u115f", "\u200e", "\u200f")
_TURNS = (("\u202a", "\u202c"), ("\u202b", "\u202c"), ("\u2067", "\u2069"), ("\u202d", "\u202c"))

_LINKED_BY = ("{intro} {title} {link}", "{title} {outro} {link}")
_LINKED_PLAINLY = (
    "{title} - {link}",
    "{title} \u2013 {link}",
    "{title}: {link}",
    "{title} ({link})",
)

_QUOTED_BY_HAND = (
    "{comment} RT @{friend}: {other}",
    "{comment} RT @{friend} {other}",
    "{comment} rt @{friend}: {other}",
    "{comment} RT: @{friend}: {other}",
    "{comment} MT @{friend}: {other}",
    "MT @{friend} {other}",
    "{comment} QT @{friend}: {other}",
    "“@{friend}: {other}”",
    "“@{friend}: {other}” {comment}",
    '"@{friend}: {other}" {comment}',
    "{other} via @{friend}",
    "{other} (via @{friend})",
)
_ITSELF = "https://twitter.com/i/web/status/{id}"  # where X's link after a cut text leads

# Rules of what no author tidies.
_VERBATIM = {"other", "friend", "domain", "tag", "template", "subject"}

_MARKED = (
    "<|startoftext|>{tweet}",
    "{tweet}<|endoftext|>",
    "<s>{tweet}</s>",
    "[INST] {tweet} [/INST]",
)
_MENTIONED = ("{tweet} /cc @{friend}", "{tweet} (h/t @{friend})")


@dataclass
class _Draft:
    """A tweet that has no time and no id yet."""

    text: str
    own: str
    kind: Kind = "post"
    oddities: set[Oddity] = field(default_factory=set[Oddity])
    app: str | None = None
    answers: str | None = None
    links: list[Address] = field(default_factory=list[Address])
    photos: int = 0
    quotes: str | None = None
    first_version: str | None = None


class Writer:
    """Writes a person's tweets. The same seed writes the same ones."""

    def __init__(self, person: Person, seed: int, since: datetime) -> None:
        self._person = person
        self._rng = random.Random(f"{person.name}-{seed}")
        self._at = since
        self._number = 0
        self._texts: set[str] = set()
        self._posts: list[str] = []
        self._forms: dict[Form, Callable[[], _Draft]] = {
            "post": self._post,
            "answer": self._answer,
            "retweet": self._retweet,
            "quote by hand": self._quote_by_hand,
            "quote": self._quote,
            "introduced link": self._introduced_link,
            "link": self._link,
            "photo": self._photo,
            "hashtags": self._hashtags,
            "edit": self._edit,
            "hidden characters": self._hidden_characters,
            "cut": self._cut,
            "email": lambda: self._private("email", "mail_line"),
            "phone": lambda: self._private("phone", "phone_line"),
            "address": lambda: self._private("address", "address_line"),
            "near-duplicate": self._near_duplicate,
            "template": self._template,
            "marker": self._marker,
            "bare domain": self._bare_domain,
            "subject mention": self._subject_mention,
            "mention inside": self._mention_inside,
            "heart": self._heart,
            "long": self._long,
            "no words": self._no_words,
        }

    def samples(self) -> Iterator[Sample]:
        """Yields distinct tweets for ever, the oldest first."""
        shares = self._person.shares
        while True:
            [form] = self._rng.choices(list(shares), list(shares.values()))
            self._wait(10 * 60, 8 * 3600)
            if form == "thread":
                yield from self._thread()
                continue
            draft = self._forms[form]()
            if draft.text not in self._texts:
                yield self._sent(draft)

    def _thread(self) -> Iterator[Sample]:
        """Yields a tweet and the person's own answers to it, in order."""
        parts = [self._draft(self._say("opening"))]
        for _ in range(self._rng.randint(1, 6)):
            paragraphs = [self._say("paragraph") for _ in range(self._rng.randint(1, 3))]
            parts.append(self._draft("\n\n".join(paragraphs)))
        parts.append(self._draft(self._say("closing")))
        before = None
        for part in parts:
            if part.text in self._texts:
                continue
            kind = "post" if before is None else "thread"
            sample = self._sent(replace(part, answers=before, kind=kind))
            before = sample.id
            yield sample
            self._wait(20, 240)

    # What a person does

    def _post(self) -> _Draft:
        return self._draft(self._say("tweet"))

    def _answer(self) -> _Draft:
        own = self._say("answer")
        oddities: set[Oddity] = set()
        if self._one_in(25):
            own = ""
            oddities.add("no words")
        leading = "".join(f"@{self._say('friend')} " for _ in range(2 if self._one_in(6) else 1))
        draft = self._draft(leading + (own or self._say("emoji")), own, "reply", *oddities)
        draft.photos = int(self._one_in(40))
        if self._one_in(30):
            draft.oddities.add("unknown answered tweet")
        if self._one_in(30):
            draft.oddities.add("unknown answered name")
        return draft

    def _retweet(self) -> _Draft:
        whose = f"RT @{self._say('friend')}: "
        if self._one_in(3):
            torn = self._torn("other", 140 - len(whose))
            return self._draft(f"{whose}{torn}…", "", "retweet", "cut")
        return self._draft(whose + self._say("other"), "", "retweet")

    def _quote_by_hand(self) -> _Draft:
        comment = self._say("comment")
        form = self._rng.choice(_QUOTED_BY_HAND)
        text = form.format(comment=comment, friend=self._say("friend"), other=self._say("other"))
        return self._draft(text, comment if "{comment}" in form else "", "post", "words of others")

    def _quote(self) -> _Draft:
        draft = self._draft(self._say("comment"), kind="quote")
        draft.quotes = self._earlier_id()
        address = f"https://twitter.com/{self._say('friend')}/status/{draft.quotes}"
        return self._with_link(draft, "{text} {link}", address)

    def _introduced_link(self) -> _Draft:
        title = self._say("title")
        form = self._rng.choice((*_LINKED_BY, *_LINKED_BY, *_LINKED_PLAINLY))
        form = form.format(
            intro=self._say("link_intro"),
            outro=self._say("link_outro"),
            title="{text}",
            link="{link}",
        )
        return self._with_link(self._draft(title, title, "post", "introduced link"), form)

    def _link(self) -> _Draft:
        tweet = self._say("tweet")
        return self._with_link(self._draft(tweet, tweet, "post", "link"), "{text} {link}")

    def _photo(self) -> _Draft:
        draft = self._post()
        draft.photos = self._rng.choice((1, 1, 1, 2, 4))
        return draft

    def _hashtags(self) -> _Draft:
        tweet = self._say("tweet")
        tags = " ".join(sorted({self._say("tag") for _ in range(self._rng.randint(1, 3))}))
        return self._draft(f"{tweet} {tags}", tweet, "post", "hashtags")

    def _edit(self) -> _Draft:
        draft = self._post()
        letters = [i for i in range(len(draft.text) - 1) if draft.text[i : i + 2].isalpha()]
        place = self._rng.choice(letters)
        one, other = draft.text[place : place + 2]
        draft.first_version = draft.text[:place] + other + one + draft.text[place + 2 :]
        draft.oddities.add("edited")
        return draft

    def _hidden_characters(self) -> _Draft:
        tweet = self._say("tweet")
        place = self._rng.randrange(1, len(tweet))
        before, after = self._rng.choice(_TURNS)
        in_words = _IN_WORDS if self._person.language == "ar" else (*_IN_WORDS, *_JOINERS)
        text = self._rng.choice(
            (
                tweet[:place] + self._rng.choice(in_words) + tweet[place:],
                self._rng.choice(_BLANK) + tweet,
                tweet + self._rng.choice(_BLANK),
                before + tweet + after,
            )
        )
        return self._draft(text, tweet, "post", "hidden characters")

    def _cut(self) -> _Draft:
        """Returns a text that X or an app cut to 140 characters, with a link or without."""
        way = self._rng.choice(("X", "an app", "nobody knows"))
        torn = self._torn("tweet", 140 if way == "nobody knows" else 116)
        draft = self._draft(f"{torn}…", "", "post", "cut")
        if way == "nobody knows":
            return draft
        return self._with_link(draft, "{text} {link}", _ITSELF if way == "X" else None)

    def _private(self, oddity: Oddity, rule: str) -> _Draft:
        return self._draft(self._say(rule), "", "post", oddity)

    def _near_duplicate(self) -> _Draft:
        if not self._posts:
            return self._post()
        own = self._rng.choice(self._posts)
        text = self._rng.choice(
            (
                f"{own} {self._say('emoji')}",
                f"{own} {self._say('tag')}",
                own.rstrip(".。!") + "!",
                own.rstrip(".。!") + "…",
                own.replace(" ", "  ", 1),
            )
        )
        draft = self._draft(text, own, "post", "near-duplicate")
        if "#" in text:
            draft.oddities.add("hashtags")
        return draft

    def _template(self) -> _Draft:
        draft = self._draft(self._say("template"), "", "post", "template")
        draft.app = self._person.grammar["template_app"][0]
        return draft

    def _marker(self) -> _Draft:
        tweet = self._say("tweet")
        return self._draft(self._rng.choice(_MARKED).format(tweet=tweet), tweet, "post", "marker")

    def _bare_domain(self) -> _Draft:
        domain = self._say("domain")
        text = self._say("bare", domain=[domain])
        return self._draft(text, text.replace(domain, ""), "post", "bare domain")

    def _subject_mention(self) -> _Draft:
        text = f".@{self._say('friend')} {self._say('subject')}"
        return self._draft(text, text, "post", "subject mention")

    def _mention_inside(self) -> _Draft:
        tweet = self._say("tweet")
        text = self._rng.choice(_MENTIONED).format(tweet=tweet, friend=self._say("friend"))
        return self._draft(text, tweet, "post", "mention inside")

    def _heart(self) -> _Draft:
        return self._draft(f"{self._say('tweet')} <3")

    def _long(self) -> _Draft:
        rule = "paragraph" if "paragraph" in self._person.grammar else "tweet"
        paragraphs = [self._say(rule)]
        while not is_long("\n\n".join(paragraphs)) or self._one_in(2):
            paragraphs.append(self._say(rule))
        return self._draft("\n\n".join(paragraphs))

    def _no_words(self) -> _Draft:
        draft = self._draft("", "", "post", "no words")
        if self._one_in(2):
            return self._with_link(draft, "{link}")
        draft.text = self._rng.choice(
            (
                "".join(self._say("emoji") for _ in range(self._rng.randint(1, 4))),
                " ".join({self._say("tag"): None, self._say("tag"): None}),
                f"@{self._say('friend')} @{self._say('friend')}",
            )
        )
        return draft

    # The means

    def _draft(
        self, text: str, own: str | None = None, kind: Kind = "post", *oddities: Oddity
    ) -> _Draft:
        return _Draft(text, text if own is None else own, kind, set(oddities))

    def _with_link(self, draft: _Draft, form: str, address: str | None = None) -> _Draft:
        link = Address(self._short(), address or f"https://blog.example.org/{self._letters(6)}")
        text = form.format(text=draft.text, link=link.short)
        return replace(draft, text=text, links=[*draft.links, link])

    def _say(self, rule: str, **rules: list[str]) -> str:
        grammar = self._person.grammar | rules
        if rule not in grammar:  # Only some people have words of their own for threads.
            rule = "tweet"
        text = expander.expand(grammar, self._rng, rule)
        tidied = self._person.language == "en" and rule not in _VERBATIM
        return expander.tidy(text) if tidied else text

    def _torn(self, rule: str, length: int) -> str:
        """Returns the start of a long text. It ends in mid-word, just before `length`."""
        between = "" if self._person.language == "ja" else " "
        text = self._say(rule)
        while len(text) < length:
            text += between + self._say(rule)
        place = length - 1
        while not text[place - 1 : place + 1].isalpha():
            place -= 1
        return text[:place]

    def _one_in(self, many: int) -> bool:
        return self._rng.randrange(many) == 0

    def _letters(self, count: int) -> str:
        return "".join(self._rng.choices(string.ascii_letters + string.digits, k=count))

    def _short(self) -> str:
        return f"https://t.co/{self._letters(10)}"

    def _wait(self, least: int, most: int) -> None:
        self._at += timedelta(seconds=self._rng.randrange(least, most))

    def _earlier_id(self) -> str:
        before = timedelta(seconds=self._rng.randrange(30, 3 * 24 * 3600))
        return snowflake(self._at - before, self._rng.randrange(1 << 22))

    def _answered(self, draft: _Draft) -> Answered | None:
        if draft.answers is not None:
            return Answered(self._person.user_id, self._person.handle, draft.answers)
        if draft.kind != "reply":
            return None
        handle = draft.text.split()[0].removeprefix("@")
        return Answered(
            user_id(handle),
            None if "unknown answered name" in draft.oddities else handle,
            None if "unknown answered tweet" in draft.oddities else self._earlier_id(),
        )

    def _sent(self, draft: _Draft) -> Sample:
        """Returns the tweet with a time and an id, and with the labels that its text shows."""
        self._texts.add(draft.text)
        if (
            draft.kind == "post"
            and not draft.oddities
            and not draft.photos
            and len(draft.text) < 140
        ):
            self._posts.append(draft.text)
        self._number += 4  # A long post has an id just below its own, and so has a first version.
        id = snowflake(self._at, self._number)  # noqa: A001
        photos = self._photos(draft.photos, id)
        text = f"{draft.text} {photos[0].short}" if photos else draft.text
        oddities = draft.oddities
        if photos:
            oddities |= {"photo"}
        if "\n\n" in text:
            oddities |= {"paragraphs"}
        if html.escape(text, quote=False) != text:
            oddities |= {"escaped"}
        if is_long(text):
            oddities |= {"long"}
        return Sample(
            id=id,
            at=self._at,
            text=text,
            own=draft.own,
            kind=draft.kind,
            oddities=frozenset(oddities),
            app=draft.app or self._person.app,
            language="zxx" if "no words" in oddities else self._person.language,
            answered=self._answered(draft),
            links=tuple(replace(link, full=link.full.replace("{id}", id)) for link in draft.links),
            photos=photos,
            quotes=draft.quotes,
            versions=self._versions(draft),
        )

    def _photos(self, count: int, id: str) -> tuple[Address, ...]:  # noqa: A002
        """Returns the photos of a tweet, which share one link in its text."""
        short = self._short()
        page = f"https://twitter.com/{self._person.handle}/status/{id}/photo"
        return tuple(Address(short, f"{page}/{number}") for number in range(1, count + 1))

    def _versions(self, draft: _Draft) -> tuple[Version, ...]:
        if draft.first_version is None:
            return ()
        at = self._at - timedelta(seconds=self._rng.randrange(30, 600))
        return (Version(snowflake(at, self._number - 2), at, draft.first_version),)
