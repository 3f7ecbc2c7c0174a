"""The model wrapper that the trainer and the app share."""

import ast
import math
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.generation import MAX_TOKENS, POSTS, Model, Sampling
from tests.app.tiny_model import build

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    build(folder)
    return folder


def test_a_batch_holds_texts_with_their_likelihoods(folder: Path) -> None:
    model = Model(folder)
    batch = model.candidates()
    assert len(batch) == POSTS.texts
    assert all(candidate.likelihood < 0 for candidate in batch)
    assert any(candidate.ended for candidate in batch)
    assert not any("<|endoftext|>" in candidate.text for candidate in batch)
    assert {c.text for c in model.candidates()} != {c.text for c in batch}


def test_a_seed_makes_draws_repeatable(folder: Path) -> None:
    texts = [[c.text for c in Model(folder, seed=seed).candidates()] for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_a_prefix_begins_every_text_and_counts_towards_the_most_tokens(folder: Path) -> None:
    model = Model(folder)
    prefix = "x" * (MAX_TOKENS - 3)
    for candidate in model.candidates(Sampling(prefix=prefix, texts=8)):
        assert candidate.text.startswith(prefix)
        assert model.tokens(candidate.text) <= MAX_TOKENS


def test_a_text_is_cut_where_stop_says_so(folder: Path) -> None:
    whole = Model(folder, seed=1).candidates(Sampling(texts=1))[0]
    assert len(whole.text) > 1
    (cut,) = Model(folder, seed=1).candidates(Sampling(texts=1), stop=lambda step: True)
    assert not cut.ended
    assert len(cut.text) == 1
    assert whole.text.startswith(cut.text)


def test_nats_sum_over_all_tokens_but_the_first_end(folder: Path) -> None:
    model = Model(folder)
    texts = ["fog", "again", ""]
    assert model.scored_tokens(texts) == len("fog") + len("again") + len(texts)
    assert model.nats(texts) == pytest.approx(sum(model.nats([text]) for text in texts))
    assert model.nats(texts) > 0
    assert math.isfinite(model.nats(texts))


def test_a_text_longer_than_the_context_is_scored_up_to_there(folder: Path) -> None:
    assert Model(folder).scored_tokens(["x" * 5000]) == 1023


def test_a_folder_without_a_model_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=str(tmp_path)):
        Model(tmp_path)
    for name in ("encoder.json", "vocab.bpe"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(UserError, match="holds no model that can be loaded"):
        Model(tmp_path)


@pytest.mark.parametrize("program", ["scraper_image", "control_image"])
def test_programs_whose_image_has_no_ctranslate2_do_not_import_it(program: str) -> None:
    names = [f"{program}.{file.stem}" for file in (ROOT / program).glob("*.py")]
    code = (
        "import importlib, sys;"
        "sys.modules.update(ctranslate2=None, tokenizers=None, numpy=None);"
        f"[importlib.import_module(name) for name in {names}]"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_one_module_alone_draws_and_scores_texts() -> None:
    """The gate measures what the app posts only if both run the same code."""
    calls = {"generate_batch", "score_batch", "Generator"}
    folders = ("app", "control_image", "pipeline", "scraper_image", "trainer_image")
    users = {
        str(file.relative_to(ROOT))
        for folder in folders
        for file in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in calls
    }
    assert users == {"pipeline/generation.py"}
