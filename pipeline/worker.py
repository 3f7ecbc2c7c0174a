"""A machine of a run. Its name says which share of the accounts it trains."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline import layout
from pipeline.errors import UserError

_MACHINE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SHARED = re.compile(r"(.+)-(\d+)of(\d+)")


@dataclass(frozen=True)
class Worker:
    """Machine `number` (from 1) of the `workers` of a run; `machine` is its name."""

    machine: str
    run: str
    number: int = 1
    workers: int = 1

    @classmethod
    def parse(cls, machine: str) -> "Worker":
        """Parse a machine's name: `RUN`, or `RUN-<number>of<workers>`.

        Raises:
            UserError: No machine can have this name.
        """
        if not _MACHINE.fullmatch(machine):
            raise UserError(
                f"run {machine!r}: use at most 63 of a-z, 0-9 and -, such as 2026-11-23"
            )
        shared = _SHARED.fullmatch(machine)
        if shared is None:
            return cls(machine, machine)
        number, workers = int(shared[2]), int(shared[3])
        if not 1 <= number <= workers:
            raise UserError(
                f"run {machine!r}: there is no worker {number} of {workers}; the first is 1"
            )
        return cls(machine, shared[1], number, workers)

    @property
    def machines(self) -> list[str]:
        """The names of all machines of the run."""
        if self.workers == 1:
            return [self.machine]
        return [self.run + share for share in layout.shares(self.workers)]

    def share(self, accounts: Sequence[str]) -> list[str]:
        """The accounts that this worker trains; every account falls to exactly one worker."""
        return sorted(accounts)[self.number - 1 :: self.workers]
