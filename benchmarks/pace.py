"""How long Google lets a first `up` and a destroy take: `python -m benchmarks.pace [accounts]`.

A model, since no cloud is asked: the resources that the program really declares, in the order that
they depend on each other, with as many at once as the engine works on, and the waits that the
provider is known to make. It cannot show Google's own answers, quotas, or what fails.

What the provider waits for, of hashicorp/terraform-provider-google-beta (read 2026-11-30):

- `tpgiamresource/iam.go`: a grant holds the lock of the policy that it is in, and after it is set
  reads it three times, a second apart. `GetMutexKey` of each kind of grant: one lock a resource.
- `resource_google_service_account.go`: sleeps 10 s when an account is made.
- `tpgresource/common_operation.go` with `PollInterval` (10 s): an operation that is not done at
  once is asked after again 10 s later. So is every Run job, service and repository.

The engine starts what is ready in the order of registration. A step that waits for a lock holds its
place meanwhile. Deletions go in waves: what nothing depends on any more, all of it, then the next.
"""

import argparse
import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.program import STACK, bots, values
from local.services.iam.grants import GRANTED_ON
from tests.stacks.recorder import Declared, declare

# `pulumi up --parallel`: the engine's default on a machine with four cores.
PLACES = 16
ACCOUNTS = 80
# Seconds of one call to Google; a guess, and no matter beside the waits.
CALL = 0.2
_GRANT = 3.0
_NEW_ACCOUNT = 10.0
_OPERATION = 10.0
_ACCOUNT = "gcp:serviceaccount/account:Account"
_OPERATIONS = (
    "gcp:cloudrunv2/job:Job",
    "gcp:cloudrunv2/service:Service",
    "gcp:artifactregistry/repository:Repository",
    "gcp:projects/service:Service",
)

Key = tuple[str, str]


@dataclass(frozen=True)
class Step:
    """One resource to be made or deleted: seconds of work, and the lock it is done under."""

    key: Key
    seconds: float
    lock: str
    needs: frozenset[Key]


@dataclass
class Pace:
    """How long it took, and what it could not be shorter than."""

    seconds: float = 0
    work: float = 0
    # Seconds under each of them.
    locks: dict[str, float] = field(default_factory=dict[str, float])

    @property
    def longest_lock(self) -> tuple[str, float]:
        """The lock that most time is spent under, and how much."""
        return max(self.locks.items(), key=lambda held: held[1])

    def __str__(self) -> str:
        lock, held = self.longest_lock
        return (
            f"{self.seconds:.0f} s; the work alone {self.work / PLACES:.0f} s at {PLACES} at once;"
            f" longest lock {held:.0f} s ({lock})"
        )


def making(resource: Declared, project: str) -> Step:
    """What it takes to make a resource."""
    wait = {_ACCOUNT: _NEW_ACCOUNT, **dict.fromkeys(_OPERATIONS, _OPERATION)}
    return _step(resource, project, wait.get(resource.type, 0))


def deleting(resource: Declared, project: str) -> Step:
    """What it takes to delete a resource; what is retained takes nothing."""
    if resource.retain_on_delete or resource.type == "gcp:projects/service:Service":
        return Step(resource.key, 0, "", resource.needs)
    return _step(resource, project, _OPERATION if resource.type in _OPERATIONS else 0)


def _step(resource: Declared, project: str, wait: float) -> Step:
    if resource.type in GRANTED_ON:
        lock = GRANTED_ON[resource.type]({"project": project, **resource.inputs})
        return Step(resource.key, _GRANT + 5 * CALL, lock, resource.needs)
    return Step(resource.key, wait + CALL, "", resource.needs)


def first_up(steps: Sequence[Step]) -> Pace:
    """All of it made, each as soon as what it needs is there."""
    known = {step.key for step in steps}
    open_ = {step.key: len(step.needs & known) for step in steps}
    dependents: dict[Key, list[int]] = {}
    for number, step in enumerate(steps):
        for need in step.needs & known:
            dependents.setdefault(need, []).append(number)

    def done(number: int) -> Iterator[int]:
        for dependent in dependents.get(steps[number].key, []):
            open_[steps[dependent].key] -= 1
            if open_[steps[dependent].key] == 0:
                yield dependent

    ready = [number for number, step in enumerate(steps) if open_[step.key] == 0]
    return _run(steps, ready, done, Pace())


def destroy(steps: Sequence[Step]) -> Pace:
    """All of it deleted, in waves of what nothing depends on."""
    pace, left = Pace(), list(steps)
    while left:
        needed = frozenset[Key]().union(*(step.needs for step in left))
        wave = [step for step in left if step.key not in needed]
        _run(wave, list(range(len(wave))), lambda _: iter(()), pace)
        left = [step for step in left if step.key in needed]
    return pace


def _run(
    steps: Sequence[Step], ready: list[int], done: Callable[[int], Iterator[int]], pace: Pace
) -> Pace:
    """Work through the steps from `pace.seconds` on; `done` tells what one makes ready."""
    free: dict[str, float] = {}
    running: list[tuple[float, int]] = []
    now = pace.seconds
    heapq.heapify(ready)
    while ready or running:
        while ready and len(running) < PLACES:
            number = heapq.heappop(ready)
            step = steps[number]
            begin = max(now, free.get(step.lock, now)) if step.lock else now
            if step.lock:
                free[step.lock] = begin + step.seconds
                pace.locks[step.lock] = pace.locks.get(step.lock, 0) + step.seconds
            pace.work += step.seconds
            heapq.heappush(running, (begin + step.seconds, number))
        now, number = heapq.heappop(running)
        for more in done(number):
            heapq.heappush(ready, more)
    pace.seconds = now
    return pace


def paces(accounts: int) -> tuple[Pace, Pace]:
    """A first `up` and a destroy of a stack of so many accounts, in one project."""
    stack = bots(accounts)
    declared = declare(STACK, values(stack))
    resources = declared.providers_resources
    return (
        first_up([making(resource, declared.project) for resource in resources]),
        destroy([deleting(resource, declared.project) for resource in resources]),
    )


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description="What Google's pace makes of a stack.")
    parser.add_argument("accounts", nargs="?", type=int, default=ACCOUNTS, help="how many")
    accounts = parser.parse_args().accounts
    up, down = paces(accounts)
    print(f"{accounts} accounts, first up: {up}")
    print(f"{accounts} accounts, destroy: {down}")


if __name__ == "__main__":
    main()
