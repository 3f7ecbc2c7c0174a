"""How texts and numbers of a stack file have to look: types that check and describe them."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema

from pipeline import layout


@dataclass(frozen=True)
class Form:
    """How a text has to look: the pattern of all of it, and what a person calls it.

    Checks values, and describes them in the JSON Schema of the stack file.
    """

    pattern: str
    what: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        # The last is the editors' own: what they say of a text that does not match.
        return {
            **handler(schema),
            "pattern": f"^({self.pattern})$",
            "patternErrorMessage": f"not {self.what}",
        }

    def _check(self, value: str) -> str:
        if not re.fullmatch(self.pattern, value):
            raise ValueError(f"{value!r} is not {self.what}")
        return value


def _cron(value: str) -> str:
    try:
        next(CronSim(value, datetime.now(UTC)))
    except CronSimError as error:
        raise ValueError(f"{value!r} is not a cron expression: {error}") from None
    except StopIteration:
        raise ValueError(f"{value!r} never comes: no date matches it") from None
    return value


def comes_within(cron: str, most: timedelta) -> bool:
    """Whether a cron expression's ticks, in UTC, are never further apart than that in a year."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    end = now + timedelta(days=366)
    while now < end:
        # The last tick in reach, since a year has half a million minutes.
        tick = next(CronSim(cron, now + most + timedelta(minutes=1), reverse=True))
        if tick <= now:
            return False
        now = tick
    return True


def _time_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, OSError, ValueError):
        raise ValueError(
            f"{value!r} is not a time zone of the IANA list, such as 'Europe/Paris' or 'Etc/UTC'"
        ) from None
    return value


def _run(value: object) -> object:
    """Let YAML's dates through: an unquoted 2026-11-23 is one, and the engine adds a time."""
    if isinstance(value, date):
        return value.isoformat()[:10]
    if isinstance(value, str):
        return value.removesuffix(" 00:00:00 +0000 UTC")
    return value


Cron = Annotated[
    str,
    Form(
        r"\S+( +\S+){4}",
        "a cron expression of five fields (minute hour day-of-month month day-of-week),"
        " such as '0 9 * * *'",
    ),
    AfterValidator(_cron),
]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
Handle = Annotated[
    str,
    Form(
        r"[A-Za-z0-9_]{1,15}",
        "a handle that X can have: 1 to 15 letters, digits and underscores, without the @",
    ),
]
AccountName = Annotated[
    str,
    Form(
        layout.ACCOUNT,
        "a name for an account: 1 to 30 lower-case letters, digits and hyphens, a letter first",
    ),
]
ProjectId = Annotated[
    str,
    Form(
        r"[a-z][a-z0-9-]{4,28}[a-z0-9]",
        "a Google Cloud project id: 6 to 30 lower-case letters, digits and hyphens",
    ),
]
Region = Annotated[
    str, Form(r"[a-z]+-[a-z]+[0-9]+", "a Google Cloud region, such as 'europe-west4'")
]
BuildRegion = Annotated[
    str,
    Form(
        r"global|[a-z]+-[a-z]+[0-9]+", "'global' or a Google Cloud region, such as 'europe-west1'"
    ),
]
Zone = Annotated[
    str, Form(r"[a-z]+-[a-z]+[0-9]+-[a-z]", "a Google Cloud zone, such as 'europe-west4-a'")
]
RunId = Annotated[
    str,
    BeforeValidator(_run),
    Form(
        # RUN-1of2 is what the first of a run's two machines is named.
        r"(?!(.*-)?[0-9]+of[0-9]+$)[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?",
        "a name for a run: 1 to 40 lower-case letters, digits and hyphens, such as '2026-11-23',"
        " not ending like '1of2'",
    ),
]
Address = Annotated[
    str,
    Form(
        r"http://127\.0\.0\.1:[0-9]{2,5}",
        "an address of the local cloud, such as 'http://127.0.0.1:9080'",
    ),
]
BillingAccount = Annotated[
    str,
    Form(
        r"[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}", "a billing account, such as '01ABCD-23EF45-6789AB'"
    ),
]
Email = Annotated[str, Form(r"[^@\s]+@[^@\s]+\.[^@\s]+", "an e-mail address")]
NotificationChannel = Annotated[
    str,
    Form(
        r"projects/[a-z][a-z0-9-]{4,28}[a-z0-9]/notificationChannels/[0-9]+",
        "a notification channel, such as 'projects/my-project/notificationChannels/1234567890'",
    ),
]
ImageReference = Annotated[
    str,
    Form(
        layout.IMAGE,
        "an image by digest, such as"
        " 'europe-west4-docker.pkg.dev/project/repository/app@sha256:…' with its 64 digits",
    ),
]
Dollars = Annotated[Decimal, Field(ge=0, le=100_000, decimal_places=2)]


def _retention(days: int) -> int:
    if 0 < days < 7:
        raise ValueError(
            f"{days} days cannot be had: Cloud Storage keeps what was deleted for 7 to 90 days,"
            " or, with 0, not at all"
        )
    return days


Days = Annotated[int, Field(ge=0, le=90), AfterValidator(_retention)]
