"""Computes how long Google takes for a first `up` and a destroy: `python -m benchmarks.pace`.

This is a model; nothing calls Google. It has the resources that the program declares, their
dependencies, the number of resources on which the engine works at once, and the known waits of the
provider. It does not have the time of Google's responses, quotas or failures.

The waits are those of hashicorp/terraform-provider-google-beta (read 2026-11-30):

- `tpgiamresource/iam.go`: a grant locks its policy, changes it, and reads it three times, a second
  apart. Each resource with a policy has one lock (`GetMutexKey` of each kind of grant).
- `resource_google_service_account.go`: sleeps 10 s after it has created an account.
- `tpgresource/common_operation.go` with `PollInterval` (10 s): polls an operation that is not done
  at once after 10 s. Every Run job, service and repository is such an operation.

The engine starts steps that are ready in the order of registration. A step that waits for a lock
occupies one of the engine's places. Deletions go in waves: first all resources on which nothing
depends, then all resources on which nothing depends any more, and so on.
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
# Seconds of one call to Google. This is a guess; the waits are much longer.
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
    """One resource to create or delete: the seconds of work, and the lock that it needs."""

    key: Key
    seconds: float
    lock: str
    needs: frozenset[Key]


@dataclass
class Pace:
    """How long all steps took, and the lower limits of that time."""

    seconds: float = 0
    work: float = 0
    locks: dict[str, float] = field(default_factory=dict[str, float])
    """Seconds for which each lock was held."""

    @property
    def longest_lock(self) -> tuple[str, float]:
        """The lock that was held for the longest time, and that time."""
        return max(self.locks.items(), key=lambda held: held[1])

    def __str__(self) -> str:
        lock, held = self.longest_lock
        return (
            f"{self.seconds:.0f} s; the work alone {self.work / PLACES:.0f} s at {PLACES} at once;"
            f" longest lock {held:.0f} s ({lock})"
        )


def making(resource: Declared, project: str) -> Step:
    """The step that creates a resource."""
    wait = {_ACCOUNT: _NEW_ACCOUNT, **dict.fromkeys(_OPERATIONS, _OPERATION)}
    return _step(resource, project, wait.get(resource.type, 0))


def deleting(resource: Declared, project: str) -> Step:
    """The step that deletes a resource. A resource that is retained takes no time."""
    if resource.retain_on_delete or resource.type == "gcp:projects/service:Service":
        return Step(resource.key, 0, "", resource.needs)
    return _step(resource, project, _OPERATION if resource.type in _OPERATIONS else 0)


def _step(resource: Declared, project: str, wait: float) -> Step:
    if resource.type in GRANTED_ON:
        lock = GRANTED_ON[resource.type]({"project": project, **resource.inputs})
        return Step(resource.key, _GRANT + 5 * CALL, lock, resource.needs)
    return Step(resource.key, wait + CALL, "", resource.needs)


def first_up(steps: Sequence[Step]) -> Pace:
    """Create all resources, each as soon as those that it needs exist."""
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
    """Delete all resources, in waves of those on which nothing depends."""
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
    """Run the steps, beginning at `pace.seconds`; `done` returns the steps that one makes ready."""
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
    """The paces of a first `up` and a destroy of a stack with this number of accounts."""
    stack = bots(accounts)
    declared = declare(STACK, values(stack))
    resources = declared.providers_resources
    return (
        first_up([making(resource, declared.project) for resource in resources]),
        destroy([deleting(resource, declared.project) for resource in resources]),
    )


def main() -> None:
    """Print the paces of a first `up` and a destroy."""
    parser = argparse.ArgumentParser(description="How long Google takes for a stack.")
    parser.add_argument("accounts", nargs="?", type=int, default=ACCOUNTS, help="how many")
    accounts = parser.parse_args().accounts
    up, down = paces(accounts)
    print(f"{accounts} accounts, first up: {up}")
    print(f"{accounts} accounts, destroy: {down}")


if __name__ == "__main__":
    main()
