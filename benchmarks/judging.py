"""Measures what judging an account costs for a GPT-2 124M: `python -m benchmarks.judging`.

It judges the same model twice in one process: as the trainer did until December 2026, and as it
does now. The old trainer converted every checkpoint and scored it on the processor. The model has
random weights, except for one direction that makes it end its texts after some thirty tokens, as
tweets do. The ten checkpoints are copies of it, because costs do not depend on weights. Figures are
CPU seconds of this process. Losses in TensorFlow have a row of their own, because on a training
machine the GPU computes them.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from demo.samples import base, grammar
from pipeline.generation import MAX_TOKENS, POSTS, Candidate, Model
from pipeline.novelty import NoveltyIndex
from pipeline.tokens import END, Vocabulary
from trainer_image.account import SAMPLES
from trainer_image.convert import convert, read_weights
from trainer_image.evaluate import copying, load, sample, valid
from trainer_image.score import held_out_curve

ROOT = Path(__file__).resolve().parents[1]
SHAPE = {"n_vocab": 50257, "n_ctx": 1024, "n_embd": 768, "n_head": 12, "n_layer": 12}
CHECKPOINTS = 10
TWEETS = 3000
_SEED = 1
# The end token's logit. Among the 40 likeliest tokens its probability is then about 1/30.
_END_LOGIT = 2.3


class Costs:
    """CPU seconds by activity, in order."""

    def __init__(self) -> None:
        self.of: dict[str, float] = {}

    def add(self, activity: str, work: Callable[[], Any]) -> Any:
        """Do the work, add its time to an activity, and return its result."""
        before = time.process_time()
        result = work()
        self.of[activity] = self.of.get(activity, 0) + time.process_time() - before
        return result


def make(folder: Path) -> dict[int, Path]:
    """Make a model in gpt-2-simple's layout, and its TensorFlow graph; returns its checkpoints."""
    tiny = base.cached(ROOT)
    ids: dict[str, int] = json.loads((tiny / "encoder.json").read_text())
    for number in range(len(ids), SHAPE["n_vocab"]):
        letters = "".join(chr(ord("a") + number // 26**place % 26) for place in range(4))
        ids[f"Ġq{letters}"] = number  # a word that is not in the tiny model's vocabulary
    folder.mkdir()
    (folder / "encoder.json").write_text(json.dumps(ids))
    (folder / "vocab.bpe").write_bytes((tiny / "vocab.bpe").read_bytes())
    (folder / "hparams.json").write_text(json.dumps(SHAPE))

    tf: Any = import_module("tensorflow")
    gpt2: Any = import_module("gpt_2_simple.src.model")
    hparams = gpt2.default_hparams()
    hparams.override_from_dict(SHAPE)
    tf.compat.v1.disable_eager_execution()
    tf.compat.v1.set_random_seed(_SEED)
    gpt2.model(hparams=hparams, X=tf.compat.v1.placeholder(tf.int32, [1, None]))
    weights = {v.op.name: v for v in tf.compat.v1.trainable_variables()}
    towards = np.random.default_rng(_SEED).normal(size=SHAPE["n_embd"])
    towards /= np.linalg.norm(towards)
    with tf.compat.v1.Session() as session:
        session.run(tf.compat.v1.global_variables_initializer())
        embeddings = session.run(weights["model/wte"])
        embeddings[ids[END]] = towards * _END_LOGIT / 10
        weights["model/wte"].load(embeddings, session)
        weights["model/ln_f/b"].load(towards * 10, session)
        tf.compat.v1.train.Saver([*weights.values()]).save(session, str(folder / "model.ckpt"))
    checkpoints: dict[int, Path] = {}
    for step in range(30, 30 * CHECKPOINTS + 1, 30):
        checkpoints[step] = folder / f"model-{step}"
        for part in folder.glob("model.ckpt.*"):
            os.link(part, folder / part.name.replace("model.ckpt", f"model-{step}"))
    return checkpoints


def every_checkpoint(start: Path, checkpoints: dict[int, Path], texts: list[str]) -> Costs:
    """Judge as before: convert and score each checkpoint in int8, and the best also in float32."""
    costs = Costs()
    converted = start.parent / "converted"

    def score(checkpoint: Path, quantization: str) -> float:
        costs.add(
            "convert", lambda: convert(read_weights(checkpoint), start, converted, quantization)
        )
        model = load(converted)
        return costs.add(f"score {quantization}", lambda: model.nats(texts))

    losses = {step: score(path, "int8") for step, path in {0: start, **checkpoints}.items()}
    best = checkpoints[min([*checkpoints], key=lambda step: losses[step])]
    score(best, "float32")
    costs.add("convert", lambda: convert(read_weights(best), start, converted, "int8"))
    costs.add("score the live release", lambda: load(converted).nats(texts))
    _judge(costs, converted, texts, until_all_have_ended)
    return costs


def only_the_best(start: Path, checkpoints: dict[int, Path], texts: list[str]) -> Costs:
    """Judge as the trainer does."""
    costs = Costs()
    converted = start.parent / "converted"
    tf: Any = import_module("tensorflow")
    vocabulary = Vocabulary(start)
    scored = {0: start / "model.ckpt", **checkpoints}
    framed = [vocabulary.between_ends(text) for text in texts]
    with tf.compat.v1.Session() as session:
        shape = start / "hparams.json"
        # Scoring a single token takes no time, so this measures reading the checkpoints.
        costs.add(
            "read checkpoints into TensorFlow",
            lambda: held_out_curve(session, shape, scored, [framed[0][:2]]),
        )
        curve = costs.add("in TensorFlow", lambda: held_out_curve(session, shape, scored, framed))
    costs.of["in TensorFlow"] -= costs.of["read checkpoints into TensorFlow"]
    best, _ = min(curve[1:], key=lambda point: point[1])
    costs.add("convert", lambda: convert(read_weights(checkpoints[best]), start, converted, "int8"))
    costs.add("score int8", lambda: load(converted).nats(texts))
    costs.add("score the live release", lambda: load(converted).nats(texts))
    _judge(costs, converted, texts, sample)
    return costs


def until_all_have_ended(model: Model, count: int) -> list[Candidate]:
    """Draw samples as before: in batches of fifty, until the last text of a batch has ended."""
    results = model._generator.generate_batch(  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        [[END]] * count,
        max_length=MAX_TOKENS,
        sampling_topk=POSTS.top_k,
        sampling_temperature=POSTS.temperature,
        include_prompt_in_result=False,
        return_end_token=True,
        max_batch_size=50,
    )
    drawn: list[list[int]] = [result.sequences_ids[0] for result in results]
    end = model.vocabulary.end
    return [
        Candidate(model.vocabulary.decode(ids), ids[-1:] == [end], likelihood=0) for ids in drawn
    ]


def _judge(
    costs: Costs, folder: Path, texts: list[str], sample: Callable[[Model, int], list[Candidate]]
) -> None:
    model = load(folder, _SEED)
    samples = costs.add(f"draw {SAMPLES} samples", lambda: sample(model, SAMPLES))
    training = NoveltyIndex.build(texts)
    copied = costs.add(
        "look for copies", lambda: copying([text.text for text in samples], training)
    )
    usable = valid(samples)
    length = sum(len(text.text) for text in samples) / len(samples)
    print(f"{usable:.0%} of samples valid, {copied:.0%} copies, {length:.0f} characters each")


def main() -> None:
    """Judge in both ways, and print a table."""
    texts = grammar.tweets("keeper", TWEETS)[::10]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        start = Path(folder, "124M")
        checkpoints = make(start)
        before = every_checkpoint(start, checkpoints, texts).of
        after = only_the_best(start, checkpoints, texts).of
    print("\n| CPU seconds an account | before | now |\n| --- | ---: | ---: |")
    for activity in dict.fromkeys([*before, *after]):
        print(f"| {activity} | {before.get(activity, 0):.1f} | {after.get(activity, 0):.1f} |")
    print(f"| all | {sum(before.values()):.1f} | {sum(after.values()):.1f} |")


if __name__ == "__main__":
    main()
