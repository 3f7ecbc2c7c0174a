"""Imports the archive that X gives a person into an account's corpus."""

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline import archive, corpus, layout
from pipeline.errors import UserError
from pipeline.store import PreconditionFailed, Store
from pipeline.tweets import to_jsonl


@dataclass(frozen=True)
class Imported:
    """How many tweets an archive has, and how many of them are new."""

    tweets: int
    new: int


def import_archive(store: Store, account: str, handle: str, file: Path) -> Imported:
    """Store the archive's tweets as one segment, named after the archive's digest.

    Importing an archive again adds nothing. A segment is never written again, even if a newer
    program reads more out of the same archive.
    """
    tweets = archive.read(file, handle)
    if not tweets:
        raise UserError(f"{file}: the archive has no tweets of @{handle}, only retweets or none")
    held = {tweet.id for tweet in corpus.read(store, account)}
    new = sum(tweet.id not in held for tweet in tweets)
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    if not store.names(layout.archive_segments(account, digest)):
        # Another import of the same archive may be faster.
        with suppress(PreconditionFailed):
            name = layout.archive_segment(account, digest, new)
            store.write(name, to_jsonl(tweets), generation=0)
    return Imported(tweets=len(tweets), new=new)
