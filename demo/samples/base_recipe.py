"""Makes the tiny base model. `demo.samples.base` runs it as a process, which prints its steps."""

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, trainers
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from demo.samples import grammar
from pipeline.tokens import END, Vocabulary

MERGES = 2048
LAYERS, WIDTH, HEADS = 2, 128, 1  # One head, because each costs time over 1,024 positions.
CONTEXT = 1024  # the least that gpt-2-simple accepts
STEPS, BATCH, WINDOW = 300, 16, 128
RATE, WARM_UP = 2e-3, 30
SEED = 1


def main(folder: Path) -> None:
    """Makes the vocabulary and then the weights from the posts of `grammar.base_corpus`."""
    folder.mkdir(parents=True, exist_ok=True)
    posts = grammar.base_corpus()
    write_vocabulary(folder, posts)
    vocabulary = Vocabulary(folder)
    shape = {
        "n_vocab": vocabulary.end + 1,
        "n_ctx": CONTEXT,
        "n_embd": WIDTH,
        "n_head": HEADS,
        "n_layer": LAYERS,
    }
    (folder / "hparams.json").write_text(json.dumps(shape))
    train(folder, shape, [[vocabulary.end, *vocabulary.encode(post)] for post in posts])


def write_vocabulary(folder: Path, posts: list[str]) -> None:
    """Writes a vocabulary like GPT-2's: 256 bytes, the merges in the order of learning, END."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    letters = sorted(ByteLevel.alphabet())
    tokenizer.train_from_iterator(
        posts,
        trainers.BpeTrainer(
            vocab_size=len(letters) + MERGES, initial_alphabet=letters, show_progress=False
        ),
    )
    learnt = json.loads(tokenizer.to_str())["model"]
    tokens: dict[str, int] = learnt["vocab"]
    (folder / "encoder.json").write_text(json.dumps(tokens | {END: len(tokens)}))  # ASCII
    merges = "".join(f"{left} {right}\n" for left, right in learnt["merges"])
    (folder / "vocab.bpe").write_text(f"#version: 0.2\n{merges}", encoding="utf-8")


def train(folder: Path, shape: dict[str, int], posts: list[list[int]]) -> None:
    """Trains with Adam, warm-up and cosine decay, on windows that start with a post."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    tf: Any = import_module("tensorflow").compat.v1
    model: Any = import_module("gpt_2_simple.src.model")

    tf.disable_eager_execution()
    tf.set_random_seed(SEED)
    rng = np.random.default_rng(SEED)
    ids = np.concatenate([np.array(post, np.int32) for post in posts])
    starts = np.cumsum([0, *map(len, posts)])
    starts = starts[starts < len(ids) - WINDOW]

    hparams = model.default_hparams()
    hparams.override_from_dict(shape)
    context = tf.placeholder(tf.int32, [None, None])
    logits = model.model(hparams=hparams, X=context)["logits"]
    loss = tf.reduce_mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(labels=context[:, 1:], logits=logits[:, :-1])
    )
    weights = tf.trainable_variables()
    gradients, _ = tf.clip_by_global_norm(tf.gradients(loss, weights), 1.0)
    rate = tf.placeholder(tf.float32, [])
    update = tf.train.AdamOptimizer(rate, beta2=0.98).apply_gradients(
        zip(gradients, weights, strict=True)
    )
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for step in range(STEPS):
            batch = np.stack([ids[at : at + WINDOW] for at in rng.choice(starts, BATCH)])
            session.run(update, {context: batch, rate: _rate(step)})
            print(f"{step + 1}/{STEPS}", flush=True)
        tf.train.Saver(weights, save_relative_paths=True).save(session, str(folder / "model.ckpt"))


def _rate(step: int) -> float:
    warm_up = min(1.0, (step + 1) / WARM_UP)
    return RATE * warm_up * (0.05 + 0.95 * 0.5 * (1 + np.cos(np.pi * step / STEPS)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
