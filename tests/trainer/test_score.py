"""Checkpoints are scored in TensorFlow, and the best is kept."""

import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from demo.samples import grammar
from pipeline.errors import UserError
from pipeline.generation import Model
from pipeline.tokens import Vocabulary
from trainer_image import finetune
from trainer_image.convert import convert, read_weights
from trainer_image.score import held_out_curve

# Short texts, one that fills the context and one that is longer.
TEXTS = [*grammar.tweets("keeper", 20), "lamp", "", *(" ".join(["lamp"] * n) for n in (900, 1500))]


@pytest.fixture
def session(base_model: Path) -> Iterator[Any]:
    """A session with gpt-2-simple's variables in its graph, as training leaves it."""
    tf: Any = import_module("tensorflow")
    gpt2: Any = import_module("gpt_2_simple.src.model")
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        hparams = gpt2.default_hparams()
        hparams.override_from_dict(json.loads((base_model / "hparams.json").read_text()))
        gpt2.model(hparams=hparams, X=tf.compat.v1.placeholder(tf.int32, [1, None]))
        yield session


def curve(
    session: Any, base_model: Path, checkpoints: dict[int, Path], texts: list[str]
) -> list[tuple[int, float]]:
    vocabulary = Vocabulary(base_model)
    ids = [vocabulary.between_ends(text) for text in texts]
    return held_out_curve(session, base_model / "hparams.json", checkpoints, ids)


def test_a_checkpoint_scores_as_its_converted_model_does(
    session: Any, base_model: Path, tmp_path: Path
) -> None:
    convert(read_weights(base_model), base_model, tmp_path / "model", "float32")
    model = Model(tmp_path / "model")
    served = model.nats(TEXTS) / model.scored_tokens(TEXTS)
    checkpoints = {0: base_model / "model.ckpt", 30: base_model / "model.ckpt"}
    scored = curve(session, base_model, checkpoints, TEXTS)
    assert scored == [(0, pytest.approx(served, abs=1e-4)), (30, scored[0][1])]


def test_scoring_prints_its_progress(
    session: Any, base_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints = {0: base_model / "model.ckpt", 30: base_model / "model.ckpt"}
    curve(session, base_model, checkpoints, TEXTS[:2])
    assert capsys.readouterr().out == "scored 1 of 2\nscored 2 of 2\n"


def test_a_held_out_loss_that_is_not_a_number_is_a_failure(
    session: Any, base_model: Path, tmp_path: Path
) -> None:
    tf: Any = import_module("tensorflow")
    saver = tf.compat.v1.train.Saver(tf.compat.v1.trainable_variables())
    saver.restore(session, str(base_model / "model.ckpt"))
    (positions,) = [v for v in tf.compat.v1.trainable_variables() if v.op.name == "model/wpe"]
    positions.load(session.run(positions) * float("nan"), session)
    damaged = tmp_path / "model-30"
    saver.save(session, str(damaged))
    checkpoints = {0: base_model / "model.ckpt", 30: damaged}
    with pytest.raises(UserError, match="held-out loss became nan at step 30: lower learning_rate"):
        curve(session, base_model, checkpoints, TEXTS[:2])


def test_only_the_best_step_is_converted(
    base_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = {step: tmp_path / f"model-{step}" for step in (30, 60, 90)}
    for step, checkpoint in checkpoints.items():
        for suffix in ("index", "data-00000-of-00001"):
            checkpoint.with_suffix(f".{suffix}").write_text(str(step))
    read, converted = list[Path](), list[str]()

    def scored(
        _session: Any, _shape: Path, steps: dict[int, Path], _texts: Any
    ) -> list[tuple[int, float]]:
        assert [*steps] == [0, 30, 60, 90]
        return [(0, 1.0), (30, 3.0), (60, 2.0), (90, 2.5)]

    def note(*how: Any) -> None:
        converted.append(how[-1])

    monkeypatch.chdir(tmp_path)
    (tmp_path / "release").mkdir()
    monkeypatch.setattr(finetune, "held_out_curve", scored)
    monkeypatch.setattr(finetune, "read_weights", read.append)
    monkeypatch.setattr(finetune, "convert", note)
    result = finetune.keep_best(None, checkpoints, base_model, ["lamp"])
    assert (result.step, result.held_out_float) == (60, 2.0)
    assert read == [checkpoints[60]]
    assert converted == ["int8"]
    assert (tmp_path / "release/checkpoint/model.ckpt.index").read_text() == "60"
