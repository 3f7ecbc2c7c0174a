"""`python -m trainer_image.finetune FOLDER`: trains one account, in a process of its own.

gpt-2-simple can train once per process: its optimizer's variables cannot be created twice.
"""

import os
import random
import shutil
import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import PipelineError
from pipeline.settings import Settings
from pipeline.tokens import Vocabulary
from trainer_image import base_model
from trainer_image.convert import VOCABULARY_FILES, convert, read_weights
from trainer_image.driver import require_gpu
from trainer_image.job import JOB, RELEASE, RESULT, Job, Result
from trainer_image.score import held_out_curve


def main(folder: Path) -> None:
    """Train in `folder`, score every checkpoint, and keep the best."""
    os.chdir(folder)  # gpt-2-simple writes to the working folder
    job = Job.model_validate_json(Path(JOB).read_text())
    if job.require_gpu:
        require_gpu()
    start = job.start
    base_model.check(start)
    tweets = encode(Vocabulary(start), job.train)
    session, checkpoints = train(tweets, start, job.settings)
    result = keep_best(session, checkpoints, start, job.held_out)
    Path(RESULT).write_text(result.model_dump_json())


def encode(vocabulary: Vocabulary, texts: Sequence[str]) -> Path:
    """Write an .npz with one array per tweet, the end token and the tweet's ids; returns its path.

    gpt-2-simple would encode an end token in text or CSV as seven ordinary tokens.
    """
    arrays = [np.array([vocabulary.end, *vocabulary.encode(text)], np.int32) for text in texts]
    np.savez("tweets.npz", *arrays)
    return Path("tweets.npz")


def train(tweets: Path, start: Path, settings: Settings) -> tuple[Any, dict[int, Path]]:
    """Run gpt-2-simple's finetune; returns its session and its checkpoints by step."""
    tf: Any = import_module("tensorflow")
    gpt2: Any = import_module("gpt_2_simple.gpt_2")
    random.seed(settings.seed)
    np.random.seed(settings.seed)
    tf.compat.v1.set_random_seed(settings.seed)
    # The only part of gpt-2-simple that is replaced: its own sampler draws 1,024 tokens from any
    # position, and has no argument to change that.
    gpt2.Sampler = partial(Windows, length=settings.window)
    session = gpt2.start_tf_sess()
    gpt2.finetune(
        session,
        dataset=str(tweets),
        steps=settings.steps,
        model_name=start.name,
        model_dir=str(start.parent),
        restore_from="fresh",
        run_name="run",
        learning_rate=settings.learning_rate,
        batch_size=settings.batch_size,
        accumulate_gradients=1,
        save_every=settings.save_every,
        max_checkpoints=settings.steps,
        print_every=1,
        sample_every=settings.steps + 1,  # never: a sample takes as long as many steps
    )
    indexes = Path("checkpoint/run").glob("model-*.index")
    saved = {int(index.stem.removeprefix("model-")): index.with_suffix("") for index in indexes}
    return session, dict(sorted(saved.items()))


class Windows:
    """Draws training examples: random tweets in a row, starting at an end token like generation."""

    def __init__(self, tweets: list["np.ndarray[Any, np.dtype[np.int32]]"], length: int) -> None:
        self.tweets, self.length = tweets, length
        self.total_size = sum(map(len, tweets))

    def sample(self, _length: int) -> "np.ndarray[Any, np.dtype[np.int32]]":
        """Draw `length` tokens; the last tweet is cut off."""
        drawn: list[np.ndarray[Any, np.dtype[np.int32]]] = []
        while sum(map(len, drawn)) < self.length:
            drawn.append(random.choice(self.tweets))
        return np.concatenate(drawn)[: self.length]


def keep_best(
    session: Any, checkpoints: dict[int, Path], start: Path, held_out: list[str]
) -> Result:
    """Score every checkpoint, and keep the best one as a model and as a checkpoint."""
    tf: Any = import_module("tensorflow")
    vocabulary = Vocabulary(start)
    initial = Path(tf.train.latest_checkpoint(str(start)))
    curve = held_out_curve(
        session,
        start / "hparams.json",
        {0: initial, **checkpoints},
        [vocabulary.between_ends(text) for text in held_out],
    )
    best, loss = min(curve[1:], key=lambda point: point[1])
    convert(read_weights(checkpoints[best]), start, Path(RELEASE, "model"), "int8")
    keep_checkpoint(checkpoints[best], start, Path(RELEASE, "checkpoint"))
    return Result(step=best, held_out_float=loss, held_out_curve=curve)


def keep_checkpoint(checkpoint: Path, start: Path, kept: Path) -> None:
    """Move a checkpoint to `kept` in a base model's layout, so that later trainings start there."""
    kept.mkdir()
    for part in checkpoint.parent.glob(f"{checkpoint.name}.*"):
        part.rename(kept / part.name.replace(checkpoint.name, "model.ckpt"))
    for name in (*VOCABULARY_FILES, "hparams.json"):
        shutil.copyfile(start / name, kept / name)
    (kept / "checkpoint").write_text('model_checkpoint_path: "model.ckpt"\n')


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except PipelineError as error:
        sys.exit(str(error))
