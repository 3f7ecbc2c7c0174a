"""Archives of the made-up people: every layout has what real archives of its time have."""

import csv
import io
import json
import re
import zipfile
from bisect import bisect
from pathlib import Path
from typing import Any

import pytest

from demo.samples import archive, layouts, people
from demo.samples.layouts import LAYOUTS, MADE, Layout
from demo.samples.people import PEOPLE
from demo.samples.sample import Sample
from pipeline.archive import read
from pipeline.index import Owner

COUNT = 250


@pytest.fixture(params=PEOPLE, scope="module")
def person(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=LAYOUTS, scope="module")
def layout(request: pytest.FixtureRequest) -> Layout:
    return request.param


@pytest.fixture(scope="module")
def samples(person: str, layout: Layout) -> list[Sample]:
    return people.samples(person, COUNT, since=people.since(layout, COUNT))


@pytest.fixture(scope="module")
def files(person: str, layout: Layout, samples: list[Sample]) -> dict[str, str]:
    return layouts.files(layout, PEOPLE[person].owner, samples[:-10], samples[-10:])


def assigned(text: str) -> Any:
    """The value that a file of JavaScript assigns."""
    return json.loads(text.split("=", 1)[1])


def entries(
    files: dict[str, str], name: str = r"tweets?(?:-part\d)?\.js|tweets/.*\.js"
) -> list[Any]:
    found: list[Any] = []
    for file, text in files.items():
        if re.fullmatch(rf"(?:data/|js/)*(?:{name})", file):
            found += [entry.get("tweet", entry) for entry in assigned(text)]
    return found


def test_the_reader_reads_every_layout_of_every_person(
    tmp_path: Path, person: str, layout: Layout, samples: list[Sample]
) -> None:
    path = tmp_path / "a.zip"
    archive.write_samples(path, PEOPLE[person].owner, samples, layout)
    found = read([path])
    assert (found.owner.user_id, found.owner.handle) == (
        PEOPLE[person].user_id,
        PEOPLE[person].handle,
    )
    assert not (found.left_out or found.stray or found.missing)
    tweets = {tweet.id: tweet for tweet in found.tweets}
    wanted = {sample.id: sample for sample in samples if sample.kind != "retweet"}
    assert tweets.keys() == wanted.keys()
    assert len(tweets) > COUNT * 0.8
    for number, tweet in tweets.items():
        sample = wanted[number]
        assert abs((tweet.created_at - sample.at).total_seconds()) < 1
        beginning = "long" in sample.oddities and layout != "2024"
        cut = beginning or "cut" in sample.oddities
        assert tweet.cut == cut
        if beginning:
            assert re.search(r"… https://t\.co/\w{10}$", tweet.text)
        else:
            assert tweet.text == sample.escaped
        assert (tweet.kind, tweet.app) == (sample.kind, sample.app)
        assert tweet.language == (None if layout == "2013" else sample.language)
        answered = sample.answered
        assert tweet.answers == (answered and answered.tweet)
        assert tweet.answers_user == (answered and answered.user)
        assert tweet.media == ("photo",) * (0 if beginning else len(sample.photos))
        if "long" not in sample.oddities:
            assert [link.address for link in tweet.links] == [link.full for link in sample.links]
            for link, written in zip(tweet.links, sample.links, strict=True):
                assert tweet.text[link.start : link.end] == written.short
        versions = [version.id for version in sample.versions] if layout == "2024" else []
        assert list(tweet.edits) == ([*versions, sample.id] if versions else [])


def test_the_reader_reads_several_zips_and_a_folder_as_one_archive(tmp_path: Path) -> None:
    person = PEOPLE["gardener"]
    samples = people.samples("gardener", COUNT)
    archive.write_samples(tmp_path / "whole.zip", person.owner, samples)
    paths = [tmp_path / f"part{number}.zip" for number in range(3)]
    archive.write_split(paths, person.owner, samples)
    for path in paths:
        with zipfile.ZipFile(path) as opened:
            opened.extractall(tmp_path / "folder")
    whole = [*read([tmp_path / "whole.zip"]).tweets]
    assert len(whole) > COUNT * 0.8
    assert [*read(paths).tweets] == whole
    assert [*read([tmp_path / "folder"]).tweets] == whole


def test_the_table_of_2013_has_the_same_tweets_as_its_months(tmp_path: Path) -> None:
    person = PEOPLE["gardener"]
    samples = people.samples("gardener", COUNT, since=people.since("2013", COUNT))
    written = layouts.files("2013", person.owner, samples)
    archive.save(tmp_path / "whole.zip", written, samples[-1].at)
    (tmp_path / "tweets.csv").write_text(written["tweets.csv"])
    owner = Owner(person.user_id, person.handle)
    months = {tweet.id: tweet for tweet in read([tmp_path / "whole.zip"]).tweets}
    table = {tweet.id: tweet for tweet in read([tmp_path / "tweets.csv"], owner).tweets}
    assert months.keys() == table.keys()
    for number, tweet in table.items():
        same = {"text", "created_at", "kind", "answers", "answers_user", "app"}
        assert tweet.model_dump(include=same) == months[number].model_dump(include=same)


def test_its_tweets_are_of_the_layouts_time(layout: Layout, samples: list[Sample]) -> None:
    assert abs((samples[-1].at - MADE[layout]).days) < 21
    assert samples[0].at.year >= 2011  # Before, ids did not tell the time.


def test_the_owner_is_named_with_their_id(
    person: str, layout: Layout, files: dict[str, str]
) -> None:
    if layout == "2013":
        stated = assigned(files["data/js/user_details.js"])
        owners = [(stated["screen_name"], stated["id"])]
    else:
        root = "" if layout == "2018" else "data/"
        [entry] = assigned(files[f"{root}account.js"])
        owners = [(entry["account"]["username"], entry["account"]["accountId"])]
    if layout in ("2022", "2024"):
        user = assigned(files["data/manifest.js"])["userInfo"]
        owners.append((user["userName"], user["accountId"]))
    assert set(owners) == {(PEOPLE[person].handle, PEOPLE[person].user_id)}


def test_entities_are_where_their_indices_say(
    layout: Layout, files: dict[str, str], samples: list[Sample]
) -> None:
    counted = 0
    for entry in entries(files):
        text = entry["text"] if layout == "2013" else entry["full_text"]
        entities = entry["entities"]
        named = [(f"@{one['screen_name']}", one) for one in entities["user_mentions"]]
        named += [(f"#{one['text']}", one) for one in entities["hashtags"]]
        named += [(one["url"], one) for one in (*entities["urls"], *entities.get("media", []))]
        for value, one in named:
            start, end = map(int, one["indices"])
            assert text[start:end] == value
            assert isinstance(one["indices"][0], int if layout == "2013" else str)
            counted += 1
        if layout != "2013":
            assert entry["display_text_range"] == ["0", str(len(text))]
    assert counted > 40


def test_an_entry_says_whom_it_answers_with_which_app_and_photos(
    layout: Layout, files: dict[str, str], samples: list[Sample]
) -> None:
    by_id = {entry["id_str"]: entry for entry in entries(files)}
    for sample in samples[:-10]:
        entry, answered = by_id[sample.id], sample.answered
        assert re.fullmatch(rf'<a href="http.+" rel="nofollow">{sample.app}</a>', entry["source"])
        keys = {key for key in entry if key.startswith("in_reply_to_") and not key.endswith("_str")}
        if answered is None:
            assert keys == set()
        else:
            assert entry["in_reply_to_user_id_str"] == answered.user
            assert str(entry["in_reply_to_user_id"]) == answered.user
            assert entry.get("in_reply_to_status_id_str") == answered.tweet
            assert entry.get("in_reply_to_screen_name") == answered.handle
        if "long" not in sample.oddities:
            media: list[Any] = entry.get("extended_entities", entry["entities"]).get("media", [])
            assert [one["expanded_url"] for one in media] == [p.full for p in sample.photos]


def test_only_the_newest_layout_has_notes_versions_and_deleted_tweets(
    layout: Layout, files: dict[str, str], samples: list[Sample]
) -> None:
    kept, gone = samples[:-10], samples[-10:]
    listed = {entry["id_str"] for entry in entries(files)}
    assert listed.isdisjoint(sample.id for sample in gone)
    earlier = {version.id for sample in kept for version in sample.versions}
    if layout != "2024":
        assert listed == {sample.id for sample in kept}
        assert not any("note" in name or "deleted" in name for name in files)
        return
    assert listed == {sample.id for sample in kept} | earlier
    for entry in entries(files):
        [control] = entry["edit_info"].values()
        ids = control.get("editControlInitial", control)["editTweetIds"]
        assert entry["id_str"] in ids
    deleted = entries(files, "deleted-tweets.js")
    assert {entry["id_str"] for entry in deleted} == {sample.id for sample in gone}
    assert all(
        re.fullmatch(r"\w{3} \w{3} \d\d [\d:]{8} \+0000 2026", e["deleted_at"]) for e in deleted
    )
    notes = [entry["noteTweet"] for entry in assigned(files["data/note-tweet.js"])]
    ids = sorted(int(number) for number in listed)
    long = {sample.id: sample.text for sample in kept if "long" in sample.oddities}
    found: dict[str, str] = {}
    for note in notes:
        above = bisect(ids, int(note["noteTweetId"]))
        found[str(ids[above])] = note["core"]["text"]
    assert found == long


def test_the_table_of_2013_says_the_same_as_the_months(
    layout: Layout, files: dict[str, str]
) -> None:
    if layout != "2013":
        assert "tweets.csv" not in files
        return
    rows = list(csv.DictReader(io.StringIO(files["tweets.csv"])))
    listed = entries(files)
    assert [(row["tweet_id"], row["text"], row["timestamp"]) for row in rows] == [
        (entry["id_str"], entry["text"], entry["created_at"]) for entry in listed
    ]
    assert [row["in_reply_to_user_id"] for row in rows] == [
        entry.get("in_reply_to_user_id_str", "") for entry in listed
    ]
    index = assigned(files["data/js/tweet_index.js"])
    assert {file["file_name"]: file["tweet_count"] for file in index} == {
        name: len(assigned(text)) for name, text in files.items() if "/tweets/" in name
    }
    assert assigned(files["data/js/payload_details.js"])["tweets"] == len(rows)


def test_the_manifest_counts_the_entries_of_every_file(
    layout: Layout, files: dict[str, str]
) -> None:
    if layout not in ("2022", "2024"):
        assert "data/manifest.js" not in files
        return
    kinds = assigned(files["data/manifest.js"])["dataTypes"]
    counts = {file["fileName"]: int(file["count"]) for k in kinds.values() for file in k["files"]}
    assert counts == {
        name: len(assigned(text))
        for name, text in files.items()
        if name.endswith(".js") and name != "data/manifest.js"
    }
    assert {"data/tweets.js", "data/tweets-part1.js"} <= counts.keys()


def test_one_archive_in_several_zips_has_every_tweet_once(tmp_path: Path, person: str) -> None:
    samples = people.samples(person, 100)
    paths = [tmp_path / f"{number}.zip" for number in range(3)]
    archive.write_split(paths, PEOPLE[person].owner, samples)
    listed: list[str] = []
    for path in paths:
        with zipfile.ZipFile(path) as opened:
            files = {name: opened.read(name).decode() for name in opened.namelist()}
        assert "data/manifest.js" in files
        found = [entry["id_str"] for entry in entries(files)]
        assert found
        listed += found
    versions = [version.id for sample in samples for version in sample.versions]
    assert sorted(listed) == sorted([*(sample.id for sample in samples), *versions])


def test_a_later_archive_lacks_what_was_deleted_and_has_what_is_new(person: str) -> None:
    samples = people.samples(person, 200)
    earlier, later, gone = people.two_archives(samples)
    assert earlier == samples[:150]
    assert {s.id for s in earlier} - {s.id for s in later} == {s.id for s in gone}
    assert 3 < len(gone) < 40
    assert later[-1] == samples[-1]
    assert sorted([*later, *gone], key=lambda sample: int(sample.id)) == samples


def test_a_renamed_person_keeps_the_id(tmp_path: Path, person: str) -> None:
    renamed = PEOPLE[person].owner_as("example_renamed")
    archive.write_samples(tmp_path / "a.zip", renamed, people.samples(person, 20), "2022")
    with zipfile.ZipFile(tmp_path / "a.zip") as opened:
        user = assigned(opened.read("data/manifest.js").decode())["userInfo"]
    assert user["userName"] == "example_renamed"
    assert user["accountId"] == PEOPLE[person].user_id
