"""`python -m control_image VERB`: one of the programs that run the pipeline.

- `watch` checks all accounts of a stack once.
- `fetch` and `live` are the first and the last step of the release build: `fetch` writes the build
  context, and `live` points `:live` at the image.
- `retrain` trains the accounts that have news, on machines that it creates.

Environment: see WatchSettings, BuildSettings, and RetrainSettings in control_image.retrain.
"""

import sys
import time
from pathlib import Path

from pydantic import Field

from control_image import bundle
from control_image.bundle import wanted
from control_image.live import LIVE, converge, point
from control_image.registry import Registry
from control_image.rollout import Rollout
from control_image.watch import Watcher
from pipeline import clock
from pipeline.environment import Environment
from pipeline.errors import PipelineError
from pipeline.log import log
from pipeline.store import Store


class WatchSettings(Environment):
    """The variables of `watch`."""

    data_bucket: str
    models_bucket: str
    repository: str
    topic: str


class BuildSettings(Environment):
    """The variables of `fetch` and `live`."""

    pointer: str = Field(alias="OBJECT", description="the object that changed")
    models_bucket: str
    repository: str
    workspace: Path = Field(description="a folder that steps share")


def main() -> int:
    """Run the program that the arguments name; returns the exit status."""
    verbs = {"fetch": fetch, "live": live, "retrain": retrain, "watch": watch}
    verb = verbs.get(" ".join(sys.argv[1:]))
    if verb is None:
        log("ERROR", f"usage: python -m control_image {{{'|'.join(verbs)}}}")
        return 2
    try:
        return verb()
    except PipelineError as error:
        log("ERROR", str(error))
        return 1


def watch() -> int:
    """Check all accounts once; returns 1 if something failed."""
    settings = WatchSettings.read()
    watcher = Watcher(
        data=Store.open(settings.data_bucket),
        models=Store.open(settings.models_bucket),
        tags=Registry(settings.repository),
        topic=Rollout(settings.topic),
        clock=clock.now,
    )
    return 1 if watcher.run() else 0


def fetch() -> int:
    """Write the build context of the account's wanted image, if the account has a release."""
    settings = BuildSettings.read()
    account = bundle.account_of(settings.pointer)
    models = Store.open(settings.models_bucket)
    pair = wanted(models, account)
    if pair is None:
        log("INFO", f"{account} has no release yet: nothing to build")
    else:
        image = bundle.fetch(models, settings.repository, pair, settings.workspace)
        log("INFO", f"the build makes {image} from {pair.release} and {pair.base}")
    return 0


def live() -> int:
    """Point the account's `:live` at the image that its pointers ask for."""
    settings = BuildSettings.read()
    account = bundle.account_of(settings.pointer)
    models, registry = Store.open(settings.models_bucket), Registry(settings.repository)
    pair = converge(lambda: wanted(models, account), lambda pair: point(registry, pair))
    name = f"{settings.repository}/{account}:{LIVE}"
    log("INFO", f"{name} is {pair.tag}" if pair else f"{name} stays: another build moves it")
    return 0


def retrain() -> int:
    """Train the accounts that have news; returns 1 if something failed."""
    # Compute Engine's client library takes a second and 150 MB, which no other verb needs.
    from control_image.compute import Compute
    from control_image.retrain import Retrain, RetrainSettings

    settings = RetrainSettings.read()
    execution = Retrain(
        settings,
        data=Store.open(settings.data_bucket),
        models=Store.open(settings.models_bucket),
        compute=Compute.open(settings.project, clock.now, time.sleep),
        clock=clock.now,
        sleep=time.sleep,
    )
    problems = execution.run()
    if problems:
        log("ERROR", f"training failed: {'; '.join(problems)}", problems=problems)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
