"""The calls that the programs make on Google Cloud, with the permission that each call needs.

The tests hold that every call is granted, and that every grant is needed by a call. The table has
no calls that Google's service agents make with the roles that Google gives them: pulling a job's
image, signing the scheduler's tokens, starting a build as its service account.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline import layout
from tests.stacks.granted import ACCOUNTS, Permissions

_GET, _LIST = "storage.objects.get", "storage.objects.list"
_CREATE, _DELETE = "storage.objects.create", "storage.objects.delete"
_LOG = "logging.logEntries.create"
_PULL = "artifactregistry.repositories.downloadArtifacts"
_PUSH = "artifactregistry.repositories.uploadArtifacts"
_SECRET = "secretmanager.versions.access"
_RUN = "run.jobs.run"

_ONE = "{account}"
_SEGMENT = f"{{data}}/objects/{layout.page(_ONE, 1000, 1249, 250)}"
_COLLECTING = f"{{data}}/objects/{layout.collecting(_ONE)}"
_ALL_READS = f"{{data}}/objects/{layout.stack_reads()}"
_INDEX = f"{{data}}/objects/{layout.index(_ONE)}"
_FORGOTTEN = f"{{data}}/objects/{layout.forgotten(_ONE)}"
_READS = f"{{data}}/objects/{layout.reads(_ONE)}"
_SLOT = f"{{data}}/objects/{layout.slot(_ONE, '2026-11-23T09-00Z')}"
_DECLARED = f"{{data}}/objects/{layout.declared(_ONE)}"
_COLLECTED = f"{{data}}/objects/{layout.collected(_ONE)}"
_STATE = f"{{data}}/objects/{layout.watch_state()}"
_BY_HAND = f"{{data}}/objects/{layout.run_by_hand('first')}"
_HISTORY = f"{{data}}/objects/{layout.history(_ONE)}"
_SPENT = f"{{data}}/objects/{layout.spent(_ONE)}"
_BASE_MODEL = f"{{models}}/objects/{layout.base_model('124M')}model.ckpt.index"
_MANIFEST = f"{{models}}/objects/{layout.manifest(_ONE, '20261123T090000Z-0123abcd')}"
_WEIGHTS = f"{{models}}/objects/{layout.weights(_ONE, '20261123T090000Z-0123abcd')[0]}model.bin"
_LIVE = f"{{models}}/objects/{layout.live_pointer(_ONE)}"
_BASE = f"{{models}}/objects/{layout.base_pointer(_ONE)}"
_RESULT = f"{{models}}/objects/{layout.run_result('train-prod-first')}"
_RUN_ACCOUNTS = f"{{models}}/objects/{layout.run_accounts('train-prod-first')}"
_VERDICT = f"{{models}}/objects/{layout.run_verdict('train-prod-first')}"
_LEASE = f"{{models}}/objects/{layout.lease(_ONE)}"
_RUN_LEASE = f"{{models}}/objects/{layout.run_lease()}"
_MACHINE = "{zone}-%s/instances/train-prod-20261123t020000-0123-1of2"

# Caller (the name of its service account in Pulumi), purpose, permission, resource.
# Cloud Storage says that an object is absent only to a caller who may list. Replacing an object
# also needs the permission to delete it.
_TABLE = [
    ("scraper", "read X's bearer token", _SECRET, "{bearer}/versions/latest"),
    ("scraper", "see that an object is absent", _LIST, "{data}"),
    (
        "scraper",
        "read an account's X keys, if it reads with them",
        _SECRET,
        "{keys}/versions/latest",
    ),
    ("scraper", "list the pages of tweets and the slots", _LIST, "{data}"),
    ("scraper", "take and end the lease of collecting", _DELETE, _COLLECTING),
    ("scraper", "read a page that an older program stored", _GET, _SEGMENT),
    ("scraper", "blank tweets that were forgotten on request", _GET, _FORGOTTEN),
    ("scraper", "store a page of tweets", _CREATE, _SEGMENT),
    ("scraper", "read the index", _GET, _INDEX),
    ("scraper", "create the index", _CREATE, _INDEX),
    ("scraper", "change the index", _DELETE, _INDEX),
    ("scraper", "read the ids of the bot's own posts", _GET, _SLOT),
    ("scraper", "update the ledger of reads", _DELETE, _READS),
    ("scraper", "update the ledger of all accounts' reads", _DELETE, _ALL_READS),
    ("scraper", "record how collecting stands", _DELETE, _COLLECTED),
    ("{account}-post", "read its X keys", _SECRET, "{keys}/versions/latest"),
    ("{account}-post", "see that an object is absent", _LIST, "{data}"),
    ("{account}-post", "read the result of a slot", _GET, _SLOT),
    ("{account}-post", "claim a slot", _CREATE, _SLOT),
    ("{account}-post", "record the result of a slot", _DELETE, _SLOT),
    ("{account}-post", "update the history of its texts", _DELETE, _HISTORY),
    ("{account}-post", "update the ledger of posts", _DELETE, _SPENT),
    ("scheduler", "start the collecting job", _RUN, "{collect_job}"),
    ("scheduler", "start the posting job", _RUN, "{post_job}"),
    ("scheduler", "start the watcher", _RUN, "{watcher_job}"),
    ("watcher", "list the accounts", _LIST, "{data}"),
    ("watcher", "read what is declared of an account", _GET, _DECLARED),
    ("watcher", "read which run by hand the stack file names", _GET, _BY_HAND),
    ("watcher", "see whether that run has ended", _GET, _RESULT),
    ("watcher", "read how collecting stands", _GET, _COLLECTED),
    ("watcher", "read the result of a slot", _GET, _SLOT),
    ("watcher", "read the state of its last run", _GET, _STATE),
    ("watcher", "store its state", _DELETE, _STATE),
    ("watcher", "see that there is no release yet", _LIST, "{models}"),
    ("watcher", "read which release is live", _GET, _LIVE),
    ("watcher", "read which app base is wanted", _GET, _BASE),
    ("watcher", "look up the image of a tag", _PULL, "{repository}"),
    ("watcher", "send a pointer's event again", "pubsub.topics.publish", "{rollout}"),
    ("trainer", "pull its image", _PULL, "{repository}"),
    ("trainer", "write its log", _LOG, "{project}"),
    ("trainer", "list the tweets", _LIST, "{data}"),
    ("trainer", "read the tweets", _GET, _SEGMENT),
    ("trainer", "leave out what was forgotten on request", _GET, _FORGOTTEN),
    ("trainer", "leave out the bot's own posts", _GET, _HISTORY),
    ("trainer", "read what may be learnt", _GET, _DECLARED),
    ("trainer", "list accounts and releases", _LIST, "{models}"),
    ("trainer", "read the base model", _GET, _BASE_MODEL),
    ("trainer", "upload the base model", _CREATE, _BASE_MODEL),
    ("trainer", "read earlier releases", _GET, _MANIFEST),
    ("trainer", "upload a release", _CREATE, _MANIFEST),
    (
        "trainer",
        "mark a release as pruned, or as having learnt what is forgotten",
        _DELETE,
        _MANIFEST,
    ),
    ("trainer", "delete a pruned release's weights", _DELETE, _WEIGHTS),
    ("trainer", "read which release is live", _GET, _LIVE),
    ("trainer", "make a release live", _DELETE, _LIVE),
    ("trainer", "see whether the run is finished", _GET, _RESULT),
    ("trainer", "write the run's result", _CREATE, _RESULT),
    ("trainer", "look for a lease", _GET, _LEASE),
    ("trainer", "take and renew a lease", _DELETE, _LEASE),
    ("trainer", "see whether another run is training", _GET, _RUN_LEASE),
    ("trainer", "take and end the run's lease", _DELETE, _RUN_LEASE),
    ("scheduler", "start the training job", _RUN, "{retrain_job}"),
    ("retrain", "list the tweets", _LIST, "{data}"),
    ("retrain", "read the tweets", _GET, _SEGMENT),
    ("retrain", "leave out what was forgotten on request", _GET, _FORGOTTEN),
    ("retrain", "leave out the bot's own posts", _GET, _HISTORY),
    ("retrain", "read what may be learnt", _GET, _DECLARED),
    ("retrain", "list accounts, and see that there is no lease or result", _LIST, "{models}"),
    ("retrain", "read which release is live", _GET, _LIVE),
    ("retrain", "read what it was trained on", _GET, _MANIFEST),
    ("retrain", "record which accounts a run trains", _CREATE, _RUN_ACCOUNTS),
    ("retrain", "see whether a run is a scheduled one", _GET, _RUN_ACCOUNTS),
    ("retrain", "look for the lease of a run", _GET, _RUN_LEASE),
    ("retrain", "take the lease of a run", _CREATE, _RUN_LEASE),
    ("retrain", "take over an expired lease, and end its own", _DELETE, _RUN_LEASE),
    ("retrain", "read the run's result", _GET, _RESULT),
    ("retrain", "write the run's verdict", _CREATE, _VERDICT),
    ("retrain", "insert a machine", "compute.instances.create", _MACHINE % "a"),
    ("retrain", "insert a machine", "compute.disks.create", "{zone}-a/disks/train-prod"),
    ("retrain", "insert a machine", "compute.subnetworks.use", "{project}"),
    ("retrain", "insert a machine", "compute.subnetworks.useExternalIp", "{project}"),
    ("retrain", "insert a machine", "compute.instances.setMetadata", _MACHINE % "a"),
    ("retrain", "insert a machine", "compute.instances.setLabels", _MACHINE % "a"),
    ("retrain", "insert a machine", "compute.instances.setServiceAccount", _MACHINE % "a"),
    (
        "retrain",
        "insert it from a template",
        "compute.instanceTemplates.useReadOnly",
        "{project}/global/instanceTemplates/prod-trainer-1",
    ),
    ("retrain", "let it run as the trainer", "iam.serviceAccounts.actAs", "{trainer}"),
    ("retrain", "wait for an operation", "compute.zoneOperations.get", "{zone}-a/operations/1"),
    ("retrain", "watch the machine", "compute.instances.get", _MACHINE % "a"),
    ("retrain", "find machines that are left over", "compute.instances.list", "{project}"),
    *(
        ("retrain", "delete the machine", "compute.instances.delete", _MACHINE % zone)
        for zone in "abc"
    ),
    ("api", "see that there is no release yet", _LIST, "{models}"),
    ("api", "read which release is live", _GET, _LIVE),
    ("api", "load the live release", _GET, _MANIFEST),
    ("project's viewers", "list the objects", _LIST, "{data}"),
    ("project's viewers", "list the objects", _LIST, "{models}"),
    ("storage agent", "publish that a pointer changed", "pubsub.topics.publish", "{rollout}"),
    ("build", "see that there is no release yet", _LIST, "{models}"),
    ("build", "read which release is live", _GET, _LIVE),
    ("build", "read which app base is wanted", _GET, _BASE),
    ("build", "fetch the release", _GET, _MANIFEST),
    ("build", "pull the control image and the base", _PULL, "{repository}"),
    ("build", "push the release's image", _PUSH, "{repository}"),
    ("build", "tag the release's image", "artifactregistry.tags.create", "{repository}"),
    ("build", "move `:live`", "artifactregistry.tags.update", "{repository}"),
    ("build", "write its log", _LOG, "{project}"),
]


@dataclass(frozen=True)
class Call:
    """One call of one service account on one resource."""

    member: str
    does: str
    permission: str
    resource: str


def of(permissions: Permissions, accounts: Iterable[str] = ACCOUNTS) -> list[Call]:
    """All calls of a stack with these accounts, each once, in the order of the table."""
    made: dict[Call, None] = {}
    for who, does, permission, resource in _TABLE:
        for account in accounts:
            place = permissions.places(account)
            member = permissions.members[who.format_map(place)]
            made[Call(member, does, permission, resource.format_map(place))] = None
    return list(made)
