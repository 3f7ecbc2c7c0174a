"""The stack file as frozen models: what a person may ask for, and what is wrong when it cannot be.

Everything else in the program takes these models, never `pulumi.Config`; the operator's command
reads the same file with `read`. Unknown keys are errors, since a misspelt key would silently do
nothing.
"""

import difflib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self, cast, get_args
from zoneinfo import ZoneInfo

import yaml
from cronsim import CronSim, CronSimError
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema

from pipeline.errors import UserError
from pipeline.settings import Settings
from stacks import machines, naming

NAMESPACE = "gpt2-bots:"
# Keys that are not the program's own, but Pulumi's and its providers for Docker.
OTHER_NAMESPACES = ("docker", "docker-build", "pulumi")
_OF_GOOGLE = ("project", "region")
# Service accounts are 100 a project; about ten are the stack's own (docs/decisions).
MOST_ACCOUNTS = 90


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
        r"[a-z]([a-z0-9-]{0,28}[a-z0-9])?",
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
        r"[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)+(:[A-Za-z0-9._-]{1,128})?@sha256:[0-9a-f]{64}",
        "an image by digest, such as"
        " 'europe-west4-docker.pkg.dev/project/repository/app@sha256:…' with its 64 digits",
    ),
]
Dollars = Annotated[Decimal, Field(ge=0, le=100_000, decimal_places=2)]


class Model(BaseModel):
    """What all models share: frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Serving(Model):
    """The tweet API of one account."""

    public: bool = Field(
        default=False, description="whether everybody may ask it, and not only who is granted to"
    )
    max_instances: Annotated[
        int, Field(ge=1, le=10, description="how many may run at a time, and so cost")
    ] = 1


class Account(Model):
    """One bot."""

    handle: Annotated[Handle, Field(description="the X user whose tweets it learns from")]
    source: Literal["timeline", "archive"] = Field(
        description="`timeline`: bought from X by a schedule; `archive`: imported by `bots import`"
    )
    consent: Annotated[
        str, Field(min_length=3, description="who agreed to this bot, and where that is recorded")
    ]
    x_terms_acknowledged: bool = Field(
        default=False,
        description="X's terms on training with API content were read; timelines need it",
    )
    project: ProjectId | None = Field(
        default=None, description="another project than the stack's, where one has no room left"
    )
    time_zone: TimeZone = Field(default="Etc/UTC", description="of both schedules")
    collect: Cron | None = Field(default=None, description="when the timeline is read")
    post: Cron | None = Field(default=None, description="when a tweet is posted")
    serve: Serving | None = Field(
        default=None, description="an HTTP API that answers with a tweet on request"
    )
    reads_usd_per_month: Dollars = Field(
        default=Decimal(5), description="collecting stops at it, before X does"
    )
    posts_usd_per_month: Dollars = Field(
        default=Decimal(5), description="posting stops at it, before X does"
    )

    @model_validator(mode="after")
    def _source_and_schedule_agree(self) -> Self:
        if self.source == "timeline" and not self.x_terms_acknowledged:
            raise ValueError(
                "collecting a timeline needs `x_terms_acknowledged: true`: X restricts training"
                " with content of its API; a person's own archive (`source: archive`) is free"
                " of that"
            )
        if self.source == "archive" and self.collect is not None:
            raise ValueError(
                "`collect` is for timelines: an archive is imported once by `bots import`;"
                " remove `collect` or say `source: timeline`"
            )
        return self


class Gpu(Model):
    """GPUs beside a machine that bundles none."""

    type: Annotated[str, Field(json_schema_extra={"enum": [*machines.ATTACHED]})] = Field(
        description="Compute Engine's name of it"
    )
    count: Annotated[int, Field(ge=1, le=8, description="how many of them")] = 1


class Hardware(Model):
    """A machine type, and the GPUs beside it where it bundles none."""

    machine_type: str = Field(description="Compute Engine's name of it")
    gpu: Gpu | None = Field(default=None, description="for machines that bundle no GPU (n1)")

    @model_validator(mode="after")
    def _exists(self) -> Self:
        machines.check(self.machine_type, self.gpu and (self.gpu.type, self.gpu.count))
        return self

    @property
    def has_gpu(self) -> bool:
        """Whether there is any, bundled or beside it."""
        return self.gpu is not None or machines.bundles_gpu(self.machine_type)

    @property
    def name(self) -> str:
        """Such as n1-standard-4-1x-nvidia-tesla-t4."""
        gpus = f"-{self.gpu.count}x-{self.gpu.type}" if self.gpu else ""
        return self.machine_type + gpus


class Training(Model):
    """The machine that trains, and the settings it trains with."""

    zones: Annotated[tuple[Zone, ...], Field(min_length=1, description="tried in this order")]
    machine_type: str = Field(
        default="g2-standard-4", description="Compute Engine's name of it; g2 comes with an L4"
    )
    gpu: Gpu | None = Field(default=None, description="for machines that bundle no GPU (n1)")
    disk_gb: Annotated[int, Field(ge=20, le=2000, description="its boot disk")] = 100
    spot: bool = Field(default=False, description="cheaper, and may be taken away")
    hours: Annotated[int, Field(ge=1, le=72, description="the machine's hard limit")] = 4
    run: RunId | None = Field(
        default=None, description="a name asks for one training run; remove it afterwards"
    )
    schedule: Cron | None = Field(
        default=None, description="when all accounts are trained, without anybody naming a run"
    )
    time_zone: TimeZone = Field(default="Etc/UTC", description="of the schedule")
    workers: Annotated[
        int, Field(ge=1, le=20, description="machines that share out the accounts of a run")
    ] = 1
    fallbacks: tuple[Hardware, ...] = Field(
        default=(), description="other machines, tried in this order when no zone has the first"
    )
    public_address: bool = Field(
        default=True,
        description="whether the machine has one; without, it goes out by a NAT gateway",
    )
    settings: Settings = Field(default=Settings(), description="what the trainer is told")

    @model_validator(mode="after")
    def _machine_exists(self) -> Self:
        machines.check(self.machine_type, self.gpu and (self.gpu.type, self.gpu.count))
        if self.fallbacks and self.schedule is None:
            raise ValueError(
                "`fallbacks` are tried by scheduled runs only: say a `schedule`, or remove them;"
                " a run by hand takes `machine_type`"
            )
        names = [hardware.name for hardware in self.hardware]
        for name, number in Counter(names).items():
            if number > 1:
                raise ValueError(f"fallbacks: {name!r} is tried already; name another machine")
        return self

    @property
    def hardware(self) -> tuple[Hardware, ...]:
        """What a scheduled run tries, in this order; a run by hand takes the first."""
        return (Hardware(machine_type=self.machine_type, gpu=self.gpu), *self.fallbacks)


class Images(Model):
    """Program images that were built elsewhere; with them no Docker daemon is needed anywhere."""

    app: ImageReference = Field(description="writes and posts")
    scraper: ImageReference = Field(description="collects")
    trainer: ImageReference = Field(description="trains")


def _retention(days: int) -> int:
    if 0 < days < 7:
        raise ValueError(
            f"{days} days cannot be had: Cloud Storage keeps what was deleted for 7 to 90 days,"
            " or, with 0, not at all"
        )
    return days


Days = Annotated[int, Field(ge=0, le=90), AfterValidator(_retention)]


class Keep(Model):
    """How long what was deleted can still be had back.

    0 days (not at all) or 7 to 90. What `tweets_days` says is also how long a deletion on request
    takes: unreachable at once, gone for good after so many days.
    """

    tweets_days: Annotated[Days, Field(description="tweets and posts")] = 7
    models_days: Annotated[Days, Field(description="models and pointers")] = 30
    releases: Annotated[
        int, Field(ge=2, le=100, description="newest images kept of each account, besides the live")
    ] = 10


class Budget(Model):
    """A monthly sum at which the billing account's people are told; it stops nothing."""

    billing_account: BillingAccount = Field(description="which pays for the project")
    usd_per_month: Annotated[int, Field(ge=1, le=1_000_000, description="the sum")]


class Monitoring(Model):
    """Who is told when something is wrong."""

    emails: tuple[Email, ...] = Field(default=(), description="addresses that alerts are sent to")
    channels: tuple[NotificationChannel, ...] = Field(
        default=(), description="notification channels that exist already"
    )
    watch: Cron = Field(
        default="*/15 * * * *", description="when the watcher compares what is with what should be"
    )
    budget: Budget | None = Field(default=None, description="a sum at which people are told")

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        for key, given in (("emails", self.emails), ("channels", self.channels)):
            for value, number in Counter(given).items():
                if number > 1:
                    raise ValueError(
                        f"{key}: {value!r} stands there {number} times; once is enough"
                    )
        return self


def _in_order(accounts: Mapping[str, Account]) -> Mapping[str, Account]:
    """By name, since their order in the file must mean nothing."""
    return MappingProxyType(dict(sorted(accounts.items())))


class Stack(Model):
    """One environment."""

    name: str
    project: ProjectId = Field(description="the Google Cloud project, which must exist")
    region: Region = Field(description="where everything is")
    accounts: Annotated[Mapping[AccountName, Account], AfterValidator(_in_order)] = Field(
        default_factory=lambda: MappingProxyType({}), description="the bots, by name"
    )
    accounts_file: str | None = Field(
        default=None,
        description="a YAML file beside the stack file with accounts by name, in place of or beside"
        " `accounts`: the engine hands over 128 KiB of configuration at most, some 400 accounts",
    )
    training: Training | None = Field(
        default=None, description="how models are trained; without, none is"
    )
    images: Images | None = Field(
        default=None, description="images by digest; without, they are built here, by Docker"
    )
    keep: Keep = Field(default=Keep(), description="how long what was deleted can be had back")
    monitoring: Monitoring | None = Field(
        default=None, description="watcher, alerts, dashboard and budget"
    )
    throw_away: bool = Field(
        default=False, description="`pulumi destroy` deletes the buckets with what is in them"
    )
    emulator: Address | None = Field(default=None, description="where the local cloud answers")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for project, number in Counter(map(self.project_of, self.accounts)).items():
            if number > MOST_ACCOUNTS:
                raise ValueError(
                    f"accounts: {number} in project {project!r} are more than the {MOST_ACCOUNTS}"
                    " that a project has service accounts for; give some of them a `project`"
                    " of their own"
                )
        by_handle: dict[str, str] = {}
        for name, account in self.accounts.items():
            if name in naming.PROGRAMS:
                raise ValueError(
                    f"accounts.{name}: the name is taken by the program itself; choose another"
                )
            other = by_handle.setdefault(account.handle.lower(), name)
            if other != name:
                raise ValueError(
                    f"accounts.{name}.handle: {account.handle!r} is the handle of"
                    f" accounts.{other} too; one account per handle"
                )
        zones = self.training.zones if self.training else ()
        for zone in zones:
            if not zone.startswith(f"{self.region}-"):
                raise ValueError(
                    f"training.zones: {zone!r} is not in gcp:region {self.region!r};"
                    f" name zones such as '{self.region}-a'"
                )
        return self

    @model_validator(mode="after")
    def _channels_are_of_the_stacks_projects(self) -> Self:
        projects = sorted({self.project, *map(self.project_of, self.accounts)})
        for channel in self.monitoring.channels if self.monitoring else ():
            if channel.split("/")[1] not in projects:
                raise ValueError(
                    f"monitoring.channels: {channel!r} is in none of the projects that gcp:project"
                    f" and the accounts name ({', '.join(projects)}), and alerts reach channels of"
                    " their own project alone; make one there, or use `emails`"
                )
        return self

    def project_of(self, account: str) -> str:
        """The project that an account's resources are in."""
        return self.accounts[account].project or self.project

    def by_project(self) -> list[Self]:
        """The stack in parts of one project each: its own project first, with or without accounts.

        The others follow in the order of their ids.
        """
        further = sorted({*map(self.project_of, self.accounts)} - {self.project})
        return [
            self.model_copy(
                update={
                    "project": project,
                    "accounts": MappingProxyType(
                        {n: a for n, a in self.accounts.items() if self.project_of(n) == project}
                    ),
                }
            )
            for project in (self.project, *further)
        ]


def key(name: str) -> str:
    """How a stack file calls a field of `Stack`."""
    return f"gcp:{name}" if name in _OF_GOOGLE else NAMESPACE + name


def _unknown_key(loc: tuple[int | str, ...]) -> str:
    """What to write in place of a key that its model does not know."""
    model: type[BaseModel] = Stack
    for part in loc[:-1]:
        if part in model.model_fields:
            model = next(_models(model.model_fields[str(part)].annotation))
    return _instead(str(loc[-1]), [field for field in model.model_fields if field != "name"])


def _instead(given: str, known: list[str]) -> str:
    near = difflib.get_close_matches(given, known, n=1)
    return f"unknown key; did you mean {near[0]!r}?" if near else f"unknown key; known: {known}"


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models inside Optional[…], Mapping[…] and the like."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def load(stack: str, values: Mapping[Any, object], folder: Path = Path("stacks")) -> Stack:
    """The stack named `stack` from its configuration, keyed as in the stack file in `folder`.

    Raises:
        UserError: something is missing, unknown or impossible; one line names each mistake.
    """
    known = {key(name): name for name in Stack.model_fields if name != "name"}
    given: dict[str, Any] = {"name": stack}
    unknown: list[str] = []
    for given_key, value in ((str(k), v) for k, v in values.items()):
        if given_key in known:
            given[known[given_key]] = value
        elif given_key.partition(":")[0] not in OTHER_NAMESPACES:
            unknown.append(f"{_line(given_key)}: {_instead(given_key, [*known])}")
    if unknown:
        raise UserError("; ".join(f"stacks/Pulumi.{stack}.yaml: {one}" for one in unknown))
    _add_accounts_of_file(stack, given, folder)
    try:
        return Stack.model_validate(given)
    except ValidationError as error:
        raise UserError("; ".join(_sentence(stack, e) for e in error.errors())) from None


def _add_accounts_of_file(stack: str, given: dict[str, Any], folder: Path) -> None:
    """Put the accounts of `accounts_file` beside those of the stack file."""
    name = given.get("accounts_file")
    if not isinstance(name, str):
        return
    key = f"stacks/Pulumi.{stack}.yaml: {NAMESPACE}accounts_file: {name!r}"
    try:
        more = _parsed(folder / name)
    except OSError:
        raise UserError(f"{key}: no such file beside the stack file") from None
    except ValueError as error:
        raise UserError(f"{key}: {error}") from None
    if not isinstance(more, dict):
        raise UserError(f"{key}: no accounts by name in it, as under `accounts:`")
    found = cast("dict[object, object]", more)
    own: object = given.get("accounts") or {}
    if isinstance(own, Mapping):
        here = cast("Mapping[object, object]", own)
        for account in here.keys() & found.keys():
            raise UserError(f"{key}: accounts.{account} is in the stack file too; keep one of them")
        given["accounts"] = {**here, **found}


def _sentence(stack: str, error: Any) -> str:
    loc: tuple[int | str, ...] = tuple(part for part in error["loc"] if part != "[key]")
    where = key(".".join(_line(str(part)) for part in loc)) if loc else ""
    if error["type"] == "extra_forbidden":
        what = _unknown_key(loc)
    elif error["type"] == "missing":
        what = "missing"
    elif error["type"] == "value_error":
        what = error["msg"].removeprefix("Value error, ")
    else:
        what = f"{_shown(error['input'])}: {error['msg'][:1].lower()}{error['msg'][1:]}"
    return f"stacks/Pulumi.{stack}.yaml: " + (f"{where}: {what}" if where else what)


def _line(text: str) -> str:
    """A key as it can stand in a line."""
    return text if text.isprintable() else repr(text)


def _shown(value: object) -> str:
    """A value as it can stand in a line."""
    text = repr(value)
    return text if len(text) <= 100 else text[:99] + "…"


def from_engine(stack: str, values: Mapping[str, str]) -> Stack:
    """The stack from the engine's flat configuration, where objects are JSON text."""

    def parse(text: str) -> object:
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text

    return load(stack, {k: parse(v) if k.startswith(NAMESPACE) else v for k, v in values.items()})


def read(file: Path) -> Stack:
    """The stack of a stack file, `Pulumi.<stack>.yaml`, without the engine.

    Raises:
        UserError: there is no such file, or it is not a stack file that makes sense.
    """
    stack = file.name.removeprefix("Pulumi.").removesuffix(".yaml")
    try:
        document = _parsed(file)
    except OSError:
        raise UserError(
            f"{file}: no such stack file; `pulumi stack init {stack}` begins one,"
            " stacks/Pulumi.dev.yaml shows how it looks"
        ) from None
    except ValueError as error:
        raise UserError(f"{file}: {error}") from None
    try:
        config = _Document.model_validate(document).config
    except ValidationError:
        raise UserError(
            f"{file}: no `config:` in it; stacks/Pulumi.dev.yaml shows how it looks"
        ) from None
    return load(stack, config, file.parent)


def _parsed(file: Path) -> object:
    """What stands in a YAML file; ValueError, in one line, where that is none."""
    try:
        return yaml.safe_load(file.read_text())
    # Beside its own errors, the parser raises Python's: 2026-99-99 is no date, and [[[[… too deep.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"not YAML: {_line(' '.join(str(error).split()))}") from None


class _Document(BaseModel):
    """A stack file: the engine keeps keys of its own beside `config`."""

    config: dict[Any, object]
