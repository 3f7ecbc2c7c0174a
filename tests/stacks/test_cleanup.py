"""A year of the registry's clean-up: no image that runs, or may run again, is deleted.

`Registry` stands in for Artifact Registry: versions, tags, and the documented meaning of clean-up
policies. It cannot show when Google applies them; here that is daily. It may be stricter than
Google: the image in an index is untagged, and only a policy keeps it.
"""

import random
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.stacks.recorder import declare, stack_values

YEAR = 365
PROGRAMS = ("app", "control", "scraper", "trainer")
Policies = list[dict[str, Any]]


@dataclass
class Version:
    """One image of a package, uploaded on a day."""

    package: str
    digest: str
    uploaded: int
    tags: set[str] = field(default_factory=set[str])


class Registry:
    """Versions, oldest first, and how many the clean-up has deleted."""

    def __init__(self) -> None:
        self.versions: list[Version] = []
        self.deleted = 0
        self._pushed = 0

    def push(self, day: int, package: str, *tags: str) -> Version:
        self._pushed += 1
        version = Version(package, f"sha256:{self._pushed:064x}", day)
        self.versions.append(version)
        for tag in tags:
            self.tag(version, tag)
        return version

    def tag(self, version: Version, tag: str) -> None:
        assert version in self.versions
        for other in self.of(version.package):
            other.tags.discard(tag)
        version.tags.add(tag)

    def of(self, package: str) -> list[Version]:
        return [v for v in self.versions if v.package == package]

    def tagged(self, package: str, tag: str) -> Version | None:
        return next((v for v in self.of(package) if tag in v.tags), None)

    def clean(self, policies: Policies, day: int) -> None:
        """Delete the versions that a policy deletes and none keeps."""

        def chosen(action: str, version: Version) -> bool:
            return any(self._matches(p, version, day) for p in policies if p["action"] == action)

        doomed = [v for v in self.versions if chosen("DELETE", v) and not chosen("KEEP", v)]
        self.deleted += len(doomed)
        self.versions = [v for v in self.versions if v not in doomed]

    def _matches(self, policy: dict[str, Any], version: Version, day: int) -> bool:
        """Whether a version meets all conditions of a policy.

        Source: https://cloud.google.com/artifact-registry/docs/repositories/cleanup-policy-overview
        """
        if recent := policy.get("mostRecentVersions"):
            assert set(recent) == {"keepCount"}
            return version in self.of(version.package)[-int(recent["keepCount"]) :]
        says = dict(policy["condition"])
        state = says.pop("tagState", "ANY")
        if state not in {"ANY", "TAGGED" if version.tags else "UNTAGGED"}:
            return False
        seconds = int(says.pop("olderThan", "-1s").removesuffix("s"))
        names = {
            "packageNamePrefixes": {version.package},
            "versionNamePrefixes": {version.digest},
            "tagPrefixes": version.tags,
        }
        return (day - version.uploaded) * 86400 > seconds and all(
            any(name.startswith(tuple(prefixes)) for name in names[key])
            for key, prefixes in says.items()
        )


class Year:
    """A year of a stack's pushes and builds, on random days."""

    def __init__(self, policies: Policies, keep: int, seed: int) -> None:
        self.registry = Registry()
        self._policies = policies
        self._keep = keep
        self._chance = random.Random(seed)
        # The images that jobs, pointers and the template name by digest.
        self._named: dict[str, Version] = {}
        self._failed = 0
        self._releases: dict[str, list[str]] = {}
        self._live: dict[str, str] = {}
        self._seeds: dict[str, tuple[Version, Version]] = {}

    def run(self) -> None:
        for day in range(YEAR):
            # Long times without a change of code, so that live images become old.
            if day % 120 < 30 and self._chance.random() < 0.4:
                self._up(day)
            if day in {0, 200}:
                self._up(day, "early" if day == 0 else "late")
            for account in self._releases:
                self._train(day, account)
            self.registry.clean(self._policies, day)
            self._check(day)

    def _up(self, day: int, new_account: str = "") -> None:
        """Push the program images, then name them, unless the `up` fails in between."""
        pushed = {p: self.registry.push(day, p, "prod") for p in PROGRAMS}
        if self._named and self._failed < min(self._keep - 1, 3) and self._chance.random() < 0.3:
            self._failed += 1
            return
        self._failed = 0
        self._named = pushed
        for account in [f"{new_account}-{n}" for n in ("idle", "busy", "undone")] * bool(
            new_account
        ):
            self._releases[account] = []
            inner = self.registry.push(day, account)
            self._seeds[account] = inner, self.registry.push(day, account, "live")
        for account in self._live:
            self._build(day, account, self._live[account])

    def _train(self, day: int, account: str) -> None:
        releases = self._releases[account]
        if account.endswith("busy") and day % 7 == 3:
            releases.append(f"{day:03}")
            self._build(day, account, releases[-1])
            if self._chance.random() < 0.2:  # a rollback to any earlier release
                self._build(day, account, self._chance.choice(releases))
        if account.endswith("undone") and day % 9 == 4:
            # The release is rolled back before its build ends, so its image never becomes `:live`.
            releases.append(f"{day:03}")
            self._build(day, account, releases[-1], undone=len(releases) > 1)

    def _build(self, day: int, account: str, release: str, *, undone: bool = False) -> None:
        tag = f"{release}-{self._named['app'].digest[-12:]}"
        # An image that is pushed again keeps its time of upload.
        image = self.registry.tagged(account, tag) or self.registry.push(day, account, tag)
        if not undone:
            self.registry.tag(image, "live")
            self._live[account] = release

    def _check(self, day: int) -> None:
        there = {v.digest for v in self.registry.versions}
        for program, image in self._named.items():
            assert image.digest in there, f"day {day}: {program} is gone, and jobs name it"
        for account in self._releases:
            live = self.registry.tagged(account, "live")
            assert live, f"day {day}: {account}:live is gone"
            inner, seed = self._seeds[account]
            assert live is not seed or inner.digest in there, f"day {day}: {account}:live is empty"
            if account in self._live:
                assert any(t.startswith(self._live[account]) for t in live.tags)


def declared(keep: int, images: dict[str, str] | None = None) -> Policies:
    """The clean-up policies that the program declares."""
    values = stack_values("prod")
    values["gpt2-bots:keep"] = {"releases": keep}
    if images:
        values["gpt2-bots:images"] = images
    repository = declare("prod", values).one("gcp:artifactregistry/repository:Repository")
    assert repository.inputs["cleanupPolicyDryRun"] is False
    return repository.inputs["cleanupPolicies"]


@pytest.fixture(scope="module", params=[2, 10])
def kept(request: pytest.FixtureRequest) -> tuple[int, Policies]:
    return request.param, declared(request.param)


@pytest.mark.parametrize("seed", range(5))
def test_in_a_year_old_images_are_deleted_and_none_that_runs(
    kept: tuple[int, Policies], seed: int
) -> None:
    keep, policies = kept
    year = Year(policies, keep, seed)
    year.run()
    assert year.registry.deleted > 50
    for package in {v.package for v in year.registry.versions}:
        old = [v for v in year.registry.of(package) if YEAR - v.uploaded > 31]
        assert len(old) <= keep + 1, f"{package} is never cleaned up"


@pytest.mark.parametrize("policy", ["used", "newest"])
def test_every_policy_that_keeps_is_needed(policy: str) -> None:
    rest = [p for p in declared(2) if p["id"] != policy]
    with pytest.raises(AssertionError, match=r"is gone|is empty"):
        Year(rest, 2, seed=1).run()


def test_a_recent_image_is_kept_whatever_it_is(kept: tuple[int, Policies]) -> None:
    keep, policies = kept
    registry = Registry()
    pushed = [registry.push(day, "keeper") for day in range(31)]
    registry.clean(policies, 30)
    assert registry.versions == pushed
    registry.clean(policies, YEAR)
    assert registry.versions == pushed[-keep:]


def test_images_that_the_stack_file_names_are_kept_whatever_is_pushed_later() -> None:
    registry = Registry()
    given = [registry.push(0, program, "v1") for program in PROGRAMS]
    other = registry.push(0, "app")
    for day in range(1, 30):
        for program in PROGRAMS:
            registry.push(day, program)
    host = "europe-west4-docker.pkg.dev/example-bots-prod/prod-bots"
    images = {v.package: f"{host}/{v.package}:v1@{v.digest}" for v in given}
    registry.clean(declared(2, images), YEAR)
    assert [v for v in registry.versions if v in given] == given
    assert other not in registry.versions


def test_the_stand_in_deletes_what_googles_example_says() -> None:
    policies = [
        {"id": "1", "action": "DELETE", "condition": {"olderThan": "8640000s"}},
        {"id": "2", "action": "KEEP", "condition": {"versionNamePrefixes": ["2.0.6"]}},
        {"id": "3", "action": "DELETE", "condition": {"tagPrefixes": ["default"]}},
    ]
    registry = Registry()
    registry.versions = [
        Version("b", "2.0.6", -150, {"default"}),
        Version("a", "2.0.1", -120, {"default"}),
        Version("c", "1.9.2", -20, {"patch"}),
    ]
    registry.clean(policies, 0)
    assert [v.package for v in registry.versions] == ["b", "c"]
