"""Writes zips like the archives of their own data that X gives people.

They have everything that makes real archives hard to read: several parts, retweets that are not
marked as such, replies, each version of an edited tweet, truncated long posts, HTML escapes, and
private files. A correct reader finds exactly the tweets that the archive was written from.
"""

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from demo.samples import layouts
from demo.samples.entries import Owner
from demo.samples.layouts import Layout
from demo.samples.sample import Address, Answered, Sample, Version, is_long, snowflake, user_id


def write(path: Path, handle: str, tweets: Sequence[tuple[str, datetime]]) -> None:
    """Writes an archive of `tweets` (text and time, oldest first); long ones become long posts."""
    owner = Owner(handle, user_id(handle), handle)
    save(path, layouts.files("2024", owner, list(_samples(tweets))), tweets[-1][1])


def write_samples(
    path: Path,
    owner: Owner,
    samples: Sequence[Sample],
    layout: Layout = "2024",
    gone: Sequence[Sample] = (),
) -> None:
    """Writes an archive of `samples`, the oldest first, in that layout.

    `gone` are tweets that the owner has deleted of late. They must not be among `samples`.
    """
    save(path, layouts.files(layout, owner, samples, gone), samples[-1].at)


def write_split(paths: Sequence[Path], owner: Owner, samples: Sequence[Sample]) -> None:
    """Writes one archive of the newest layout in several zips, each with a part of the tweets.

    The first has all the rest. Every zip has the manifest, which counts the entries of all.
    """
    files = layouts.files("2024", owner, samples, parts=len(paths))
    shared = {name: text for name, text in files.items() if name == "data/manifest.js"}
    parts = [
        {f"data/tweets-part{part}.js": files.pop(f"data/tweets-part{part}.js")} | shared
        for part in range(1, len(paths))
    ]
    for path, held in zip(paths, (files, *parts), strict=True):
        save(path, held, samples[-1].at)


def save(path: Path, files: Mapping[str, str], at: datetime) -> None:
    """Writes a zip of files that were all written at that time."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            written = zipfile.ZipInfo(name, at.timetuple()[:6])
            archive.writestr(written, text, zipfile.ZIP_DEFLATED)


def _samples(tweets: Sequence[tuple[str, datetime]]) -> Iterator[Sample]:
    """Yields the tweets, and retweets between them. A tweet's position decides its oddity."""
    for i, (text, at) in enumerate(tweets):
        sample = Sample(
            id=snowflake(at, 4 * i + 2),
            at=at,
            text=text,
            own=text,
            kind="post",
            oddities=frozenset(),
            app="Twitter Web App",
            language="en",
        )
        if is_long(text):
            yield sample
        elif i % 50 == 7:
            radio = Answered(user_id("harbour_radio"), "harbour_radio", None)
            yield replace(sample, text=f"@harbour_radio {text}", kind="reply", answered=radio)
        elif i % 50 == 17:
            before = at - timedelta(minutes=5)
            first = Version(snowflake(before, 4 * i), before, text[: len(text) // 2])
            yield replace(sample, versions=(first,))
        elif i % 50 == 27:
            link = Address(f"https://t.co/{i:010d}", f"https://photos.example.org/{i}")
            yield replace(sample, text=f"{text} {link.short}", links=(link,))
        else:
            yield sample
        if i % 20 == 3:
            yield replace(
                sample,
                text=f"RT @harbour_radio: Gale warning number {i}, all areas.",
                id=snowflake(at, 4 * i + 3),
                kind="retweet",
            )
