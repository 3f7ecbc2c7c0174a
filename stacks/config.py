"""The stack file as frozen models: what a person may ask for.

Everything else in the program takes these models, never `pulumi.Config`. Unknown keys are errors,
since a misspelt key would silently do nothing.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from pipeline.settings import Settings
from stacks import machines, naming
from stacks.forms import (
    AccountName,
    Address,
    BillingAccount,
    BuildRegion,
    Cron,
    Days,
    Dollars,
    Email,
    Handle,
    ImageReference,
    NotificationChannel,
    ProjectId,
    Region,
    RunId,
    TimeZone,
    Zone,
    comes_within,
)

_HALF_A_DAY = timedelta(hours=12)
# Service accounts are 100 a project; about ten are the stack's own (docs/decisions).
MOST_ACCOUNTS = 90


class Model(BaseModel):
    """What all models share: frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Serving(Model):
    """The tweet API of one account."""

    public: bool = Field(
        default=False,
        description="whether everybody may ask it, and not only who is granted to; an organisation"
        " may forbid that (`constraints/iam.allowedPolicyMemberDomains`)",
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

    zones: Annotated[
        tuple[Zone, ...],
        Field(
            min_length=1,
            description="a run by hand takes the first; a scheduled run tries them in this order",
        ),
    ]
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
        description="whether the machine has one, which an organisation may forbid"
        " (`constraints/compute.vmExternalIpAccess`); without, it goes out by a NAT gateway",
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
    control: ImageReference = Field(description="runs the pipeline")
    scraper: ImageReference = Field(description="collects")
    trainer: ImageReference = Field(description="trains")


class Keep(Model):
    """How long what was deleted can still be had back.

    0 days (not at all) or 7 to 90. What `tweets_days` says is also how long a deletion on request
    takes: unreachable at once, gone for good after so many days.
    """

    tweets_days: Annotated[Days, Field(description="tweets and posts")] = 7
    models_days: Annotated[Days, Field(description="models and pointers")] = 30
    releases: Annotated[
        int,
        Field(
            ge=2,
            le=100,
            description="newest releases and images kept of each account; those in use are kept"
            " whatever their age",
        ),
    ] = 10


class Budget(Model):
    """A monthly sum at which the billing account's people are told; it stops nothing."""

    billing_account: BillingAccount = Field(description="which pays for the project")
    amount_per_month: Annotated[
        int,
        Field(ge=1, le=1_000_000_000, description="the sum, in the billing account's own currency"),
    ]


class Monitoring(Model):
    """Who is told when something is wrong."""

    emails: tuple[Email, ...] = Field(default=(), description="addresses that alerts are sent to")
    channels: tuple[NotificationChannel, ...] = Field(
        default=(), description="notification channels that exist already"
    )
    watch: Cron = Field(
        default="*/15 * * * *",
        description="when the watcher compares what is with what should be; twice a day or more"
        " where there is anybody to tell that it stopped",
    )
    budget: Budget | None = Field(default=None, description="a sum at which people are told")

    @model_validator(mode="after")
    def _often_enough(self) -> Self:
        # Cloud Monitoring tells what is absent from a day without it, and from no longer one.
        if (self.emails or self.channels) and not comes_within(self.watch, _HALF_A_DAY):
            raise ValueError(
                f"watch: {self.watch!r} leaves more than 12 hours between two looks; let it come"
                " twice a day, so that an alert can tell when it stops"
            )
        return self

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
    build_region: BuildRegion = Field(
        default="global",
        description="where the images of releases are built: Google lets some new projects build in"
        " `global` and a few regions only (us-central1, us-west2, europe-west1, asia-east1,"
        " australia-southeast1, southamerica-east1)",
    )
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
