"""Stored names are those that earlier programs wrote: without them nothing would be found again."""

# pyright: reportPrivateUsage=false

import inspect
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pipeline import events, layout, novelty, release, slots, tokens
from tests import messages

ARGUMENTS: dict[str, Any] = {
    "account": "keeper",
    "base": "registry/app@sha256:0123456789abcdef",
    "digest": "0123456789abcdef" * 4,
    "limit": 12,
    "name": "124M",
    "new": 7,
    "pointer": "rollout/live/keeper.json",
    "project": "my-project",
    "release": "20261123T101500Z-1a2b3c4d",
    "role": "post",
    "run": "2026-11-23",
    "segment": "tweets/keeper/segments/archive-0-7.jsonl",
    "since": "100",
    "slot": "20261123T0900Z",
    "stack": "prod",
    "tag": "20261123T101500Z-1a2b3c4d",
    "until": "200",
    "workers": 2,
    "oldest": 1000,
    "newest": 1249,
    "tweets": 250,
    "at": datetime(2026, 11, 23, 9, 30, tzinfo=UTC),
    "nonce": "0a1b2c3d",
}
Name = str | int | list[str] | tuple[str, str] | tuple[int, int, int] | None
LONG = dict.fromkeys(("account", "project", "run", "stack"), "x" * 80)


def functions() -> dict[str, Callable[..., Name]]:
    return {
        name: found
        for name, found in inspect.getmembers(layout, inspect.isfunction)
        if found.__module__ == layout.__name__
    }


def named(found: Callable[..., Name], **changes: Any) -> object:
    given = {name: (ARGUMENTS | changes)[name] for name in inspect.signature(found).parameters}
    result = found(**given)
    return list(result) if isinstance(result, tuple) else result


def test_every_name_is_the_one_that_was_reviewed() -> None:
    names = {name: named(found) for name, found in functions().items()}
    cut = {f"cut {name}": named(found, **LONG) for name, found in functions().items()}
    names |= {
        name: value
        for name, value in cut.items()
        if "xxx" in str(value) and "x" * 80 not in str(value)
    }
    names |= {
        "a page": list(layout.page_of(layout.page("keeper", 1000, 1249, 250)) or ()),
        "a first page of an older program": layout.timeline_segment("keeper", None, None),
        "segments of all archives": layout.archive_segments("keeper"),
        "a machine alone": layout.machines("prod", "2026-11-23", 1),
        "base pointer's account": layout.account_of("rollout/base/keeper.json"),
        "no pointer's account": layout.account_of("rollout/other/keeper.json"),
        "files of a base model": list(layout.BASE_MODEL_FILES),
        "patterns": [layout.ACCOUNT, layout.IMAGE],
        "events": {name: value for name, value in vars(events).items() if name.isupper()},
        "files of a release": [novelty.FILE, release.DATASET],
        "end token": tokens.END,
    }
    messages.check("names", names)


def test_a_name_in_a_listing_that_is_no_slot_is_left_out() -> None:
    assert slots._is_name("20261123T0900Z")
    for text in ("history", "spend", "20261123T0900", "20261323T0900Z", ""):
        assert not slots._is_name(text)
