"""All resource types and functions that the local cloud's providers know."""

from collections.abc import Callable

from local.engine.handler import Handler, Json
from local.services.artifactregistry import images
from local.services.artifactregistry import resources as artifactregistry
from local.services.cloudbuild import resources as cloudbuild
from local.services.compute import network
from local.services.compute import resources as compute
from local.services.compute.instances import Instances
from local.services.context import Context
from local.services.iam import grants
from local.services.iam import resources as iam
from local.services.monitoring import resources as monitoring
from local.services.pubsub import resources as pubsub
from local.services.run import resources as run
from local.services.run.serving import Services
from local.services.scheduler import resources as scheduler
from local.services.scheduler.scheduler import Scheduler
from local.services.secretmanager import resources as secretmanager
from local.services.secretmanager.secrets import Secrets
from local.services.serviceusage import resources as serviceusage
from local.services.storage import resources as storage
from local.services.storage.server import StorageServer


def handlers(
    context: Context,
    server: StorageServer,
    versions: Secrets,
    ticker: Scheduler,
    instances: Instances,
    services: Services,
) -> dict[str, Handler]:
    """Returns the handlers of all three providers, by type token."""
    return {
        artifactregistry.REPOSITORY: artifactregistry.Repository(context),
        cloudbuild.TRIGGER: cloudbuild.Trigger(context),
        compute.FROM_TEMPLATE: compute.FromTemplate(context, instances),
        compute.TEMPLATE: compute.Template(context),
        grants.ACCOUNT: iam.Account(context),
        grants.CUSTOM_ROLE: iam.CustomRole(context),
        **{token: iam.Member(context, token, server.exists) for token in grants.GRANTED_ON},
        grants.BUCKET_BINDING: iam.Binding(context, grants.BUCKET_BINDING, server.exists),
        images.IMAGE: images.Image(context),
        images.INDEX: images.Index(context),
        monitoring.BUDGET: monitoring.Budget(context),
        monitoring.CHANNEL: monitoring.Channel(context),
        monitoring.DASHBOARD: monitoring.Dashboard(context),
        monitoring.POLICY: monitoring.Policy(context),
        network.NAT: network.Nat(context),
        network.NETWORK: network.Network(context),
        network.ROUTER: network.Router(context),
        network.SUBNETWORK: network.Subnetwork(context),
        pubsub.TOPIC: pubsub.Topic(context),
        run.JOB: run.Job(context, versions),
        run.SERVICE: run.Service(context, versions, services.address, services.retire),
        scheduler.JOB: scheduler.Job(context, ticker.since),
        secretmanager.SECRET: secretmanager.Secret(context, versions),
        serviceusage.SERVICE: serviceusage.Service(context),
        storage.BUCKET: storage.Bucket(context, server),
        storage.MANAGED_FOLDER: storage.ManagedFolder(context, server),
        storage.NOTIFICATION: storage.Notification(context, server),
        storage.OBJECT: storage.Object(context),
    }


def invokes(context: Context) -> dict[str, Callable[[Json], Json]]:
    """Returns the functions of all three providers, by token."""
    agent = context.storage_agent
    return {
        "gcp:storage/getProjectServiceAccount:getProjectServiceAccount": lambda args: {
            "id": agent,
            "project": args.get("project") or context.project,
            "emailAddress": agent,
            "member": f"serviceAccount:{agent}",
        },
    }
