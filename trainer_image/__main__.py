"""`python -m trainer_image train MACHINE`: trains one machine's share of a run's accounts, once."""

import argparse
import signal
import sys

from pipeline import clock, interrupt
from pipeline.errors import PipelineError
from pipeline.log import log
from pipeline.runs import read_result
from pipeline.store import Store
from pipeline.worker import Worker
from trainer_image import run
from trainer_image.config import Config


def main() -> int:
    """Train; returns 0, 1 if an account failed or the run was refused, 143 if interrupted."""
    interrupt.listen()
    arguments = _arguments()
    try:
        worker = Worker.parse(arguments.machine)
        config = Config.read()
        models = Store.open(config.models_bucket)
        result = read_result(models, worker.machine)
        if result:
            log(
                "NOTICE",
                f"run {worker.machine} finished at {result.finished:%F %T} UTC: nothing to train",
            )
            return 0
        result = run.train(config, worker, models, clock.now)
    except PipelineError as error:
        log("ERROR", str(error))
        return 1
    except interrupt.Interrupted:
        log(
            "WARNING", f"run {arguments.machine} interrupted: it has no result and can be run again"
        )
        return 128 + signal.SIGTERM
    return 1 if any(account.outcome == "failed" for account in result.accounts.values()) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m trainer_image", description=__doc__)
    parser.add_argument("verb", choices=["train"])
    parser.add_argument("machine", help="RUN, or RUN-<number>of<workers> if machines share it")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
