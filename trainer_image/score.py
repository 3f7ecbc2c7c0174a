"""Scores checkpoints in the TensorFlow session that trained them, and so on its GPU."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import UserError

# Scoring takes no more memory than a training step on one window of this size.
_TOKENS_AT_ONCE = 1024

Curve = list[tuple[int, float]]


def held_out_curve(
    session: Any, shape: Path, checkpoints: Mapping[int, Path], texts: Sequence[Sequence[int]]
) -> Curve:
    """Return the mean nats a token on `texts` at each step, the end tokens included.

    The session's graph already has gpt-2-simple's variables, and each checkpoint in turn takes
    their place. `shape` is the model's hparams.json; a text is its ids between two end tokens.
    Raises UserError for a loss that is no number.
    """
    tf: Any = import_module("tensorflow")
    gpt2: Any = import_module("gpt_2_simple.src.model")
    hparams = gpt2.default_hparams()
    hparams.override_from_dict(json.loads(shape.read_text()))
    given = tf.compat.v1.placeholder(tf.int32, [None, None])
    asked = tf.compat.v1.placeholder(tf.int32, [None, None])
    counts = tf.compat.v1.placeholder(tf.float32, [None, None])
    logits = gpt2.model(hparams=hparams, X=given, reuse=True)["logits"]
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=asked, logits=logits)
    nats = tf.reduce_sum(losses * counts)
    weights = [v for v in tf.compat.v1.trainable_variables() if v.name.startswith("model/")]
    saver = tf.compat.v1.train.Saver(weights)

    tokens = sum(len(text) - 1 for text in texts)
    curve: Curve = []
    for step, checkpoint in checkpoints.items():
        saver.restore(session, str(checkpoint))
        sums = [
            session.run(nats, {given: rows[:, :-1], asked: rows[:, 1:], counts: mask[:, 1:]})
            for rows, mask in _batches(texts)
        ]
        loss = math.fsum(sums) / tokens
        if not math.isfinite(loss):
            raise UserError(f"held-out loss became {loss} at step {step}: lower learning_rate")
        curve.append((step, loss))
        print(f"scored {len(curve)} of {len(checkpoints)}", flush=True)
    return curve


def _batches(texts: Sequence[Sequence[int]]) -> Iterator[tuple[Any, Any]]:
    """Texts of like lengths as the rows of an array, with a mask of what is not padding.

    Each token sees only what is before it, so that the padding changes no other token's loss.
    """
    rows: list[Sequence[int]] = []
    for text in [*sorted(texts, key=len), None]:
        if rows and (text is None or len(text) * (len(rows) + 1) > _TOKENS_AT_ONCE):
            ids = np.zeros((len(rows), len(rows[-1])), np.int32)
            mask = np.zeros(ids.shape, np.float32)
            for number, row in enumerate(rows):
                ids[number, : len(row)] = row
                mask[number, : len(row)] = 1
            yield ids, mask
            rows = []
        if text is not None:
            rows.append(text)
