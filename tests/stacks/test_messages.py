"""Every mistake in a stack file, and everything that the machine lacks, has its reviewed line."""

# pyright: reportPrivateUsage=false

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UserError
from stacks import config, stack_file, surroundings
from tests import messages
from tests.stacks.recorder import stack_values
from tests.stacks.test_config import ARCHIVE, MISTAKES, Values, change

TRAINING = {"zones": ["europe-west4-a"], "machine_type": "n1-standard-4"}
T4 = "nvidia-tesla-t4"
FURTHER: dict[str, Callable[[Values], None]] = {
    "a value that is cut": change("accounts.keeper.handle", ["x" * 200]),
    "a key that does not print": change("accounts.keeper.a\nb", 1),
    "an account that does not print": change("accounts.a\nb", ARCHIVE),
    "a top key like no other": change("zzz", {}),
    "an account's key like no other": change("accounts.keeper.zzz", 1),
    "a consent of two letters": change("accounts.keeper.consent", "me"),
    "no instance": change("accounts.keeper.serve", {"max_instances": 0}),
    "eleven instances": change("accounts.keeper.serve", {"max_instances": 11}),
    "a public that is no truth value": change("accounts.keeper.serve", {"public": "perhaps"}),
    "a negative limit": change("accounts.keeper.posts_usd_per_month", -1),
    "a limit beyond all means": change("accounts.keeper.posts_usd_per_month", 100_001),
    "a limit in tenths of a cent": change("accounts.keeper.posts_usd_per_month", 0.001),
    "something else to learn": change("accounts.keeper.learn", {"retweets": True}),
    "apps that count twice": change("accounts.keeper.learn", {"apps": "twice"}),
    "a text without words": change("accounts.keeper.learn", {"min_words": 0}),
    "a pattern that is none": change("accounts.keeper.learn", {"exclude": {"patterns": ["(a"]}}),
    "a pattern that looks ahead": change(
        "accounts.keeper.learn", {"exclude": {"patterns": ["a(?=b)"]}}
    ),
    "an id that is a number": change("accounts.keeper.learn", {"exclude": {"ids": [17]}}),
    "an exclusion like no other": change("accounts.keeper.learn", {"exclude": {"names": []}}),
    "a source like no other": change("accounts.keeper.source", "hearsay"),
    "a time zone of the schedule": change("training.time_zone", ""),
    "a machine with its own GPU and another": change(
        "training", {**TRAINING, "machine_type": "g2-standard-4", "gpu": {"type": T4}}
    ),
    "a machine like no other": change("training.machine_type", "m9-huge-1"),
    "a GPU of which there are not three": change(
        "training", {**TRAINING, "gpu": {"type": T4, "count": 3}}
    ),
    "no GPU": change("training", {**TRAINING, "gpu": {"type": T4, "count": 0}}),
    "nine GPUs": change("training", {**TRAINING, "gpu": {"type": T4, "count": 9}}),
    "a GPU where none can be": change(
        "training", {**TRAINING, "machine_type": "e2-standard-4", "gpu": {"type": T4}}
    ),
    "an A100 in an odd number": change("training.machine_type", "a2-highgpu-3g"),
    "an A100 of 80 GB in an odd number": change("training.machine_type", "a2-ultragpu-3g"),
    "an H100 in an odd number": change("training.machine_type", "a3-highgpu-3g"),
    "a fallback without a schedule": change(
        "training", {**TRAINING, "fallbacks": [{"machine_type": "g2-standard-4"}]}
    ),
    "a fallback that is the first": change(
        "training",
        {
            **TRAINING,
            "schedule": "0 2 * * 6",
            "gpu": {"type": T4},
            "fallbacks": [{"machine_type": "n1-standard-4", "gpu": {"type": T4}}],
        },
    ),
    "a disk that is too small": change("training.disk_gb", 19),
    "a disk that is too large": change("training.disk_gb", 2001),
    "no hours": change("training.hours", 0),
    "four days": change("training.hours", 73),
    "no worker": change("training.workers", 0),
    "too many workers": change("training.workers", 21),
    "a zone that is none": change("training.zones", ["europe"]),
    "days that Google does not keep for": change("keep", {"tweets_days": 6}),
    "negative days": change("keep", {"models_days": -1}),
    "more days than Google keeps for": change("keep", {"models_days": 91}),
    "one release": change("keep", {"releases": 1}),
    "too many releases": change("keep", {"releases": 101}),
    "a watch once a day": change(
        "monitoring", {"watch": "0 0 * * *", "emails": ["someone@example.com"]}
    ),
    "a watch with a gap of thirteen hours": change(
        "monitoring", {"watch": "0 0,11 * * *", "emails": ["someone@example.com"]}
    ),
    "a watch of a channel once a day": change(
        "monitoring",
        {
            "watch": "0 0 * * *",
            "channels": ["projects/example-bots-dev/notificationChannels/1"],
        },
    ),
    "an address that is none": change("monitoring", {"emails": ["someone"]}),
    "an address three times": change("monitoring", {"emails": ["a@example.com"] * 3}),
    "a channel that is none": change("monitoring", {"channels": ["pager"]}),
    "a channel of another project": change(
        "monitoring", {"channels": ["projects/another-project/notificationChannels/1"]}
    ),
    "a channel twice": change(
        "monitoring", {"channels": ["projects/example-bots-dev/notificationChannels/1"] * 2}
    ),
    "a budget of nothing": change(
        "monitoring",
        {"budget": {"billing_account": "01ABCD-23EF45-6789AB", "amount_per_month": 0}},
    ),
    "a budget beyond all means": change(
        "monitoring",
        {"budget": {"billing_account": "01ABCD-23EF45-6789AB", "amount_per_month": 10**9 + 1}},
    ),
    "a billing account that is none": change(
        "monitoring", {"budget": {"billing_account": "mine", "amount_per_month": 1}}
    ),
    "an emulator elsewhere": change("emulator", "http://localhost:9080"),
    "an image by tag": change("images", {"app": "registry/app:latest"}),
    "a build region that is none": change("build_region", "everywhere"),
    "a project of an account that is none": change("accounts.keeper.project", "X"),
    "more accounts than a project holds": change(
        "accounts",
        {f"bot{n}": {**ARCHIVE, "handle": f"bot{n}"} for n in range(config.MOST_ACCOUNTS + 1)},
    ),
    "a file of accounts that is missing": change("accounts_file", "nowhere.yaml"),
    "a file of accounts that is no YAML": change("accounts_file", "broken.yaml"),
    "a file of accounts with a list": change("accounts_file", "list.yaml"),
    "a file with an account of the stack file": change("accounts_file", "more.yaml"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "broken.yaml").write_text("a: [")
    (tmp_path / "list.yaml").write_text("- a")
    (tmp_path / "more.yaml").write_text("keeper: {}")
    (tmp_path / "Pulumi.list.yaml").write_text("- a")
    (tmp_path / "Pulumi.broken.yaml").write_text("config: [")
    (tmp_path / "Pulumi.empty.yaml").write_text("{}")
    return tmp_path


def message(call: Callable[..., object], *args: Any, **named: Any) -> str:
    with pytest.raises(UserError) as raised:
        call(*args, **named)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_mistake_in_a_stack_file_has_its_reviewed_line(folder: Path) -> None:
    said: dict[str, str] = {}
    for name, apply in {
        **{name: apply for name, (apply, _) in MISTAKES.items()},
        **FURTHER,
    }.items():
        values = stack_values("dev")
        apply(values)
        said[name] = message(stack_file.load, "dev", values, folder)
    messages.check("stack-file", said)


def test_a_stack_file_that_is_none_has_its_reviewed_line(folder: Path) -> None:
    said = {
        name: message(stack_file.read, folder / f"Pulumi.{name}.yaml").replace(
            str(folder), "FOLDER"
        )
        for name in ("nowhere", "list", "broken", "empty")
    }
    messages.check("no-stack-file", said)


def test_what_the_machine_lacks_has_its_reviewed_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answers(host: str) -> bool:
        return host == "ssh://elsewhere"

    for name in ("DOCKER_HOST", "DOCKER_TLS_VERIFY", surroundings.ATTACHED):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setattr(surroundings, "_answers", answers)
    dev = stack_file.load("dev", stack_values("dev"))
    said = {
        "no local cloud": message(
            surroundings.check,
            stack_file.load("local", stack_values("local")),
            {},
            preview=False,
        ),
        "no daemon": message(surroundings.check, dev, {}, preview=False),
        "no daemon at a given address": message(
            surroundings.check, dev, {"docker:host": "tcp://127.0.0.1:1"}, preview=False
        ),
    }
    monkeypatch.setenv("DOCKER_HOST", "ssh://elsewhere")
    said["no credentials"] = message(surroundings.check, dev, {}, preview=False)
    (folder / "config.json").write_text(
        '{"credHelpers": {"europe-west4-docker.pkg.dev": "nowhere"}}'
    )
    said["no helper"] = message(surroundings.check, dev, {}, preview=False)
    messages.check(
        "surroundings", {name: text.replace(str(folder), "FOLDER") for name, text in said.items()}
    )


@pytest.mark.parametrize(
    ("host", "connects"),
    [("tcp://127.0.0.1:1", True), ("http://127.0.0.1:1", True), ("ssh://elsewhere", False)],
)
def test_a_daemon_is_asked_for_ten_seconds_unless_it_is_reached_by_ssh_or_tls(
    monkeypatch: pytest.MonkeyPatch, host: str, connects: bool
) -> None:
    opened: list[Any] = []

    class Connection:
        def __init__(self, place: str, timeout: float) -> None:
            opened.append((place, timeout))

        def request(self, method: str, path: str) -> None:
            assert (method, path) == ("GET", "/_ping")
            raise OSError

        def close(self) -> None:
            opened.append("closed")

    monkeypatch.delenv("DOCKER_TLS_VERIFY", raising=False)
    monkeypatch.setattr(surroundings.http.client, "HTTPConnection", Connection)
    assert surroundings._answers(host) != connects
    place = host.partition("://")[2]
    assert opened == ([("docker", 10), (place, 10), "closed"] if connects else [])
    opened.clear()
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    assert surroundings._answers(host)
    assert opened == []


def test_every_refused_bound_is_the_first_beyond_it() -> None:
    """The values just within the bounds that the mistakes above are just beyond."""
    for apply in (
        change("accounts.keeper.consent", "dad"),
        change("accounts.keeper.serve", {"max_instances": 10}),
        change("accounts.keeper.posts_usd_per_month", 100_000),
        change("accounts.keeper.posts_usd_per_month", 0),
        change("training", {**TRAINING, "gpu": {"type": "nvidia-tesla-v100", "count": 8}}),
        change("training.disk_gb", 20),
        change("training.disk_gb", 2000),
        change("training.hours", 1),
        change("training.hours", 72),
        change("training.workers", 20),
        change("keep", {"tweets_days": 7, "models_days": 90, "releases": 2}),
        change("keep", {"tweets_days": 0, "models_days": 0, "releases": 100}),
        change("monitoring", {"watch": "0 */12 * * *", "emails": ["someone@example.com"]}),
        change("monitoring", {"watch": "0 0 * * *"}),
        change("monitoring", {"channels": ["projects/example-bots-dev/notificationChannels/1"]}),
        change(
            "monitoring",
            {"budget": {"billing_account": "01ABCD-23EF45-6789AB", "amount_per_month": 1}},
        ),
        change(
            "monitoring",
            {"budget": {"billing_account": "01ABCD-23EF45-6789AB", "amount_per_month": 10**9}},
        ),
        change(
            "accounts",
            {f"bot{n}": {**ARCHIVE, "handle": f"bot{n}"} for n in range(config.MOST_ACCOUNTS)},
        ),
    ):
        values = stack_values("dev")
        apply(values)
        stack_file.load("dev", values)


def test_every_machine_type_that_the_program_knows_is_accepted() -> None:
    known = [
        *(f"g2-standard-{size}" for size in (4, 8, 12, 16, 24, 32, 48, 96)),
        *(
            f"{family}-{size}g"
            for family in ("a2-highgpu", "a2-ultragpu", "a3-highgpu")
            for size in (1, 2, 4, 8)
        ),
        *(
            f"{family}-standard-8"
            for family in ("n1", "n2", "n2d", "e2", "c2", "c2d", "c3", "c4", "t2d")
        ),
        "n1-highmem-96",
        "n1-highcpu-2",
    ]
    attached = [
        *((f"nvidia-tesla-{name}", count) for name in ("t4", "p4", "p100") for count in (1, 2, 4)),
        *(("nvidia-tesla-v100", count) for count in (1, 2, 4, 8)),
    ]
    for machine in known:
        hardware = config.Hardware(machine_type=machine)
        assert hardware.has_gpu == machine.startswith(("g2", "a2", "a3"))
        assert hardware.name == machine
    for name, count in attached:
        hardware = config.Hardware(
            machine_type="n1-standard-4", gpu=config.Gpu(type=name, count=count)
        )
        assert hardware.has_gpu
        assert hardware.name == f"n1-standard-4-{count}x-{name}"
