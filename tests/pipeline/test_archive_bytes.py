"""Whatever the bytes of an archive are, reading them gives tweets or one clear line."""

import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from demo.samples import archive as sample
from pipeline import archive
from pipeline.errors import UserError
from tests.pipeline.archive_bytes import FILES, check, seeds
from tests.pipeline.archives import AT, KEEPER, entry, js, read, tweets_js, zipped

EXAMPLES = [pytest.param(60, id="some"), pytest.param(1000, id="many", marks=pytest.mark.deep)]

KEYS = st.sampled_from(
    [
        *("id", "id_str", "full_text", "text", "created_at", "entities", "extended_entities"),
        *("urls", "media", "type", "indices", "expanded_url", "display_text_range", "source"),
        *("edit_info", "edit", "initial", "editControlInitial", "editTweetIds", "lang"),
        *("in_reply_to_user_id", "in_reply_to_status_id_str", "in_reply_to_screen_name"),
        *("noteTweet", "noteTweetId", "core", "createdAt", "tweet", "retweeted_status"),
    ]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(
        ["7", "77", "\ud800", "RT @a: b", "9" * 20, "Fri Mar 01 10:00:05 +0000 2024"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)


@pytest.mark.parametrize("examples", EXAMPLES)
def test_any_value_in_place_of_a_fact_costs_at_most_that_entry(examples: int) -> None:
    counted: list[int] = []

    @settings(max_examples=examples, derandomize=True, deadline=None, database=None)
    @given(facts=st.dictionaries(KEYS, VALUES, max_size=5))
    def given_any_facts(facts: dict[str, Any]) -> None:
        odd = entry(7, "fog") | facts
        text = tweets_js(entry(1, "one"), odd, entry(9, "nine"))
        with tempfile.TemporaryDirectory() as folder:
            found = read(Path(folder), {"data/tweets.js": text})
        numbers = [int(tweet.id) for tweet in found.tweets]
        counted.append(len(numbers))
        lost = sum(one.count for one in found.left_out.values()) + found.retweets
        versions = {7, 1, 9} & {int(n) for tweet in found.tweets for n in tweet.edits}
        assert lost <= 1
        assert {1, 9} <= {*numbers} | versions

    given_any_facts()
    assert {2, 3} <= {*counted}


@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("name", ["tweets", "note-tweet", "deleted-tweets", "manifest", "account"])
def test_any_json_in_a_file_gives_tweets_or_one_line(name: str, examples: int) -> None:
    @settings(max_examples=examples, derandomize=True, deadline=None, database=None)
    @given(value=VALUES | st.lists(VALUES, max_size=3))
    def given_any_json(value: Any) -> None:
        files = {"data/tweets.js": tweets_js(entry(1, "x")), f"data/{name}.js": js("x", value)}
        with tempfile.TemporaryDirectory() as folder:
            try:
                read(Path(folder), files)
            except UserError as error:
                assert str(error).isprintable()

    given_any_json()


@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("number", range(len(FILES) + 1))
def test_a_file_with_changed_bytes_gives_tweets_or_one_line(
    tmp_path: Path, number: int, examples: int
) -> None:
    seed = seeds(tmp_path)[number]
    assert check(seed, tmp_path) > 0
    places = st.integers(min_value=1, max_value=len(seed) - 1)
    change = st.tuples(places, st.integers(0, 40), st.binary(max_size=6))

    @settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(changes=st.lists(change, min_size=1, max_size=4), end=places | st.just(len(seed)))
    def given_changes(changes: list[tuple[int, int, bytes]], end: int) -> None:
        data = seed
        for place, length, new in changes:
            data = data[:place] + new + data[place + length :]
        check(data[:end], tmp_path)

    given_changes()


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
def test_a_zip_that_was_cut_short_is_refused(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "a.zip"
    sample.write(path, "keeper", [("one", AT), ("two", AT)])
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(UserError, match="not a whole zip file"):
        archive.read([path])


def test_any_flipped_byte_is_refused_or_harmless(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    sample.write(path, "keeper", [("one", AT), ("two", AT)])
    whole, data = [*archive.read([path]).tweets], path.read_bytes()
    for place in range(0, len(data), 7):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
        try:
            assert [*archive.read([path], KEEPER).tweets] == whole
        except UserError as error:
            assert str(error).isprintable()


def test_names_in_a_zip_cannot_speak_to_the_terminal(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"\x1b[2J\n/data/tweets.js": json.dumps("x"), "../\x1b": ""})
    with pytest.raises(UserError, match="leads out of the archive") as refused:
        archive.read([path])
    assert str(refused.value).isprintable()


@pytest.mark.deep
@pytest.mark.skipif(not importlib.util.find_spec("atheris"), reason="atheris is not installed")
def test_ten_minutes_of_guided_search_find_nothing_else(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            *("-m", "tests.pipeline.fuzz_archive"),
            *(
                str(tmp_path),
                "-max_total_time=600",
                "-max_len=4096",
                f"-artifact_prefix={tmp_path}/",
            ),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "DONE" in done.stderr or "Done" in done.stderr
