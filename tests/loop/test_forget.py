"""Forgetting on the real engine: nothing of a text is left when the receipt says so, nor sooner."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from demo.samples import archive
from pipeline import corpus, documents, layout, release, slots
from pipeline.novelty import NoveltyIndex
from pipeline.release import TweetIds
from pipeline.slots import Slot
from tests.app.releases import point, publish
from tests.app.tiny_model import build
from tests.loop.deployment import Deployment

SECRET = "Nobody at the harbour knows that I moved to 7 Gull Lane"
OTHER = "Fog again. The lamp burned until noon"
TAG = "20261123T101500Z-1a2b3c4d"
ACCOUNT = {"source": "archive", "consent": "a made-up account", "handle": "lampkeeper"}


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    deployment = Deployment.begin(tmp_path_factory.mktemp("forget"))

    def change(values: dict[str, Any]) -> None:
        values.pop("gpt2-bots:training")
        values.pop("gpt2-bots:monitoring", None)
        values["gpt2-bots:accounts"] = {"keeper": ACCOUNT}
        values["gpt2-bots:keep"] = {"tweets_days": 7, "models_days": 7}

    deployment.configure(change)
    try:
        deployment.up()
        yield deployment
    finally:
        deployment.end()


def holding(deployment: Deployment) -> list[Path]:
    """Every file of the local cloud that holds the text: objects, old versions, images, logs."""
    deployment.client.status()
    files = [
        file for file in deployment.home.rglob("*") if file.is_file() and not file.is_symlink()
    ]
    assert len(files) > 100
    return [file for file in files if SECRET.encode() in file.read_bytes()]


def test_a_text_is_nowhere_when_the_receipt_says_so(deployed: Deployment, tmp_path: Path) -> None:
    cloud, account = deployed.cloud, "keeper"
    now = cloud.now()
    file = tmp_path / "mine.zip"
    archive.write(file, "lampkeeper", [(OTHER, now - timedelta(hours=1)), (SECRET, now)])
    deployed.bots("import", account, str(file))
    (secret,) = (t.id for t in corpus.read(cloud.data, account) if t.text == SECRET)
    record = Slot(
        state="posted", execution="e", nonce="n", at=now, expires=now, text=SECRET, id="77"
    )
    slots.write(cloud.data, account, "20261122T0900Z", record, generation=0)
    model = tmp_path / "model"
    model.mkdir()
    build(model)
    NoveltyIndex.build([SECRET, OTHER]).save(model / "shingles.bin")
    ids = documents.dump(TweetIds(train=[secret], held_out=[]))
    cloud.models.write(layout.release(account, TAG) + release.DATASET, ids, generation=0)
    publish(cloud.models, TAG, model)
    point(cloud.models, TAG)
    deployed.wait_for_builds()
    assert holding(deployed)

    receipt = json.loads(
        deployed.bots("forget", account, secret, "--why", "asked by mail", "--json")
    )
    assert receipt["tweets"] == 1
    gone = {
        place["store"]: datetime.fromisoformat(place["gone"])
        for place in receipt["places"]
        if place["gone"]
    }
    promised = max(gone.values())
    assert promised == datetime.fromisoformat(receipt["at"]) + timedelta(days=7, minutes=30)
    assert [tweet.text for tweet in corpus.read(cloud.data, account)] == [OTHER]
    assert release.read_manifest(cloud.models, account, TAG).learnt_forgotten is not None

    # Now only soft delete has it, which nobody can shorten.
    kept = deployed.home / "storage-past"
    assert all(file.is_relative_to(kept) for file in holding(deployed))
    deployed.client.advance(promised - timedelta(minutes=31))
    assert holding(deployed)
    deployed.client.advance(promised)
    deployed.wait(lambda: not holding(deployed), "the local cloud to delete what is due", 30)
