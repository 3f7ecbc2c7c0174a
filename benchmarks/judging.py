"""What judging an account costs at the shape of GPT-2 124M: `python -m benchmarks.judging`.

Two ways, one after the other in the same process: as it was until December 2026, with every
checkpoint converted and scored on the processor, and as the trainer does it. The model has random
weights, but for one direction that makes it end its texts after some thirty tokens, as tweets do;
checkpoints are the same model under ten names, since what they cost does not depend on what they
hold. Figures are seconds of this process on all processors. The losses that the trainer computes in
TensorFlow are not counted, since the GPU computes them on a training machine; how long one
checkpoint takes without a GPU is printed beside.
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
from pipeline.novelty import NoveltyIndex
from pipeline.tokens import END, Vocabulary
from trainer_image.account import SAMPLES
from trainer_image.convert import convert, read_weights
from trainer_image.evaluate import Model, Sample, between_ends, copying, valid
from trainer_image.score import held_out_curve

ROOT = Path(__file__).resolve().parents[1]
SHAPE = {"n_vocab": 50257, "n_ctx": 1024, "n_embd": 768, "n_head": 12, "n_layer": 12}
CHECKPOINTS = 10
TWEETS = 3000
_SEED = 1
# The end token's logit; of the 40 likeliest tokens that are drawn from it has about a thirtieth.
_END_LOGIT = 2.3


class Costs:
    """Seconds on all processors, by what they were spent on, in order."""

    def __init__(self) -> None:
        self.of: dict[str, float] = {}

    def add(self, what: str, work: Callable[[], Any]) -> Any:
        """Do the work and return what it returns."""
        before = time.process_time()
        done = work()
        self.of[what] = self.of.get(what, 0) + time.process_time() - before
        return done


def make(folder: Path) -> dict[int, Path]:
    """A model in gpt-2-simple's layout, its graph in TensorFlow, and checkpoints by step."""
    tiny = base.cached(ROOT)
    ids: dict[str, int] = json.loads((tiny / "encoder.json").read_text())
    for number in range(len(ids), SHAPE["n_vocab"]):
        letters = "".join(chr(ord("a") + number // 26**place % 26) for place in range(4))
        ids[f"Ġq{letters}"] = number  # a word that the tiny model's vocabulary does not have
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
    """As it was: each is converted to int8 and scored so, the best also in float32."""
    costs = Costs()
    made = start.parent / "converted"

    def score(checkpoint: Path, quantization: str) -> float:
        costs.add("convert", lambda: convert(read_weights(checkpoint), start, made, quantization))
        model = Model(made)
        return costs.add(f"score {quantization}", lambda: model.nats(texts))

    losses = {step: score(path, "int8") for step, path in {0: start, **checkpoints}.items()}
    best = checkpoints[min([*checkpoints], key=lambda step: losses[step])]
    score(best, "float32")
    costs.add("convert", lambda: convert(read_weights(best), start, made, "int8"))
    costs.add("score the live release", lambda: Model(made).nats(texts))
    _judge(costs, made, texts, until_all_have_ended)
    return costs


def only_the_best(start: Path, checkpoints: dict[int, Path], texts: list[str]) -> Costs:
    """As the trainer does it."""
    costs = Costs()
    made = start.parent / "converted"
    tf: Any = import_module("tensorflow")
    vocabulary = Vocabulary(start)
    scored = {0: start / "model.ckpt", **checkpoints}
    framed = [between_ends(vocabulary, text) for text in texts]
    with tf.compat.v1.Session() as session:
        shape = start / "hparams.json"
        # One token: what is left is to read the checkpoints.
        costs.add(
            "read checkpoints into TensorFlow",
            lambda: held_out_curve(session, shape, scored, [framed[0][:2]]),
        )
        curve = costs.add("in TensorFlow", lambda: held_out_curve(session, shape, scored, framed))
    costs.of["in TensorFlow"] -= costs.of["read checkpoints into TensorFlow"]
    best, _ = min(curve[1:], key=lambda point: point[1])
    costs.add("convert", lambda: convert(read_weights(checkpoints[best]), start, made, "int8"))
    costs.add("score int8", lambda: Model(made).nats(texts))
    costs.add("score the live release", lambda: Model(made).nats(texts))
    _judge(costs, made, texts, Model.sample)
    return costs


def until_all_have_ended(model: Model, count: int) -> list[Sample]:
    """The samples as they were drawn, fifty at once, each batch until its last text has ended."""
    results = model._generator.generate_batch(  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        [[END]] * count,
        max_length=280,
        sampling_topk=40,
        sampling_temperature=0.8,
        include_prompt_in_result=False,
        return_end_token=True,
        max_batch_size=50,
    )
    drawn: list[list[int]] = [result.sequences_ids[0] for result in results]
    end = model.vocabulary.end
    return [Sample(model.vocabulary.decode(ids), ids[-1:] == [end]) for ids in drawn]


def _judge(
    costs: Costs, made: Path, texts: list[str], sample: Callable[[Model, int], list[Sample]]
) -> None:
    model = Model(made, _SEED)
    samples = costs.add(f"draw {SAMPLES} samples", lambda: sample(model, SAMPLES))
    training = NoveltyIndex.build(texts)
    copied = costs.add(
        "look for copies", lambda: copying([text.text for text in samples], training)
    )
    usable = valid(samples)
    length = sum(len(text.text) for text in samples) / len(samples)
    print(f"{usable:.0%} of samples valid, {copied:.0%} copies, {length:.0f} characters each")


def main() -> None:
    """Print a table of both."""
    texts = grammar.tweets("keeper", TWEETS)[::10]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        start = Path(folder, "124M")
        checkpoints = make(start)
        before = every_checkpoint(start, checkpoints, texts).of
        after = only_the_best(start, checkpoints, texts).of
    print("\n| CPU seconds an account | before | now |\n| --- | ---: | ---: |")
    for what in dict.fromkeys([*before, *after]):
        print(f"| {what} | {before.get(what, 0):.1f} | {after.get(what, 0):.1f} |")
    print(f"| all | {sum(before.values()):.1f} | {sum(after.values()):.1f} |")


if __name__ == "__main__":
    main()
