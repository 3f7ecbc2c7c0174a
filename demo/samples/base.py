"""`python -m demo.samples.base DIR`: makes the tiny base model that stands in for GPT-2 124M.

Like 124M it has gpt-2-simple's layout, and knows words but none of the voices. It has 823 thousand
parameters. Training it takes about a minute on two cores.
"""

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from demo.samples import expander, grammar
from pipeline.errors import PipelineError, UserError

Progress = Callable[[int, int], None]
"""Takes the number of steps done, and the number of all steps."""

_RECIPE = tuple(
    Path(file)
    for file in (Path(__file__).with_name("base_recipe.py"), grammar.__file__, expander.__file__)
)


def build(folder: Path, progress: Progress = lambda _done, _all: None) -> None:
    """Makes the model in `folder`, in another process, because that needs TensorFlow."""
    command = [sys.executable, "-m", "demo.samples.base_recipe", str(folder)]
    root = Path(__file__).parents[2]
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=errors, text=True) as p,
    ):
        assert p.stdout
        try:
            for line in p.stdout:
                done, _, steps = line.partition("/")
                progress(int(done), int(steps))
        except BaseException:
            p.kill()
            raise
        if p.wait() != 0:
            errors.seek(0)
            last = (errors.read().strip().splitlines() or [f"exit status {p.returncode}"])[-1]
            raise UserError(f"the tiny base model cannot be made: {last}")


def cached(root: Path, progress: Progress = lambda _done, _all: None) -> Path:
    """Returns the model in `root`/.cache. Makes it first if its recipe has changed."""
    home = root / ".cache" / "base" / f"tiny-{_recipe_hash()}"
    if not home.is_dir():
        home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home.parent, prefix="building-") as building:
            model = Path(building, "model")
            build(model, progress)
            try:
                model.rename(home)  # So the folder is complete as soon as it exists.
            except OSError:  # Another process was first.
                if not home.is_dir():
                    raise
    return home


def _recipe_hash() -> str:
    digest = hashlib.sha256()
    for source in (*_RECIPE, *sorted(grammar.FOLDER.glob("*.txt"))):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:12]


def main() -> None:
    """Makes the model in the folder that the argument names, and shows the progress."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m demo.samples.base DIR")
    try:
        build(Path(sys.argv[1]), lambda done, steps: print(f"\rstep {done} of {steps}", end=""))
    except PipelineError as error:
        sys.exit(str(error))
    print()


if __name__ == "__main__":
    main()
