"""Measures the way from an archive to a data set: `python -m benchmarks.collect [--tweets N …]`.

The baseline is `json.loads` of the same files, unpacked and whole in memory. The work is what an
import and a training do with them: read the archive, curate its tweets, compute the digest of the
data set, and build the novelty index. Each figure comes from a process of its own: CPU seconds, and
the most memory that the process ever had. The archive's entries have the form and the length of
those of 2024; its texts are random words, so that few of them are duplicates.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from pipeline import archive, corpus
from pipeline.curation import Kept, decide
from pipeline.learn import Learn
from pipeline.novelty import NoveltyIndex

SIZES = (10_000, 100_000, 1_000_000)
_PART = 100_000  # entries of one file, as X divides them
_WORDS = 30_000
_FIRST = 1_400_000_000_000_000_000


def write(path: Path, tweets: int) -> None:
    """Write an archive of that many tweets."""
    dice = random.Random(1)
    words = [_word(dice) for _ in range(_WORDS)]
    files: list[dict[str, str]] = []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as zipped:
        for part in range(-(-tweets // _PART)):
            count = min(_PART, tweets - part * _PART)
            name = f"data/tweets{f'-part{part}' if part else ''}.js"
            files.append({"fileName": name, "count": str(count)})
            with zipped.open(name, "w", force_zip64=True) as file:
                file.write(f"window.YTD.tweets.part{part} = [\n".encode())
                for number in range(count):
                    entry = _entry(dice, words, part * _PART + number)
                    file.write(b",\n" * bool(number) + json.dumps(entry, indent=2).encode())
                file.write(b"\n]")
        owner = {"accountId": "77", "userName": "example_writer"}
        manifest = {"userInfo": owner, "dataTypes": {"tweets": {"files": files}}}
        zipped.writestr("data/manifest.js", f"window.__THAR_CONFIG = {json.dumps(manifest)}")


def _word(dice: random.Random) -> str:
    return "".join(
        dice.choice("aeiou" if n % 2 else "bdfklmnprst") for n in range(dice.randint(2, 9))
    )


def _entry(dice: random.Random, words: list[str], number: int) -> dict[str, object]:
    id_ = str(_FIRST + number * 4096)
    text = " ".join(dice.choices(words, k=dice.randint(6, 34)))[:270]
    versions = {"editTweetIds": [id_], "editableUntil": "2024-03-01T11:00:05.000Z"}
    return {
        "tweet": {
            "edit_info": {"initial": {**versions, "editsRemaining": "5", "isEditEligible": True}},
            "retweeted": False,
            "source": '<a href="https://example.com/app" rel="nofollow">Example App</a>',
            "entities": {"hashtags": [], "symbols": [], "user_mentions": [], "urls": []},
            "display_text_range": ["0", str(len(text))],
            "favorite_count": str(dice.randint(0, 99)),
            "id_str": id_,
            "truncated": False,
            "retweet_count": "0",
            "id": id_,
            "created_at": "Fri Mar 01 10:00:05 +0000 2024",
            "favorited": False,
            "full_text": text,
            "lang": "en",
        }
    }


def baseline(path: Path) -> None:
    """Parse each file as a whole, and keep all entries."""
    entries: list[object] = []
    with zipfile.ZipFile(path) as zipped:
        for name in zipped.namelist():
            if "tweets" in name:
                entries += json.loads(zipped.read(name).decode().partition("=")[2])


def read(path: Path) -> None:
    """Read the archive."""
    archive.read([path])


def whole(path: Path) -> None:
    """Read the archive, curate it, and make the digest and the novelty index of what is learnt."""
    tweets = archive.read([path]).tweets
    kept = [one for one in decide(tweets, Learn()) if isinstance(one, Kept)]
    corpus.digest(kept)
    NoveltyIndex.build(one.text for one in kept)


WORKS: Mapping[str, Callable[[Path], None]] = {"json.loads": baseline, "read": read, "all": whole}


def measure(work: str, path: Path) -> tuple[float, float]:
    """CPU seconds of the work in a process of its own, and its peak memory in MB."""
    command = [sys.executable, "-m", "benchmarks.collect", "--work", work, str(path)]
    seconds, memory = subprocess.check_output(command, text=True).split()
    return float(seconds), float(memory)


def table(sizes: list[int]) -> Iterator[str]:
    """Yield the rows of a table in Markdown."""
    yield "| tweets | `json.loads` | read | ratio | to a data set | ratio | memory |"
    yield "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "archive.zip")
            write(path, size)
            (base, _), (reading, _), (everything, memory) = (measure(w, path) for w in WORKS)
        each = [f"{seconds / size * 1e6:.1f} µs" for seconds in (base, reading, everything)]
        yield (
            f"| {size:,} | {each[0]} | {each[1]} | {reading / base:.2f} | {each[2]} |"
            f" {everything / base:.2f} | {memory:.0f} MB |"
        )


def main() -> None:
    """Print the table, or do one work and print its seconds and memory."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.collect", description=__doc__)
    parser.add_argument("--tweets", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--work", nargs=2, metavar=("WORK", "ARCHIVE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not arguments.work:
        for row in table(arguments.tweets):
            print(row, flush=True)
        return
    work, path = arguments.work
    before = time.process_time()
    WORKS[work](Path(path))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(time.process_time() - before, peak)


if __name__ == "__main__":
    main()
