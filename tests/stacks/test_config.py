"""A mistake in a stack file is one line that names the key, the value and what to do."""

import copy
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UserError
from stacks import config, machines, stack_file
from tests.stacks.recorder import ROOT, stack_values

Values = dict[str, Any]


def change(path: str, value: Any) -> Callable[[Values], None]:
    """Set one value. `path` is a dotted key of gpt2-bots, or a whole gcp: key."""

    def apply(values: Values) -> None:
        if path.startswith("gcp:"):
            values[path] = value
            return
        first, *rest = path.split(".")
        where: Any = values
        for part in [f"gpt2-bots:{first}", *rest][:-1]:
            where = where.setdefault(part, {})
        where[rest[-1] if rest else f"gpt2-bots:{first}"] = value

    return apply


ARCHIVE = {"handle": "someone", "source": "archive", "consent": "a made-up account"}
MISTAKES: dict[str, tuple[Callable[[Values], None], str]] = {
    "misspelt account key": (
        change("accounts.keeper.hande", "x"),
        "gpt2-bots:accounts.keeper.hande: unknown key; did you mean 'handle'?",
    ),
    "misspelt training setting": (
        change("training.settings.stesp", 3),
        "gpt2-bots:training.settings.stesp: unknown key; did you mean 'steps'?",
    ),
    "misspelt top key": (change("acounts", {}), "gpt2-bots:acounts: unknown key; did you mean"),
    "unknown time zone": (
        change("accounts.keeper.time_zone", "Mars/Olympus"),
        "accounts.keeper.time_zone: 'Mars/Olympus' is not an IANA time zone",
    ),
    "bad cron": (
        change("accounts.keeper.post", "61 * * * *"),
        "accounts.keeper.post: '61 * * * *' is not a cron expression: Bad minute",
    ),
    "cron of six fields": (change("accounts.keeper.post", "0 * * * * *"), "of five fields"),
    "cron that never comes": (change("accounts.keeper.post", "0 0 30 2 *"), "cron expression"),
    "impossible handle": (
        change("accounts.keeper.handle", "@lampkeeper"),
        "accounts.keeper.handle: '@lampkeeper' is not a handle of X",
    ),
    "two accounts with one handle": (
        change("accounts.other", {**ARCHIVE, "handle": "LampKeeper"}),
        "accounts.other.handle: accounts.keeper has the handle 'LampKeeper', too",
    ),
    "an account named as a program image": (
        change("accounts.trainer", ARCHIVE),
        "accounts.trainer: the program itself uses this name",
    ),
    "an account name that cannot be": (
        change("accounts.Big Bird", ARCHIVE),
        "accounts.Big Bird: 'Big Bird' is not a valid account name",
    ),
    "zone outside the region": (
        change("training.zones", ["us-central1-a"]),
        "training.zones: 'us-central1-a' is not in gcp:region 'europe-west4'",
    ),
    "no zone": (change("training.zones", []), "training.zones"),
    "unknown machine": (
        change("training.machine_type", "g2-standard-5"),
        "machine_type: 'g2-standard-5' does not exist; use one of g2-standard-4",
    ),
    "unknown GPU": (
        change(
            "training",
            {
                "zones": ["europe-west4-a"],
                "machine_type": "n1-standard-4",
                "gpu": {"type": "nvidia-t4"},
            },
        ),
        "gpu.type: 'nvidia-t4' is unknown; use one of nvidia-tesla-t4",
    ),
    "run that is no name": (
        change("training.run", "Second try!"),
        "training.run: 'Second try!' is not a valid run name",
    ),
    "run named as one of a run's machines": (
        change("training.run", "second-1of2"),
        "training.run: 'second-1of2' is not a valid run name",
    ),
    "timeline without acknowledgement": (
        change("accounts.keeper.source", "timeline"),
        "accounts.keeper: collecting a timeline needs `x_terms_acknowledged: true`",
    ),
    "archive on a schedule": (
        change("accounts.keeper.collect", "0 1 * * *"),
        "accounts.keeper: `collect` is for timelines",
    ),
    "keys that read nothing": (
        change("accounts.keeper.read_with", "keys"),
        "accounts.keeper: `read_with: keys` says how a timeline is read, and nothing reads",
    ),
    "no consent": (
        change("accounts.other", {"handle": "someone", "source": "archive"}),
        "accounts.other.consent: missing",
    ),
    "limit that is no number": (
        change("accounts.keeper.posts_usd_per_month", "lots"),
        "accounts.keeper.posts_usd_per_month: 'lots'",
    ),
    "accounts as a list": (change("accounts", [ARCHIVE]), "gpt2-bots:accounts"),
    "project that cannot be": (change("gcp:project", "My Project"), "gcp:project: 'My Project'"),
    "region that cannot be": (change("gcp:region", "europe"), "gcp:region: 'europe'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_that_names_the_key_the_value_and_what_to_do(mistake: str) -> None:
    apply, expected = MISTAKES[mistake]
    values = copy.deepcopy(stack_values("dev"))
    apply(values)
    with pytest.raises(UserError) as raised:
        stack_file.load("dev", values)
    assert expected in str(raised.value)
    assert str(raised.value).startswith("stacks/Pulumi.dev.yaml: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("stack", ["local", "dev", "prod"])
def test_the_engine_and_the_file_give_the_same_stack(stack: str) -> None:
    import json

    values = stack_values(stack)
    flat = {k: v if isinstance(v, str) else json.dumps(v) for k, v in values.items()}
    assert stack_file.from_engine(stack, flat) == stack_file.read(
        ROOT / f"stacks/Pulumi.{stack}.yaml"
    )


@pytest.mark.parametrize(
    "text", ["2026-11-23", date(2026, 11, 23), "2026-11-23 00:00:00 +0000 UTC"]
)
def test_an_unquoted_date_names_a_run(text: object) -> None:
    values = stack_values("dev")
    values["gpt2-bots:training"]["run"] = text
    stack = stack_file.load("dev", values)
    assert stack.training is not None
    assert stack.training.run == "2026-11-23"


def test_the_error_for_a_missing_stack_file_says_how_to_create_one(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match="no such stack file; create it with `pulumi stack init mine`"
    ):
        stack_file.read(tmp_path / "Pulumi.mine.yaml")


@pytest.mark.parametrize("text", ["config: [", "", "- a", "config: 3"])
def test_a_file_that_is_not_a_stack_file_is_one_line_of_error(tmp_path: Path, text: str) -> None:
    file = tmp_path / "Pulumi.mine.yaml"
    file.write_text(text)
    with pytest.raises(UserError) as raised:
        stack_file.read(file)
    assert "\n" not in str(raised.value)


def test_a_stack_may_have_no_accounts() -> None:
    values = stack_values("dev")
    del values["gpt2-bots:accounts"]
    assert dict(stack_file.load("dev", values).accounts) == {}


def test_a_stack_cannot_be_changed_after_it_was_read() -> None:
    stack = stack_file.read(ROOT / "stacks/Pulumi.dev.yaml")
    with pytest.raises(TypeError):
        stack.accounts["new"] = stack.accounts["keeper"]  # pyright: ignore[reportIndexIssue]


def test_more_accounts_than_a_project_holds_are_refused() -> None:
    values = stack_values("dev")
    values["gpt2-bots:accounts"] = {
        f"bot{n}": {**ARCHIVE, "handle": f"bot{n}"} for n in range(config.MOST_ACCOUNTS + 1)
    }
    with pytest.raises(UserError, match="91 in project 'example-bots-dev' are more than the 90"):
        stack_file.load("dev", values)


@pytest.mark.parametrize(
    ("machine", "gpu"),
    [
        ("g2-standard-4", None),
        ("a2-highgpu-1g", None),
        ("n1-standard-8", ("nvidia-tesla-t4", 2)),
        ("e2-standard-4", None),
    ],
)
def test_machines_that_exist_are_accepted(machine: str, gpu: tuple[str, int] | None) -> None:
    machines.check(machine, gpu)


@pytest.mark.parametrize(
    ("machine", "gpu"),
    [
        ("g2-standard-4", ("nvidia-tesla-t4", 1)),
        ("n1-standard-8", ("nvidia-tesla-t4", 3)),
        ("e2-standard-4", ("nvidia-tesla-t4", 1)),
        ("m9-huge-1", None),
        ("", None),
    ],
)
def test_machines_that_do_not_exist_are_refused(machine: str, gpu: tuple[str, int] | None) -> None:
    with pytest.raises(ValueError, match=r"machine_type|gpu"):
        machines.check(machine, gpu)


@pytest.mark.parametrize("name", ["handle", "serve", "accounts"])
def test_mistakes_of_an_account_that_is_named_like_a_key_are_found(name: str) -> None:
    values = stack_values("dev")
    values["gpt2-bots:accounts"] = {name: {**ARCHIVE, "hande": "x"}}
    with pytest.raises(UserError, match=rf"accounts\.{name}\.hande: .*did you mean 'handle'"):
        stack_file.load("dev", values)


def test_the_error_names_which_of_several_fallbacks_is_wrong() -> None:
    values = stack_values("prod")
    values["gpt2-bots:training"]["fallbacks"] = [{"machine_type": "g2-standard-8", "gqu": 1}]
    with pytest.raises(UserError, match=r"fallbacks\.0\.gqu: .*did you mean 'gpu'"):
        stack_file.load("prod", values)
