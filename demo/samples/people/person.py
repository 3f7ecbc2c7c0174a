"""Who the six people are, and how often each of them does what."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from demo.samples import expander
from demo.samples.entries import Owner

Form = Literal[
    "post",
    "answer",
    "thread",
    "retweet",
    "quote by hand",
    "quote",
    "introduced link",
    "link",
    "photo",
    "hashtags",
    "edit",
    "hidden characters",
    "cut",
    "email",
    "phone",
    "address",
    "near-duplicate",
    "template",
    "marker",
    "bare domain",
    "subject mention",
    "mention inside",
    "heart",
    "long",
    "no words",
]
"""What a person does at a time. A thread is several tweets, all others are one."""

_NOW_AND_THEN: Mapping[Form, float] = {
    "retweet": 5,
    "quote by hand": 4,
    "quote": 2,
    "introduced link": 2,
    "link": 2,
    "photo": 3,
    "hashtags": 3,
    "edit": 1,
    "hidden characters": 2,
    "cut": 1.5,
    "email": 1.5,
    "phone": 1.5,
    "address": 1.2,
    "near-duplicate": 2,
    "template": 2,
    "marker": 0.8,
    "bare domain": 1,
    "subject mention": 1,
    "mention inside": 1,
    "heart": 0.7,
    "long": 0.5,
    "no words": 0.7,
}


@dataclass(frozen=True)
class Person:
    """A made-up person. X has given nobody a `user_id` of eleven digits."""

    name: str
    about: str
    handle: str
    user_id: str
    shown_name: str
    language: str
    app: str
    habits: Mapping[Form, float]

    @property
    def shares(self) -> Mapping[Form, float]:
        """How often the person does what, as relative weights."""
        return {**_NOW_AND_THEN, **self.habits}

    @property
    def owner(self) -> Owner:
        """Whose archive theirs is."""
        return self.owner_as(self.handle)

    def owner_as(self, handle: str) -> Owner:
        """Whose archive theirs is after the person has taken another handle."""
        return Owner(handle, self.user_id, self.shown_name)

    @cached_property
    def grammar(self) -> expander.Grammar:
        """What the person may say."""
        common = expander.read(Path(__file__).with_name("common.txt"))
        return common | expander.read(Path(__file__).with_name(f"{self.name}.txt"))


_EVERYBODY = (
    Person(
        *("mechanic", "short answers to others"),
        *("example_spokes", "90000000011", "Spokes & Co", "en", "Twitter for Android"),
        {"post": 10, "answer": 180, "thread": 0.5},
    ),
    Person(
        *("walker", "threads and long posts"),
        *("example_towpath", "90000000012", "Along the Tarn", "en", "Twitter Web App"),
        {"post": 10, "answer": 6, "thread": 10, "long": 9},
    ),
    Person(
        *("station", "bulletins by an app"),
        *("example_harbour", "90000000013", "Harbour Office", "en", "Twitter Web App"),
        {"post": 5, "answer": 5, "template": 80, "introduced link": 20, "near-duplicate": 6},
    ),
    Person(
        *("potter", "Japanese"),
        *("example_kiln", "90000000014", "見本窯", "ja", "Twitter for iPhone"),
        {"post": 60, "answer": 20, "thread": 2},
    ),
    Person(
        *("gardener", "Russian"),
        *("example_dacha", "90000000015", "Дача и я", "ru", "Twitter for Android"),
        {"post": 60, "answer": 20, "thread": 2},
    ),
    Person(
        *("bookseller", "Arabic"),
        *("example_kutub", "90000000016", "بائع كتب", "ar", "Twitter for iPhone"),
        {"post": 60, "answer": 20, "thread": 2, "hidden characters": 8},
    ),
)

PEOPLE: Mapping[str, Person] = {person.name: person for person in _EVERYBODY}
"""The people by name."""
