"""The tweet APIs: a Cloud Run service for each account with `serve`."""

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_gcp as gcp

from pipeline import layout
from stacks import config
from stacks.bucket import READ
from stacks.component import Component
from stacks.shared import Shared

_PORT = 8080
_HEALTH = "/health"


class Serving(Component):
    """The services of a project, and the one identity that they run as."""

    def __init__(self, served: Mapping[str, config.Serving], shared: Shared) -> None:
        super().__init__(shared.project.named("serving"), shared.project)
        self._served = served
        self._shared = shared
        self._identity = shared.project.identity("api", "answers requests for texts")
        self._may_read = shared.storage.models.grant(
            "api", self._identity.member, READ, layout.all_releases(), layout.all_live_pointers()
        )
        shared.storage.models.may_list(self._identity.member)

    def start(self, *listing: pulumi.Resource) -> None:
        """Declare the services. They list releases at once, so the grants to list come first."""
        for account, serving in self._served.items():
            service = self._service(account, serving, listing)
            if serving.public:
                self._open_to_all(account, service)
        self.register_outputs({})

    def _service(
        self, account: str, serving: config.Serving, needs: Sequence[pulumi.Resource]
    ) -> gcp.cloudrunv2.Service:
        """Declare a service on the app base, which loads the live release by itself."""
        project = self._shared.project
        return gcp.cloudrunv2.Service(
            f"{account}-api",
            gcp.cloudrunv2.ServiceArgs(
                name=layout.service(project.stack.name, account),
                location=project.stack.region,
                description=f"Answers requests for texts as {account}",
                deletion_protection=False,
                # Callers are admitted by their identity, from everywhere.
                ingress="INGRESS_TRAFFIC_ALL",
                template=gcp.cloudrunv2.ServiceTemplateArgs(
                    service_account=self._identity.email,
                    # The app writes one text at a time.
                    max_instance_request_concurrency=1,
                    timeout="120s",
                    scaling=gcp.cloudrunv2.ServiceTemplateScalingArgs(
                        min_instance_count=0, max_instance_count=serving.max_instances
                    ),
                    containers=[self._container(account)],
                ),
            ),
            self.child(project.service("run"), self._may_read, *needs),
        )

    def _container(self, account: str) -> gcp.cloudrunv2.ServiceTemplateContainerArgs:
        return gcp.cloudrunv2.ServiceTemplateContainerArgs(
            image=self._shared.images.app,
            args=["serve"],
            envs=[
                gcp.cloudrunv2.ServiceTemplateContainerEnvArgs(name="ACCOUNT", value=account),
                gcp.cloudrunv2.ServiceTemplateContainerEnvArgs(
                    name="MODELS_BUCKET", value=self._shared.storage.models.name
                ),
            ],
            ports=gcp.cloudrunv2.ServiceTemplateContainerPortsArgs(container_port=_PORT),
            # Memory for two models while one replaces the other, and for the files of the second.
            resources=gcp.cloudrunv2.ServiceTemplateContainerResourcesArgs(
                limits={"cpu": "1", "memory": "1Gi"}, cpu_idle=True, startup_cpu_boost=True
            ),
            # The release is loaded before the first response, which may take 30 times 4 s.
            startup_probe=gcp.cloudrunv2.ServiceTemplateContainerStartupProbeArgs(
                http_get=gcp.cloudrunv2.ServiceTemplateContainerStartupProbeHttpGetArgs(
                    path=_HEALTH, port=_PORT
                ),
                period_seconds=4,
                timeout_seconds=4,
                failure_threshold=30,
            ),
            liveness_probe=gcp.cloudrunv2.ServiceTemplateContainerLivenessProbeArgs(
                http_get=gcp.cloudrunv2.ServiceTemplateContainerLivenessProbeHttpGetArgs(
                    path=_HEALTH, port=_PORT
                ),
                period_seconds=30,
                timeout_seconds=10,
                failure_threshold=3,
            ),
        )

    def _open_to_all(self, account: str, service: gcp.cloudrunv2.Service) -> None:
        gcp.cloudrunv2.ServiceIamMember(
            f"{account}-api-public",
            gcp.cloudrunv2.ServiceIamMemberArgs(
                name=service.name,
                location=service.location,
                role="roles/run.invoker",
                member="allUsers",
            ),
            self.child(),
        )
