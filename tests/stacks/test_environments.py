"""The stack files differ only where they should."""

from collections.abc import Iterator
from typing import Any

from pydantic import JsonValue

from tests.stacks.recorder import stack_values

# Keys in which dev and prod may differ, with the reason; `…` means all keys below.
MAY_DIFFER = {
    "gcp:project": "each environment has a project of its own",
    "gpt2-bots:throw_away": "dev's data can be deleted",
    "gpt2-bots:accounts…": "bots are tried in dev first",
    "gpt2-bots:accounts_file": "bots are tried in dev first",
    "gpt2-bots:training.spot": "dev is cheap",
    "gpt2-bots:training.hours": "dev is cheap",
    "gpt2-bots:training.schedule": "in dev, people start the runs",
    "gpt2-bots:training.time_zone": "dev has no schedule",
    "gpt2-bots:training.workers": "dev has few accounts",
    "gpt2-bots:training.fallbacks…": "dev can wait",
    "gpt2-bots:training.public_address": "a NAT gateway costs more than dev",
    "gpt2-bots:training.run": "people start runs",
    "gpt2-bots:keep…": "dev's data can be deleted",
    "gpt2-bots:monitoring…": "nobody is woken for dev",
    "gpt2-bots:images…": "prod may take what dev has built",
}


def leaves(value: JsonValue, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value that is not a map, by its dotted path."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else key)
    else:
        yield path, value


def may_differ(path: str) -> bool:
    return any(
        path == place or (place.endswith("…") and path.startswith(place.removesuffix("…")))
        for place in MAY_DIFFER
    )


def different(one: str, other: str) -> set[str]:
    """The paths whose values differ, or that only one of two stack files has."""
    values = [dict(leaves(stack_values(name))) for name in (one, other)]
    paths = values[0].keys() | values[1].keys()
    return {path for path in paths if len({repr(v.get(path, "absent")) for v in values}) > 1}


def test_dev_and_prod_differ_only_where_they_may() -> None:
    assert {path for path in different("dev", "prod") if not may_differ(path)} == set()


def test_only_the_local_stack_is_not_on_google() -> None:
    assert "gpt2-bots:emulator" in stack_values("local")
    for name in ("dev", "prod"):
        assert "gpt2-bots:emulator" not in stack_values(name)


def test_dev_is_cheap_and_can_be_thrown_away_and_prod_cannot() -> None:
    dev, prod = stack_values("dev"), stack_values("prod")
    assert dev["gpt2-bots:throw_away"] is True
    assert not prod.get("gpt2-bots:throw_away")
    assert dev["gpt2-bots:training"]["spot"] is True
    assert dev["gpt2-bots:training"]["hours"] <= prod["gpt2-bots:training"]["hours"]


def test_no_stack_file_names_a_training_run() -> None:
    for name in ("local", "dev", "prod"):
        assert "run" not in stack_values(name)["gpt2-bots:training"]
