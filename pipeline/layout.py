"""Names of buckets, secrets, objects and images, as functions of project, stack and account.

The Pulumi program, the images and the operator's command all take names from here. So each finds
the objects of the others without asking the engine.
"""

import hashlib
import re
from datetime import UTC, datetime

# Patterns that a whole text has to match.
ACCOUNT = r"[a-z]([a-z0-9-]{0,28}[a-z0-9])?"
"""The pattern of an account's name."""
IMAGE = r"[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)+(:[A-Za-z0-9._-]{1,128})?@sha256:[0-9a-f]{64}"
"""The pattern of an image that is named by digest."""


def fit(name: str, limit: int) -> str:
    """Cut `name` to `limit` characters; a name that is cut ends in 7 digits of its hash."""
    if len(name) <= limit:
        return name
    return f"{name[: limit - 8].rstrip('-')}-{hashlib.sha256(name.encode()).hexdigest()[:7]}"


# Cloud Storage bucket names have at most 63 characters, Secret Manager ids 255.
def data_bucket(project: str, stack: str) -> str:
    """The bucket of tweets and posts."""
    return fit(f"{project}-{stack}-data", 63)


def models_bucket(project: str, stack: str) -> str:
    """The bucket of base models, releases, pointers and training runs."""
    return fit(f"{project}-{stack}-models", 63)


def bearer_secret(stack: str) -> str:
    """The secret that holds X's bearer token, with which timelines are read."""
    return fit(f"{stack}-x-bearer", 255)


def keys_secret(stack: str, account: str) -> str:
    """The secret that holds one account's four X keys, with which it posts."""
    return fit(f"{stack}-{account}-x-keys", 255)


# Prefixes of the objects of all accounts, for grants and listings.
def all_tweets() -> str:
    """The prefix of all collected tweets."""
    return "tweets/"


def all_posts() -> str:
    """The prefix of all slots, histories and ledgers of posting."""
    return "posts/"


def all_collected() -> str:
    """The prefix of the documents that say how collecting each account stands."""
    return "collected/"


def all_declared() -> str:
    """The prefix of the documents that hold what the stack file says of each account."""
    return "accounts/"


def all_releases() -> str:
    """The prefix of all releases."""
    return "releases/"


def all_base_models() -> str:
    """The prefix of all base models."""
    return "base/"


def all_pointers() -> str:
    """The prefix of all live and base pointers."""
    return "rollout/"


def all_live_pointers() -> str:
    """The prefix of the live pointers, which the trainer and the operator write."""
    return f"{all_pointers()}live/"


def all_base_pointers() -> str:
    """The prefix of the base pointers, which the Pulumi program alone writes."""
    return f"{all_pointers()}base/"


def all_runs() -> str:
    """The prefix of the documents of training runs."""
    return "runs/"


def all_leases() -> str:
    """The prefix of all leases."""
    return "leases/"


# Objects of the data bucket.
def tweets(account: str) -> str:
    """The prefix of an account's collected tweets."""
    return f"{all_tweets()}{account}/"


def segments(account: str) -> str:
    """The prefix of an account's segments, the immutable files of tweets."""
    return f"{tweets(account)}segments/"


def archive_segments(account: str, digest: str = "") -> str:
    """The prefix of the segments of all archives, or of the one archive with that SHA-256."""
    return f"{segments(account)}archive-{digest[:32]}"


def archive_segment(account: str, digest: str, new: int) -> str:
    """The segment of an archive; `new` counts those of its tweets that no other segment had."""
    return f"{archive_segments(account, digest)}-{new}.jsonl"


def new_in_archive(segment: str) -> int:
    """The `new` in the name of an archive's segment."""
    return int(segment.removesuffix(".jsonl").rpartition("-")[2])


def page(account: str, oldest: int, newest: int, tweets: int) -> str:
    """The segment of a page of a timeline: all that X shows of the ids `oldest` to `newest`."""
    return f"{segments(account)}page-{oldest}-{newest}-{tweets}.jsonl"


def page_of(segment: str) -> tuple[int, int, int] | None:
    """The oldest and newest id and the number of tweets of a page; None for another segment."""
    match = re.search(r"/page-([0-9]+)-([0-9]+)-([0-9]+)\.jsonl$", segment)
    return match and (int(match[1]), int(match[2]), int(match[3]))


def timeline_segment(account: str, since: str | None, until: str | None) -> str:
    """The segment of a page as programs up to version 0.2 named it, after the request for the page.

    Its tweets have ids above `since` and below `until`; X may have more of them.
    """
    return f"{segments(account)}timeline-{since or 0}-{until or 'newest'}.jsonl"


def index(account: str) -> str:
    """The index of an account's tweets: whose they are, and which ids are held."""
    return f"{tweets(account)}index.json"


def forgotten(account: str) -> str:
    """The tweets of an account that were deleted on request, by id."""
    return f"{tweets(account)}forgotten.json"


def collecting(account: str) -> str:
    """The lease of collecting: only one execution buys an account's tweets at a time."""
    return f"{tweets(account)}collecting.json"


def receipts(account: str) -> str:
    """The prefix of the receipts of deletions on request."""
    return f"forgotten/{account}/"


def receipt(account: str, at: datetime, nonce: str) -> str:
    """The receipt of one deletion on request; `nonce` tells two of one moment apart."""
    return f"{receipts(account)}{at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{nonce}.json"


def stack_reads() -> str:
    """The ledger of the reads of all accounts of a project. No account's name has a dot."""
    return f"{all_tweets()}reads.json"


def reads(account: str) -> str:
    """The ledger of an account's reads."""
    return f"{tweets(account)}reads.json"


def posts(account: str) -> str:
    """The prefix of an account's slots, history and ledger of posts."""
    return f"{all_posts()}{account}/"


def slot(account: str, slot: str) -> str:
    """The record of one slot, a tick of the posting schedule."""
    return f"{posts(account)}{slot}.json"


def history(account: str) -> str:
    """Every text that an account posted or meant to post."""
    return f"{posts(account)}history.json"


def spent(account: str) -> str:
    """The ledger of an account's posts."""
    return f"{posts(account)}spend.json"


def collected(account: str) -> str:
    """When collecting an account last succeeded, and why it has stopped.

    It is not below `tweets`, which the watcher may not read.
    """
    return f"{all_collected()}{account}.json"


def declared(account: str) -> str:
    """What the stack file says of an account; written by the Pulumi program alone."""
    return f"{all_declared()}{account}.json"


def watch_state() -> str:
    """The watcher's state."""
    return "watch/state.json"


def runs_by_hand() -> str:
    """The prefix of the runs by hand that stack files name now."""
    return "watch/by-hand/"


def run_by_hand(run: str) -> str:
    """A run by hand, for as long as the stack file names it."""
    return f"{runs_by_hand()}{run}.json"


# Objects of the models bucket.
def base_model(name: str) -> str:
    """The prefix of a base model in gpt-2-simple's layout."""
    return f"{all_base_models()}{name}/"


BASE_MODEL_FILES = (
    "checkpoint",
    "encoder.json",
    "hparams.json",
    "model.ckpt.data-00000-of-00001",
    "model.ckpt.index",
    "model.ckpt.meta",
    "vocab.bpe",
)
"""The files of a base model in gpt-2-simple's layout, and of a release's checkpoint."""


def base_manifest(name: str) -> str:
    """The manifest of a base model; written last, so a model without it is incomplete."""
    return f"{base_model(name)}manifest.json"


def releases(account: str) -> str:
    """The prefix of an account's releases."""
    return f"{all_releases()}{account}/"


def release(account: str, tag: str) -> str:
    """The prefix of one release."""
    return f"{releases(account)}{tag}/"


def manifest(account: str, tag: str) -> str:
    """The manifest of a release; written last, so a release without it does not exist."""
    return f"{release(account, tag)}manifest.json"


def weights(account: str, tag: str) -> tuple[str, str]:
    """The prefixes of a release's model and checkpoint, which pruning deletes."""
    prefix = release(account, tag)
    return f"{prefix}model/", f"{prefix}checkpoint/"


def live_pointer(account: str) -> str:
    """The pointer to the live release; written by the trainer and the operator."""
    return f"{all_live_pointers()}{account}.json"


def base_pointer(account: str) -> str:
    """The pointer to the app base, by digest; written by the Pulumi program alone."""
    return f"{all_base_pointers()}{account}.json"


def account_of(pointer: str) -> str | None:
    """The account of a pointer, by the object's name; None if the object is no pointer."""
    match = re.fullmatch(rf"{all_pointers()}(?:live|base)/({ACCOUNT})\.json", pointer)
    return match and match[1]


def run_result(run: str) -> str:
    """How a machine's part of a run ended; a machine that has a result never trains again."""
    return f"{all_runs()}{run}/result.json"


def shares(workers: int) -> list[str]:
    """The suffix that each machine of a run adds to the run's name; empty for a single machine."""
    if workers == 1:
        return [""]
    return [f"-{worker}of{workers}" for worker in range(1, workers + 1)]


def run_accounts(run: str) -> str:
    """The accounts that a scheduled run trains; a run by hand has no such object and trains all."""
    return f"{all_runs()}{run}/accounts.json"


def run_verdict(run: str) -> str:
    """How a scheduled run ended as a whole; a run that has a verdict is over."""
    return f"{all_runs()}{run}/verdict.json"


def run_lease() -> str:
    """The lease of runs: only one run is under way at a time."""
    return f"{all_leases()}run.json"


def lease(account: str) -> str:
    """The lease of an account: only one run trains it at a time."""
    return f"{all_leases()}accounts/{account}.json"


def image_tag(release: str, base: str) -> str:
    """The image tag of a release on an app base, which is given by digest."""
    return f"{release}-{base.rpartition(':')[2][:12]}"


# Names of Cloud Run jobs and services. A schedule has the name of its job. A job's name has at most
# 63 characters, a service's fewer than 50.
def job(stack: str, account: str, role: str) -> str:
    """The job of an account that does `role`: "collect" or "post"."""
    return fit(f"{stack}-{account}-{role}", 63)


def watcher_job(stack: str) -> str:
    """The watcher's job. Cannot clash with an account's job: those end in their role."""
    return fit(f"{stack}-watcher", 63)


def retrain_job(stack: str) -> str:
    """The job of scheduled training. Cannot clash with an account's job: see `watcher_job`."""
    return fit(f"{stack}-retrain", 63)


def service(stack: str, account: str) -> str:
    """The tweet API of an account."""
    return fit(f"{stack}-{account}-api", 49)


def repository(stack: str) -> str:
    """The image repository. Artifact Registry takes at most 63 characters."""
    return fit(f"{stack}-bots", 63)


# Names of training runs and of their machines. Compute Engine takes at most 63 characters.
def run_names(stack: str) -> str:
    """Prefix of the names of the stack's training runs."""
    return f"{fit(f'train-{stack}', 34)}-"


def machine(stack: str, run: str) -> str:
    """The name of a training run, and of its only machine; `run` is its name in the stack file."""
    return fit(f"{run_names(stack)}{run}", 63)


def machines(stack: str, run: str, workers: int) -> list[str]:
    """The machines that share a training run. Each name begins with the run's name."""
    added = shares(workers)
    name = fit(machine(stack, run), 63 - max(map(len, added)))
    return [name + share for share in added]
