"""Any bytes in any file of an archive give tweets, or one clear line."""

import json
from pathlib import Path

from pipeline import archive
from pipeline.errors import UserError
from tests.pipeline.archives import ACCOUNT, KEEPER, entry, js, manifest, note, tweets_js, zipped

TWEETS = tweets_js(
    entry(
        7,
        "fog… https://t.co/a",
        entities={"urls": [{"indices": ["5", "19"], "expanded_url": "https://x.com/a/status/4"}]},
        extended_entities={"media": [{"type": "photo"}]},
        display_text_range=["0", "5"],
        edit_info={"edit": {"editControlInitial": {"editTweetIds": ["7", "9"]}}},
        in_reply_to_user_id_str="77",
        source='<a href="https://x.com">Web</a>',
        lang="en",
    ),
    entry(9, "\ud83d\ude00 light"),
)
_CSV = (
    "tweet_id,timestamp,text,expanded_urls\n"
    '7,2013-01-31 22:11:05 +0000,"fog ""http://t.co/a",http://a.example\n'
)
_LINES = json.dumps(
    {"id": "5", "text": "a", "created_at": "2024-03-01T10:00:05Z", "source": "archive"}
)
# Each file that is read, with content from which to start. A name without a dot is a whole zip.
FILES: dict[str, str] = {
    "data/tweets.js": TWEETS,
    "data/note-tweet.js": js("YTD.note_tweet.part0", [note(6, "fog and light")]),
    "data/manifest.js": manifest(tweets=2),
    "data/account.js": ACCOUNT,
    "data/deleted-tweets.js": TWEETS,
    "data/js/user_details.js": 'var user_details = {"id": "77", "screen_name": "keeper"}',
    "data/js/tweet_index.js": 'var tweet_index = [{"file_name": "tweets.js", "tweet_count": 2}]',
    "a.js": TWEETS,
    "a.csv": _CSV,
    "a.jsonl": _LINES,
    "a.txt": "fog\nlight\n",
}
_NAMES = (*FILES, "a.zip")


def seeds(folder: Path) -> list[bytes]:
    """An input for each file: a byte that names it, and its content."""
    whole = zipped(folder / "seed.zip", {"data/tweets.js": TWEETS}).read_bytes()
    contents = [text.encode() for text in FILES.values()] + [whole]
    (folder / "seed.zip").unlink()
    return [bytes([number]) + content for number, content in enumerate(contents)]


def check(data: bytes, folder: Path) -> int:
    """Read an input in an empty folder; returns the number of tweets that it gives."""
    name, content = _NAMES[data[0] % len(_NAMES)] if data else _NAMES[0], data[1:]
    if name.startswith("data/"):
        path = zipped(folder / "a.zip", {"data/tweets.js": TWEETS, name: content})
    else:
        path = folder / name
        path.write_bytes(content)
    try:
        found = archive.read([path], KEEPER)
    except UserError as error:
        assert str(error).isprintable(), str(error)
        return 0
    finally:
        assert [*folder.iterdir()] == [path]
        path.unlink()
    numbers = [int(tweet.id) for tweet in found.tweets]
    assert numbers == sorted({*numbers})
    assert found.newest is None or found.newest < 2**63
    return len(numbers)
