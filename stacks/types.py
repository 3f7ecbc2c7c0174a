"""The types of a stack file's values. Each checks a value and describes it in the JSON Schema."""

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
class Pattern:
    """A regular expression that a whole text must match, and a description of such a text.

    pydantic calls it to check values, and to describe them in the JSON Schema of the stack file.
    """

    regex: str
    name: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {
            **handler(schema),
            "pattern": f"^({self.regex})$",
            # This is not in JSON Schema. Editors show it for a text that does not match.
            "patternErrorMessage": f"not {self.name}",
        }

    def _check(self, value: str) -> str:
        if not re.fullmatch(self.regex, value):
            raise ValueError(f"{value!r} is not {self.name}")
        return value


def _cron(value: str) -> str:
    try:
        next(CronSim(value, datetime.now(UTC)))
    except CronSimError as error:
        raise ValueError(f"{value!r} is not a cron expression: {error}") from None
    except StopIteration:
        raise ValueError(f"{value!r} matches no date, so it would never run") from None
    return value


def ticks_within(cron: str, longest: timedelta) -> bool:
    """Whether the ticks of a cron expression, in UTC, are never further apart than `longest`."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    end = now + timedelta(days=366)
    while now < end:
        # Go to the last tick within `longest`. Visiting each would take half a million steps.
        tick = next(CronSim(cron, now + longest + timedelta(minutes=1), reverse=True))
        if tick <= now:
            return False
        now = tick
    return True


def _time_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, OSError, ValueError):
        raise ValueError(
            f"{value!r} is not an IANA time zone, such as 'Europe/Paris' or 'Etc/UTC'"
        ) from None
    return value


def _run_name(value: object) -> object:
    """The text of a run's name, which YAML reads as a date if it is an unquoted 2026-11-23.

    The engine prints such a date with a time.
    """
    if isinstance(value, date):
        return value.isoformat()[:10]
    if isinstance(value, str):
        return value.removesuffix(" 00:00:00 +0000 UTC")
    return value


Cron = Annotated[
    str,
    Pattern(
        r"\S+( +\S+){4}",
        "a cron expression of five fields (minute hour day-of-month month day-of-week),"
        " such as '0 9 * * *'",
    ),
    AfterValidator(_cron),
]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
Handle = Annotated[
    str,
    Pattern(
        r"[A-Za-z0-9_]{1,15}",
        "a handle of X: 1 to 15 letters, digits and underscores, without the @",
    ),
]
AccountName = Annotated[
    str,
    Pattern(
        layout.ACCOUNT,
        "a valid account name: 1 to 30 lower-case letters, digits and hyphens, a letter first",
    ),
]
ProjectId = Annotated[
    str,
    Pattern(
        r"[a-z][a-z0-9-]{4,28}[a-z0-9]",
        "a Google Cloud project id: 6 to 30 lower-case letters, digits and hyphens",
    ),
]
Region = Annotated[
    str, Pattern(r"[a-z]+-[a-z]+[0-9]+", "a Google Cloud region, such as 'europe-west4'")
]
BuildRegion = Annotated[
    str,
    Pattern(
        r"global|[a-z]+-[a-z]+[0-9]+", "'global' or a Google Cloud region, such as 'europe-west1'"
    ),
]
Zone = Annotated[
    str, Pattern(r"[a-z]+-[a-z]+[0-9]+-[a-z]", "a Google Cloud zone, such as 'europe-west4-a'")
]
RunName = Annotated[
    str,
    BeforeValidator(_run_name),
    Pattern(
        # RUN-1of2 is the name of the first of a run's two machines.
        r"(?!(.*-)?[0-9]+of[0-9]+$)[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?",
        "a valid run name: 1 to 40 lower-case letters, digits and hyphens, such as '2026-11-23',"
        " and no end like '1of2'",
    ),
]
LocalAddress = Annotated[
    str,
    Pattern(
        r"http://127\.0\.0\.1:[0-9]{2,5}",
        "an address of the local cloud, such as 'http://127.0.0.1:9080'",
    ),
]
BillingAccount = Annotated[
    str,
    Pattern(
        r"[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}", "a billing account, such as '01ABCD-23EF45-6789AB'"
    ),
]
Email = Annotated[str, Pattern(r"[^@\s]+@[^@\s]+\.[^@\s]+", "an e-mail address")]
NotificationChannel = Annotated[
    str,
    Pattern(
        r"projects/[a-z][a-z0-9-]{4,28}[a-z0-9]/notificationChannels/[0-9]+",
        "a notification channel, such as 'projects/my-project/notificationChannels/1234567890'",
    ),
]
ImageReference = Annotated[
    str,
    Pattern(
        layout.IMAGE,
        "an image by digest, such as"
        " 'europe-west4-docker.pkg.dev/project/repository/app@sha256:' and 64 digits",
    ),
]
Dollars = Annotated[Decimal, Field(ge=0, le=100_000, decimal_places=2)]


def _retention(days: int) -> int:
    if 0 < days < 7:
        raise ValueError(
            f"{days} days are not possible: Cloud Storage keeps deleted objects for 7 to 90 days,"
            " or, with 0, not at all"
        )
    return days


RetentionDays = Annotated[int, Field(ge=0, le=90), AfterValidator(_retention)]
