"""The models of a stack file.

The rest of the program takes these models, never `pulumi.Config`. Unknown keys are errors, because
a misspelt key would silently do nothing.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from decimal import ROUND_DOWN, Decimal
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from pipeline.learn import Learn
from pipeline.settings import Settings
from stacks import machines, naming
from stacks.types import (
    AccountName,
    BillingAccount,
    BuildRegion,
    Cron,
    Dollars,
    Email,
    Handle,
    ImageReference,
    LocalAddress,
    NotificationChannel,
    ProjectId,
    Region,
    RetentionDays,
    RunName,
    TimeZone,
    Zone,
    ticks_within,
)

_HALF_A_DAY = timedelta(hours=12)
# A project has at most 100 service accounts, of which about ten are the stack's own.
MOST_ACCOUNTS = 90
OLD_IMAGE_DAYS = 30
"""After how many days an image that nothing keeps is deleted."""


class Model(BaseModel):
    """The base of all models: frozen, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Serving(Model):
    """The tweet API of one account."""

    public: bool = Field(
        default=False,
        description="whether everybody may call it; otherwise only callers with a grant. An"
        " organisation may forbid `true` (`constraints/iam.allowedPolicyMemberDomains`)",
    )
    max_instances: Annotated[
        int,
        Field(
            ge=1, le=10, description="how many instances may run, and cost money, at the same time"
        ),
    ] = 1


class Account(Model):
    """One bot."""

    handle: Annotated[Handle, Field(description="the X user whose tweets it learns from")]
    source: Literal["timeline", "archive"] = Field(
        description="`timeline`: bought from X by a schedule; `archive`: imported by `bots import`"
    )
    consent: Annotated[
        str,
        Field(min_length=3, description="who agreed to this bot, and where the agreement is kept"),
    ]
    x_terms_acknowledged: bool = Field(
        default=False,
        description="`true` says that you have read X's terms on training with content of its API;"
        " `source: timeline` needs it",
    )
    project: ProjectId | None = Field(
        default=None,
        description="the account's project, if it is not the stack's (which has room for"
        f" {MOST_ACCOUNTS})",
    )
    time_zone: TimeZone = Field(default="Etc/UTC", description="the time zone of both schedules")
    collect: Cron | None = Field(default=None, description="when the timeline is read")
    post: Cron | None = Field(default=None, description="when a tweet is posted")
    learn: Learn = Field(default=Learn(), description="what of its tweets is learnt")
    serve: Serving | None = Field(
        default=None, description="an HTTP API that writes a tweet on request"
    )
    reads_usd_per_month: Dollars = Field(
        default=Decimal(5), description="collecting stops at this limit, before X stops it"
    )
    read_with: Literal["bearer", "keys"] = Field(
        default="bearer",
        description="`bearer`: the timeline is read with the stack's bearer token; `keys`: with the"
        " account's own X keys, at X's lower price for reading one's own posts, which needs keys of"
        " the `handle` itself",
    )
    posts_usd_per_month: Dollars = Field(
        default=Decimal(5), description="posting stops at this limit, before X stops it"
    )

    @model_validator(mode="after")
    def _source_and_schedule_agree(self) -> Self:
        if self.source == "timeline" and not self.x_terms_acknowledged:
            raise ValueError(
                "collecting a timeline needs `x_terms_acknowledged: true`, because X restricts"
                " training with content of its API; the restriction does not cover a person's own"
                " archive (`source: archive`)"
            )
        if self.source == "archive" and self.collect is not None:
            raise ValueError(
                "`collect` is for timelines: an archive is imported once, by `bots import`;"
                " remove `collect`, or set `source: timeline`"
            )
        if self.read_with == "keys" and self.collect is None:
            raise ValueError(
                "`read_with: keys` says how a timeline is read, and nothing reads this one; remove"
                " it, or set `collect`"
            )
        return self


class Gpu(Model):
    """GPUs that are attached to a machine type without its own."""

    type: Annotated[str, Field(json_schema_extra={"enum": [*machines.ATTACHED]})] = Field(
        description="Compute Engine's name of the GPU"
    )
    count: Annotated[int, Field(ge=1, le=8, description="how many GPUs")] = 1


class Hardware(Model):
    """A machine type, with attached GPUs if it has none of its own."""

    machine_type: str = Field(description="Compute Engine's name of the machine type")
    gpu: Gpu | None = Field(
        default=None, description="GPUs for a machine type without its own (n1)"
    )

    @model_validator(mode="after")
    def _exists(self) -> Self:
        machines.check(self.machine_type, self.gpu and (self.gpu.type, self.gpu.count))
        return self

    @property
    def has_gpu(self) -> bool:
        """Whether the machine has GPUs, its own or attached ones."""
        return self.gpu is not None or machines.bundles_gpu(self.machine_type)

    @property
    def name(self) -> str:
        """A name such as n1-standard-4-1x-nvidia-tesla-t4."""
        gpus = f"-{self.gpu.count}x-{self.gpu.type}" if self.gpu else ""
        return self.machine_type + gpus


class Training(Model):
    """The machines that train, and the settings they train with."""

    zones: Annotated[
        tuple[Zone, ...],
        Field(
            min_length=1,
            description="a scheduled run tries them in this order; a run by hand takes the first",
        ),
    ]
    machine_type: str = Field(
        default="g2-standard-4",
        description="Compute Engine's name of the machine type; g2 has an L4 GPU",
    )
    gpu: Gpu | None = Field(
        default=None, description="GPUs for a machine type without its own (n1)"
    )
    disk_gb: Annotated[int, Field(ge=20, le=2000, description="the size of the boot disk")] = 100
    spot: bool = Field(default=False, description="cheaper machines, which Google may take away")
    hours: Annotated[int, Field(ge=1, le=72, description="the hard limit of a machine's run")] = 4
    run: RunName | None = Field(
        default=None,
        description="the name of a training run, which `pulumi up` starts; remove it afterwards",
    )
    schedule: Cron | None = Field(
        default=None, description="when accounts with enough new tweets are trained"
    )
    time_zone: TimeZone = Field(default="Etc/UTC", description="the time zone of the schedule")
    workers: Annotated[
        int, Field(ge=1, le=20, description="how many machines share the accounts of a run")
    ] = 1
    fallbacks: tuple[Hardware, ...] = Field(
        default=(),
        description="other machines to try, in this order, if no zone has capacity for the first",
    )
    public_address: bool = Field(
        default=True,
        description="whether a machine has a public address; otherwise it uses a NAT gateway. An"
        " organisation may forbid `true` (`constraints/compute.vmExternalIpAccess`)",
    )
    settings: Settings = Field(default=Settings(), description="the trainer's settings")

    @model_validator(mode="after")
    def _machine_exists(self) -> Self:
        machines.check(self.machine_type, self.gpu and (self.gpu.type, self.gpu.count))
        if self.fallbacks and self.schedule is None:
            raise ValueError(
                "only scheduled runs try `fallbacks`: set a `schedule`, or remove them;"
                " a run by hand takes `machine_type`"
            )
        names = [hardware.name for hardware in self.hardware]
        for name, number in Counter(names).items():
            if number > 1:
                raise ValueError(f"fallbacks: a run tries {name!r} already; use another machine")
        return self

    @property
    def hardware(self) -> tuple[Hardware, ...]:
        """The machines that a scheduled run tries, in this order. A run by hand takes the first."""
        return (Hardware(machine_type=self.machine_type, gpu=self.gpu), *self.fallbacks)


class Images(Model):
    """Program images that were built elsewhere. With them, deploying needs no Docker daemon."""

    app: ImageReference = Field(description="writes tweets and posts them")
    control: ImageReference = Field(description="runs the pipeline")
    scraper: ImageReference = Field(description="collects tweets")
    trainer: ImageReference = Field(description="trains models")


class Keep(Model):
    """How long deleted objects can be restored: 7 to 90 days, or 0 for not at all.

    `tweets_days` is also the time that a deletion on request takes: the tweets are unreachable at
    once, and gone for good after this number of days.
    """

    tweets_days: Annotated[RetentionDays, Field(description="tweets and posts")] = 7
    models_days: Annotated[RetentionDays, Field(description="models and pointers")] = 30
    releases: Annotated[
        int,
        Field(
            ge=2,
            le=100,
            description="how many of each account's newest releases and images are kept; those in"
            " use are always kept",
        ),
    ] = 10


class Budget(Model):
    """A monthly amount. People are notified when the costs reach it; it stops nothing."""

    billing_account: BillingAccount = Field(description="the account that pays for the project")
    amount_per_month: Annotated[
        int,
        Field(
            ge=1, le=1_000_000_000, description="the amount, in the billing account's own currency"
        ),
    ]


class Monitoring(Model):
    """Who is notified when something is wrong."""

    emails: tuple[Email, ...] = Field(default=(), description="addresses that receive the alerts")
    channels: tuple[NotificationChannel, ...] = Field(
        default=(), description="existing notification channels that receive the alerts"
    )
    watch: Cron = Field(
        default="*/15 * * * *",
        description="when the watcher runs; at least twice a day if anybody receives alerts,"
        " because one of them reports that the watcher has stopped",
    )
    budget: Budget | None = Field(
        default=None, description="a monthly amount at which people are notified"
    )

    @model_validator(mode="after")
    def _often_enough(self) -> Self:
        # Cloud Monitoring can wait for at most a day before it reports a missing metric.
        if (self.emails or self.channels) and not ticks_within(self.watch, _HALF_A_DAY):
            raise ValueError(
                f"watch: {self.watch!r} leaves more than 12 hours between two runs; let it run"
                " twice a day or more, so that an alert can report when it stops"
            )
        return self

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        for key, listed in (("emails", self.emails), ("channels", self.channels)):
            for value, number in Counter(listed).items():
                if number > 1:
                    raise ValueError(
                        f"{key}: {value!r} is in the list {number} times; once is enough"
                    )
        return self


def _in_order(accounts: Mapping[str, Account]) -> Mapping[str, Account]:
    """Sort by name, so that the order in the file has no effect."""
    return MappingProxyType(dict(sorted(accounts.items())))


class Stack(Model):
    """One environment."""

    name: str
    project: ProjectId = Field(description="the Google Cloud project; it has to exist")
    region: Region = Field(description="where everything is declared")
    build_region: BuildRegion = Field(
        default="global",
        description="where the images of releases are built; some new projects may only build in"
        " `global` and in us-central1, us-west2, europe-west1, asia-east1, australia-southeast1"
        " and southamerica-east1",
    )
    accounts: Annotated[Mapping[AccountName, Account], AfterValidator(_in_order)] = Field(
        default_factory=lambda: MappingProxyType({}), description="the bots, by name"
    )
    accounts_file: str | None = Field(
        default=None,
        description="a YAML file of accounts by name, in the same folder; its accounts are added to"
        " `accounts`. The engine passes at most 128 KiB of configuration, some 400 accounts",
    )
    reads_usd_per_month: Dollars | None = Field(
        default=None,
        description="a limit for collecting all accounts together, on top of each account's own. If"
        " the accounts are in several projects, each project has a share in proportion to the"
        " number of its accounts that are collected",
    )
    training: Training | None = Field(
        default=None, description="how models are trained; without it, none is trained"
    )
    images: Images | None = Field(
        default=None,
        description="program images by digest; without them, `pulumi up` builds them with Docker",
    )
    keep: Keep = Field(default=Keep(), description="how long deleted objects can be restored")
    monitoring: Monitoring | None = Field(default=None, description="alerts, dashboard and budget")
    throw_away: bool = Field(
        default=False,
        description="whether `pulumi destroy` deletes the buckets with their objects. That forgets"
        " what was spent this month, so the monthly limits start anew",
    )
    emulator: LocalAddress | None = Field(
        default=None, description="the address of the local cloud"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for project, number in Counter(map(self.project_of, self.accounts)).items():
            if number > MOST_ACCOUNTS:
                raise ValueError(
                    f"accounts: {number} in project {project!r} are more than the {MOST_ACCOUNTS}"
                    " that a project has service accounts for; give some of them another `project`"
                )
        by_handle: dict[str, str] = {}
        for name, account in self.accounts.items():
            if name in naming.PROGRAMS:
                raise ValueError(
                    f"accounts.{name}: the program itself uses this name; choose another"
                )
            other = by_handle.setdefault(account.handle.lower(), name)
            if other != name:
                raise ValueError(
                    f"accounts.{name}.handle: accounts.{other} has the handle {account.handle!r},"
                    " too; each account needs its own"
                )
        zones = self.training.zones if self.training else ()
        for zone in zones:
            if not zone.startswith(f"{self.region}-"):
                raise ValueError(
                    f"training.zones: {zone!r} is not in gcp:region {self.region!r};"
                    f" use zones such as '{self.region}-a'"
                )
        return self

    @model_validator(mode="after")
    def _channels_are_in_the_stacks_projects(self) -> Self:
        projects = sorted({self.project, *map(self.project_of, self.accounts)})
        for channel in self.monitoring.channels if self.monitoring else ():
            if channel.split("/")[1] not in projects:
                raise ValueError(
                    f"monitoring.channels: {channel!r} is in none of the stack's projects"
                    f" ({', '.join(projects)}, see gcp:project), and an alert reaches only channels"
                    " of its own project; create one there, or use `emails`"
                )
        return self

    def project_of(self, account: str) -> str:
        """The project that an account's resources are in."""
        return self.accounts[account].project or self.project

    def by_project(self) -> list[Self]:
        """One part of the stack for each project, with the accounts of that project.

        The stack's own project is the first, even without accounts. The others follow by their
        ids.
        """
        further = sorted({*map(self.project_of, self.accounts)} - {self.project})
        return [
            self.model_copy(
                update={
                    "project": project,
                    "reads_usd_per_month": self._share_of_reads(project),
                    "accounts": MappingProxyType(
                        {n: a for n, a in self.accounts.items() if self.project_of(n) == project}
                    ),
                }
            )
            for project in (self.project, *further)
        ]

    def _share_of_reads(self, project: str) -> Decimal | None:
        """A project's share of the limit of all reads, in whole cents.

        Each project has a ledger of its own, so the limit has to be divided.
        """
        if self.reads_usd_per_month is None:
            return None
        collected = [n for n, account in self.accounts.items() if account.collect is not None]
        here = sum(self.project_of(name) == project for name in collected)
        share = self.reads_usd_per_month * here / max(len(collected), 1)
        return share.quantize(Decimal("0.01"), ROUND_DOWN)
