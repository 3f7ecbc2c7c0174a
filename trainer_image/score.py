"""Scores checkpoints in the TensorFlow session that trained them, so on the same GPU."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import UserError

# Scoring takes no more memory than a training step on one example of this length.
_TOKENS_AT_ONCE = 1024

Curve = list[tuple[int, float]]


def held_out_curve(
    session: Any, shape: Path, checkpoints: Mapping[int, Path], texts: Sequence[Sequence[int]]
) -> Curve:
    """The mean loss on `texts` at each step, in nats a token, end tokens included.

    Args:
        session: A session whose graph has gpt-2-simple's variables. Their values are replaced.
        shape: The model's hparams.json.
        checkpoints: The prefix of each checkpoint, by step.
        texts: The ids of each text, between two end tokens.

    Raises:
        UserError: A loss is not finite.
    """
    tf: Any = import_module("tensorflow")
    gpt2: Any = import_module("gpt_2_simple.src.model")
    hparams = gpt2.default_hparams()
    hparams.override_from_dict(json.loads(shape.read_text()))
    inputs = tf.compat.v1.placeholder(tf.int32, [None, None])
    labels = tf.compat.v1.placeholder(tf.int32, [None, None])
    mask = tf.compat.v1.placeholder(tf.float32, [None, None])
    logits = gpt2.model(hparams=hparams, X=inputs, reuse=True)["logits"]
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    nats = tf.reduce_sum(losses * mask)
    weights = [v for v in tf.compat.v1.trainable_variables() if v.name.startswith("model/")]
    saver = tf.compat.v1.train.Saver(weights)

    tokens = sum(len(text) - 1 for text in texts)
    curve: Curve = []
    for step, checkpoint in checkpoints.items():
        saver.restore(session, str(checkpoint))
        sums = [
            session.run(nats, {inputs: rows[:, :-1], labels: rows[:, 1:], mask: counted[:, 1:]})
            for rows, counted in _batches(texts)
        ]
        loss = math.fsum(sums) / tokens
        if not math.isfinite(loss):
            raise UserError(f"held-out loss became {loss} at step {step}: lower learning_rate")
        curve.append((step, loss))
        print(f"scored {len(curve)} of {len(checkpoints)}", flush=True)
    return curve


def _batches(texts: Sequence[Sequence[int]]) -> Iterator[tuple[Any, Any]]:
    """Texts of similar lengths as rows of an array, with a mask: 1 for a token, 0 for padding.

    A token sees only the tokens before it, so padding at the end changes no token's loss.
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
