"""`python -m control_image VERB`: one of the programs that run the pipeline.

`watch` takes one look at all accounts of a stack.

Environment: see WatchSettings.
"""

import sys

from pydantic import Field

from control_image.rollout import Rollout
from control_image.watch import Watcher
from pipeline import clock
from pipeline.environment import Environment
from pipeline.errors import UserError
from pipeline.log import log
from pipeline.store import Store


class WatchSettings(Environment):
    """What the watcher's environment says."""

    data_bucket: str = Field(alias="DATA_BUCKET", min_length=1)
    models_bucket: str = Field(alias="MODELS_BUCKET", min_length=1)
    repository: str = Field(alias="REPOSITORY", min_length=1)
    topic: str = Field(alias="TOPIC", min_length=1)


def main() -> int:
    """Run the program that the arguments name; returns the exit status."""
    verbs = {"watch": watch}
    verb = verbs.get(" ".join(sys.argv[1:]))
    if verb is None:
        log("ERROR", f"usage: python -m control_image {{{'|'.join(verbs)}}}")
        return 2
    try:
        return verb()
    except UserError as error:
        log("ERROR", str(error))
        return 1


def watch() -> int:
    """Take one look at all accounts; 1 where one of them could not be looked at."""
    settings = WatchSettings.read()
    watcher = Watcher(
        data=Store.open(settings.data_bucket),
        models=Store.open(settings.models_bucket),
        images=Rollout(settings.repository, settings.topic),
        clock=clock.now,
    )
    return 1 if watcher.look() else 0


if __name__ == "__main__":
    sys.exit(main())
