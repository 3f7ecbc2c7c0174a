"""The environments that tests run over: the three stacks, and one with every key set."""

import copy
from collections.abc import Callable
from typing import Any

from tests.stacks.recorder import stack_values

Values = dict[str, Any]

_DIGEST = "sha256:" + "0123456789abcdef" * 4
_IMAGES = {
    program: f"europe-west4-docker.pkg.dev/example-bots-prod/prod-bots/{program}@{_DIGEST}"
    for program in ("app", "control", "scraper", "trainer")
}
_GPU = {"type": "nvidia-tesla-t4", "count": 2}


def everything() -> Values:
    """prod, with every key of every model set.

    The exceptions are `emulator`, which only the local stack has, and `accounts_file`, which is
    another way to write accounts.
    """
    values = stack_values("prod")
    values["gpt2-bots:accounts"] = {
        "keeper": {
            "handle": "lampkeeper",
            "source": "archive",
            "consent": "the operator's own account",
            "time_zone": "Europe/London",
            "post": "0 9,17 * * *",
            "learn": {
                "replies": True,
                "quotes": False,
                "apps": "never",
                "hashtags": "words",
                "mentions": "drop",
                "min_words": 3,
                "exclude": {"words": ["my boss"], "patterns": [r"^day \d+"], "ids": ["20"]},
            },
            "posts_usd_per_month": 7.5,
            "serve": {"public": True, "max_instances": 2},
        },
        "baker": {
            "handle": "grumpybaker",
            "source": "timeline",
            "consent": "letter of the account's owner",
            "x_terms_acknowledged": True,
            "time_zone": "Europe/Paris",
            "collect": "15 5 * * *",
            "post": "30 8 * * *",
            "reads_usd_per_month": 10,
            "read_with": "keys",
            "serve": {},
        },
        "frog": {
            "handle": "weatherfrog",
            "source": "archive",
            "consent": "a made-up account",
            "project": "example-bots-more",
            "post": "0 12 * * *",
        },
    }
    values["gpt2-bots:reads_usd_per_month"] = 25
    values["gpt2-bots:training"] = {
        "zones": ["europe-west4-a", "europe-west4-b"],
        "machine_type": "n1-standard-8",
        "gpu": _GPU,
        "disk_gb": 120,
        "spot": True,
        "hours": 3,
        "run": "2026-11-23",
        "schedule": "0 2 * * 6",
        "time_zone": "Europe/Paris",
        "workers": 2,
        "fallbacks": [
            {"machine_type": "g2-standard-8"},
            {"machine_type": "n1-standard-16", "gpu": _GPU},
        ],
        "public_address": False,
        "settings": {
            "base_model": "124M",
            "steps": 400,
            "learning_rate": 0.0002,
            "batch_size": 2,
            "window": 128,
            "save_every": 40,
            "min_tweets": 50,
            "min_new_tweets": 10,
            "seed": 2,
        },
    }
    values["gpt2-bots:build_region"] = "europe-west1"
    values["gpt2-bots:images"] = dict(_IMAGES)
    values["gpt2-bots:keep"] = {"tweets_days": 0, "models_days": 14, "releases": 5}
    values["gpt2-bots:monitoring"] = {
        "emails": ["operator@example.com"],
        "channels": ["projects/example-bots-prod/notificationChannels/1234567890"],
        "watch": "*/10 * * * *",
        "budget": {"billing_account": "01ABCD-23EF45-6789AB", "amount_per_month": 50},
    }
    values["gpt2-bots:throw_away"] = False
    return values


def _with_a_run(stack: str) -> Values:
    values = stack_values(stack)
    values["gpt2-bots:training"]["run"] = "2026-11-23"
    return values


_VALUES: dict[str, Callable[[], Values]] = {
    "local": lambda: _with_a_run("local"),
    "dev": lambda: _with_a_run("dev"),
    "prod": lambda: _with_a_run("prod"),
    "everything": everything,
}
ENVIRONMENTS = list(_VALUES)


def environment(name: str) -> Values:
    """A copy of the values of one environment, with a training run by hand."""
    return copy.deepcopy(_VALUES[name]())


def stack_of(name: str) -> str:
    """The stack of an environment."""
    return "prod" if name == "everything" else name
