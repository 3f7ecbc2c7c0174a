"""The resources of an account depend only on its own entry in the stack file."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import documents
from pipeline.declared import Declared as DeclaredAccount
from pipeline.learn import Learn
from tests.stacks.environments import everything
from tests.stacks.recorder import Declared, Recorder, declare
from tests.stacks.test_config_fuzz import often

NAMES = ["heron", "mole", "otter", "zebra"]
EXAMPLES = [
    pytest.param(4, id="some"),
    pytest.param(40, id="many", marks=pytest.mark.deep),
]


def declared(names: list[str]) -> Recorder:
    """The environment with every key set and these accounts in this order."""
    kinds = list(everything()["gpt2-bots:accounts"].values())
    accounts = {
        name: {**kinds[n % len(kinds)], "handle": name} for n, name in enumerate(NAMES)
    }  # fmt: skip
    accounts["otter"]["project"] = "example-bots-more"
    values = {**everything(), "gpt2-bots:accounts": {name: accounts[name] for name in names}}
    # A project's share of this limit depends on the number of accounts.
    del values["gpt2-bots:reads_usd_per_month"]
    return declare("prod", values)


def by_key(recorder: Recorder) -> dict[tuple[str, str], Declared]:
    return {resource.key: resource for resource in recorder.resources}


@pytest.fixture(scope="module")
def full() -> dict[tuple[str, str], Declared]:
    return by_key(declared(NAMES))


@pytest.mark.parametrize("examples", EXAMPLES)
def test_the_order_of_accounts_has_no_effect(full: dict[Any, Declared], examples: int) -> None:
    @given(st.permutations(NAMES))
    def check(names: list[str]) -> None:
        assert by_key(declared(names)) == full

    often(check, examples)


def test_programs_read_what_the_stack_file_says_of_an_account(
    full: dict[Any, Declared],
) -> None:
    key = ("gcp:storage/bucketObject:BucketObject", "heron-declared")
    content: str = full[key].inputs["content"]["value"]  # the SDK makes a secret of it
    assert json.loads(content)["version"] == documents.current_version(DeclaredAccount)
    read = documents.parse(DeclaredAccount, content.encode(), "heron")
    said = everything()["gpt2-bots:accounts"]["keeper"]
    assert Learn.model_validate(said["learn"]).match(read.learn)
    assert (read.post, read.collect, read.time_zone) == (said["post"], None, said["time_zone"])


# What all tweet APIs share. It is not declared if no account has a tweet API.
SHARED = {"serving", "api", "models-api-viewer"}


@pytest.mark.parametrize("examples", EXAMPLES)
def test_removing_accounts_renames_and_changes_nothing_of_the_others(
    full: dict[Any, Declared], examples: int
) -> None:
    @given(st.sets(st.sampled_from(NAMES)))
    def check(removed: set[str]) -> None:
        left = by_key(declared([name for name in NAMES if name not in removed]))
        assert left.keys() <= full.keys()
        for key, resource in left.items():
            if any(name in resource.name for name in NAMES):
                assert resource == full[key]
        gone = {
            (kind, name)
            for kind, name in full.keys() - left.keys()
            if not kind.endswith(":Service")
            and name.removeprefix("example-bots-more-") not in SHARED
        }
        of_a_project = "example-bots-more" if "otter" in removed else "-"
        assert all(any(n in name for n in [*removed, of_a_project]) for _, name in gone)

    often(check, examples)
