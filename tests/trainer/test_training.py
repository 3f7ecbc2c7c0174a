"""Training runs as the machine starts them: the program itself, real buckets, real TensorFlow."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from demo.samples import grammar
from demo.samples.grammar import VOICES
from pipeline import layout, release
from pipeline.runs import RunAccounts, read_result, write_accounts
from trainer_image.lease import Lease

from .conftest import FAST, NONE, REAL, Finished, Trained, World, processes_of

TWEETS = grammar.tweets("keeper", 60)


# Decisions before TensorFlow is imported


def test_an_account_with_too_few_tweets_is_refused_at_once(
    world: World, without_tensorflow: dict[str, str]
) -> None:
    world.declare("keeper")
    world.collect("keeper", TWEETS[:19])
    finished = world.train("first", FAST, without_tensorflow)
    assert finished["keeper"].outcome == "refused"
    assert "19 tweets, min_tweets is 20" in finished["keeper"].reason
    assert finished.status == 0


def test_an_account_without_new_tweets_is_skipped_at_once(
    keeper_live: World, without_tensorflow: dict[str, str]
) -> None:
    keeper_live.collect("keeper", grammar.tweets("keeper", 619)[600:], first_id=9000)
    finished = keeper_live.train("second", REAL, without_tensorflow)
    assert finished["keeper"].outcome == "skipped"
    assert "19 new tweets" in finished["keeper"].reason


def test_a_finished_run_trains_nothing(world: World, without_tensorflow: dict[str, str]) -> None:
    world.declare("keeper")
    world.train("first", FAST, without_tensorflow)
    world.collect("keeper", TWEETS)
    again = world.train("first", FAST, without_tensorflow)
    assert again.status == 0
    assert again["keeper"].outcome == "refused"
    assert "nothing to train" in again.lines[-1]["message"]


def test_workers_share_out_the_accounts_and_the_last_ends_the_lease(
    world: World, without_tensorflow: dict[str, str]
) -> None:
    world.declare("a", "b", "c")
    first = world.train("run-1of2", FAST, without_tensorflow)
    assert [*first.accounts] == ["a", "c"]
    lease = world.models.read(layout.run_lease())
    assert lease
    assert json.loads(lease.data)["run"] == "run"
    second = world.train("run-2of2", FAST, without_tensorflow)
    assert [*second.accounts] == ["b"]
    assert world.models.read(layout.run_lease()) is None


def test_a_run_beside_another_trains_nothing_says_so_and_is_finished(
    world: World, without_tensorflow: dict[str, str]
) -> None:
    world.declare("keeper")
    world.collect("keeper", TWEETS)
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    lease = json.dumps({"run": "other", "expires": tomorrow, "by": "schedule"}).encode()
    generation = world.models.write(layout.run_lease(), lease, generation=0)
    finished = world.train("mine", FAST, without_tensorflow)
    assert finished.status == 1
    assert finished["keeper"].outcome == "busy"
    assert finished["keeper"].reason == finished.lines[-1]["message"]
    assert finished.lines[-1]["severity"] == "ERROR"
    assert "run other has leases/run.json until" in finished["keeper"].reason
    found = world.models.read(layout.run_lease())
    assert found
    assert found.generation == generation
    world.models.delete(layout.run_lease(), generation=generation)
    assert world.train("mine", FAST, without_tensorflow).status == 0
    assert world.models.names("releases/") == []


def test_a_run_that_was_made_for_some_accounts_trains_those_alone_on_all_its_machines(
    world: World, without_tensorflow: dict[str, str]
) -> None:
    world.declare("a", "b", "c", "d")
    chosen = RunAccounts(accounts=["d", "b", "gone"], deadline=datetime(2026, 11, 24, tzinfo=UTC))
    write_accounts(world.models, "some", chosen)
    trained = [set(world.train(f"some-{n}of2", FAST, without_tensorflow).accounts) for n in (1, 2)]
    assert trained == [{"b"}, {"d"}]
    assert set(world.train("all", FAST, without_tensorflow).accounts) == {"a", "b", "c", "d"}


def test_one_accounts_failure_never_stops_the_others(
    keeper_live: World, without_tensorflow: dict[str, str]
) -> None:
    world = keeper_live
    world.declare("broken", "few", "taken")
    world.data.write("tweets/broken/segments/1.jsonl", b"no tweet\n", generation=0)
    world.collect("few", TWEETS[:3])
    Lease(world.models, "taken", "another", lambda: datetime.now(UTC))
    # A release of a newer program keeps its account from nothing.
    newer = layout.manifest("keeper", "20261101T000000Z-0123abcd")
    world.models.write(newer, b'{"version": 9}', generation=0)
    finished = world.train("second", REAL, without_tensorflow)
    assert finished.status == 1
    assert {account: finished[account].outcome for account in finished.accounts} == {
        "broken": "failed",
        "few": "refused",
        "keeper": "skipped",
        "taken": "busy",
    }
    assert "tweets/broken/segments/1.jsonl: line 1 is not a tweet" in finished["broken"].reason
    assert "run another has leases/accounts/taken.json" in finished["taken"].reason


def test_a_run_interrupted_after_a_release_continues_with_it(
    trained: Trained, world: World, without_tensorflow: dict[str, str]
) -> None:
    """The machine was gone between the manifest and the live pointer."""
    world.declare("keeper")
    world.collect("keeper", grammar.tweets("keeper"))
    trained.world.copy_to(world, layout.releases("keeper"))
    finished = world.train("first", REAL, without_tensorflow)
    assert finished["keeper"].outcome == "live"
    assert world.live("keeper") == finished["keeper"].release


def test_a_base_model_that_does_not_exist_is_named(
    world: World, without_tensorflow: dict[str, str]
) -> None:
    world.declare("keeper")
    world.collect("keeper", TWEETS)
    finished = world.train("first", FAST | {"base_model": "huge"}, without_tensorflow)
    assert finished["keeper"].outcome == "failed"
    assert finished["keeper"].reason.startswith("base model 'huge': OpenAI publishes 124M")
    assert "base/huge/" in finished["keeper"].reason


def test_a_mistake_in_the_environment_is_one_line(world: World) -> None:
    finished = world.train("first", FAST | {"steps": 0})
    assert (finished.status, finished.errors, finished.result) == (1, "", None)
    assert "environment variable SETTINGS is" in finished.lines[0]["message"]


# The results of a training


def test_a_release_is_complete(trained: Trained) -> None:
    for voice in VOICES:
        (manifest,) = trained.world.releases(voice)
        prefix = layout.release(voice, manifest.tag)
        stored = {name.removeprefix(prefix) for name in trained.world.models.names(prefix)}
        assert stored == {*manifest.files, "manifest.json"}
        for name, digest in manifest.files.items():
            found = trained.world.models.read(prefix + name)
            assert found
            assert hashlib.sha256(found.data).hexdigest() == digest
        assert {
            *("model/model.bin", "model/config.json", "model/vocabulary.json"),
            *("model/encoder.json", "model/vocab.bpe", "model/shingles.bin", "dataset.json"),
            *("checkpoint/checkpoint", "checkpoint/hparams.json", "checkpoint/model.ckpt.index"),
        } < {*manifest.files}
        assert manifest.tag.endswith(manifest.dataset.digest[:8])


def test_held_out_tweets_are_never_trained_on(trained: Trained) -> None:
    (manifest,) = trained.world.releases("keeper")
    found = trained.world.models.read(layout.release("keeper", manifest.tag) + "dataset.json")
    assert found
    dataset = json.loads(found.data)
    assert set(dataset["train"]).isdisjoint(dataset["held_out"])
    assert len(dataset["held_out"]) == manifest.dataset.held_out > 30
    assert len(dataset["train"]) + len(dataset["held_out"]) == manifest.dataset.tweets
    assert manifest.dataset.tweets + sum(manifest.dropped.values()) == 600


def test_progress_can_be_followed(trained: Trained) -> None:
    lines = [line for line in trained.finished.lines if line["message"] == "training"]
    for voice in VOICES:
        mine = [line for line in lines if line["account"] == voice]
        assert len(mine) >= 5
        assert mine[-1]["step"] == mine[-1]["steps"] == REAL["steps"]
        assert all(line["loss"] > 0 for line in mine)


def test_no_tweet_is_logged(trained: Trained) -> None:
    log = json.dumps(trained.finished.lines)
    assert not any(text in log for voice in VOICES for text in grammar.tweets(voice))


# A later run


def test_a_later_run_starts_from_the_live_release(keeper_live: World) -> None:
    keeper_live.collect("keeper", grammar.tweets("keeper", 660)[600:], first_id=9000)
    before = keeper_live.live("keeper")
    settings = REAL | {"steps": 10, "save_every": 5}
    finished = keeper_live.train("second", settings)
    assert finished["keeper"].outcome == "live", finished["keeper"]
    manifest = keeper_live.releases("keeper")[-1]
    assert (manifest.warm_start, manifest.compared_with) == (before, before)
    assert manifest.dataset.tweets + sum(manifest.dropped.values()) == 660
    assert manifest.loss.live_int8
    # Step 0 has the weights of the live release, and the held-out tweets are the same.
    assert manifest.loss.held_out_curve[0][1] == pytest.approx(manifest.loss.live_int8, abs=5e-3)
    pointer = release.read_live(keeper_live.models, "keeper")
    assert pointer
    assert (pointer[0].release, pointer[0].previous) == (manifest.tag, before)


def test_a_worse_model_is_kept_but_not_live(keeper_live: World) -> None:
    shutil.copytree(keeper_live.base, keeper_live.mount / layout.base_model("other"))
    before = keeper_live.live("keeper")
    finished = keeper_live.train("second", FAST | {"base_model": "other"})
    assert finished.status == 0
    assert finished["keeper"].outcome == "refused"
    assert "is worse than the live release's" in finished["keeper"].reason
    assert keeper_live.live("keeper") == before
    manifest = keeper_live.releases("keeper")[-1]
    assert (manifest.tag, manifest.gate) == (finished["keeper"].release, "refused")
    assert manifest.warm_start is None


def test_a_run_that_lost_the_race_for_the_pointer_passes_but_is_not_live(
    keeper_live: World,
) -> None:
    """The operator rolls back during the training, so the gate compared with another release."""
    models = keeper_live.models
    seen = release.read_live(models, "keeper")
    assert seen
    settings = REAL | {"steps": 10, "save_every": 5}
    with keeper_live.start("second", settings) as process:
        wait_for(process, "training")
        other = release.tag(datetime(2026, 1, 1, tzinfo=UTC), "0123456789")
        release.move_live(models, "keeper", other, "operator", seen[1], datetime.now(UTC))
        process.communicate(timeout=120)
    result = read_result(models, "second")
    assert result
    assert result.accounts["keeper"].outcome == "passed"
    assert keeper_live.live("keeper") == other


# Failures


def wait_for(process: subprocess.Popen[str], message: str) -> dict[str, Any]:
    assert process.stdout
    for text in process.stdout:
        line = json.loads(text)
        if line["message"] == message:
            return line
    pytest.fail(f"the trainer ended without a line {message!r}")


@pytest.fixture
def one_account(world: World) -> World:
    world.declare("keeper")
    world.collect("keeper", TWEETS)
    return world


def failure(world: World, settings: dict[str, Any] = FAST, more: Mapping[str, str] = NONE) -> str:
    """Train, check that the account failed and nothing is released, and return the reason."""
    finished: Finished = world.train("first", settings, more)
    assert (finished["keeper"].outcome, finished.status) == ("failed", 1), finished
    assert world.models.names("releases/") == []
    assert world.live("keeper") is None
    assert "Traceback" not in finished.errors + json.dumps(finished.lines)
    assert "\n" not in finished["keeper"].reason
    return finished["keeper"].reason


def test_a_missing_gpu_is_a_failure_if_one_is_declared(one_account: World) -> None:
    reason = failure(one_account, more={"REQUIRE_GPU": "1", "CUDA_VISIBLE_DEVICES": "-1"})
    assert reason.startswith("TensorFlow sees no GPU")


def test_a_damaged_base_model_is_named(one_account: World) -> None:
    weights = one_account.mount / "base/tiny/model.ckpt.data-00000-of-00001"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    assert "base/tiny is damaged" in failure(one_account)


def test_a_base_model_that_arrived_in_part_is_named(one_account: World) -> None:
    weights = one_account.mount / "base/tiny/model.ckpt.data-00000-of-00001"
    os.truncate(weights, weights.stat().st_size // 2)
    assert "base/tiny is damaged" in failure(one_account)


def test_a_download_that_fails_is_one_line(one_account: World) -> None:
    nobody_listens = "http://127.0.0.1:9"
    reason = failure(one_account, FAST | {"base_model": "124M"}, {"HTTPS_PROXY": nobody_listens})
    assert "/124M/checkpoint cannot be downloaded: no response" in reason
    assert one_account.models.names("base/") == []


POISON = """
import sys, tensorflow
tf = tensorflow.compat.v1
tf.disable_eager_execution()
reader = tensorflow.train.load_checkpoint(sys.argv[1])
weights = {n: reader.get_tensor(n) for n in reader.get_variable_to_shape_map()}
weights["model/wpe"][:] = float("nan")
variables = {n: tf.get_variable(n.replace("/", "_"), initializer=w) for n, w in weights.items()}
with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    tf.train.Saver(variables, save_relative_paths=True).save(session, sys.argv[1] + "/model.ckpt")
"""


def test_a_loss_that_is_not_a_number_is_a_failure(one_account: World) -> None:
    folder = one_account.mount / layout.base_model("tiny")
    subprocess.run([sys.executable, "-c", POISON, folder], check=True, capture_output=True)
    assert "training loss became nan at step 1: lower learning_rate" in failure(one_account)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MB; a checkpoint of the tiny model takes nearly 4 MB."""
    (tmp_path / "disk").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=12m", "none", str(tmp_path / "disk")]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("this user may not mount a small disk")
    yield tmp_path / "disk"
    subprocess.run(["umount", "--lazy", str(tmp_path / "disk")], check=True)


def test_a_full_disk_is_named_and_nothing_is_released(one_account: World, small_disk: Path) -> None:
    reason = failure(one_account, FAST | {"steps": 8}, {"TMPDIR": str(small_disk)})
    assert reason.startswith("the trainer's disk is full")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_run_leaves_nothing_and_can_be_run_again(
    one_account: World, tmp_path: Path, number: signal.Signals
) -> None:
    world = one_account
    with world.start("first", REAL | {"min_tweets": 20}, {"TMPDIR": str(tmp_path)}) as process:
        wait_for(process, "training")
        assert processes_of(tmp_path)
        process.send_signal(number)
        output, errors = process.communicate(timeout=30)
    assert process.returncode == 143
    assert errors == ""
    assert "interrupted: it has no result" in json.loads(output.splitlines()[-1])["message"]
    assert processes_of(tmp_path) == {}
    assert list(tmp_path.iterdir()) == []
    assert world.models.names("runs/") == world.models.names("releases/") == []
    # It has released its lease, so another run may train the account at once.
    Lease(world.models, "keeper", "second", lambda: datetime.now(UTC) + timedelta(seconds=1))
    assert world.models.read(layout.run_lease()) is None
