"""What the real engine has deployed to a local cloud, and how it is run with Docker."""

import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from demo.samples import grammar
from local.cloud import Cloud
from local.services.run import resources as run
from pipeline.store import Store
from tests.local.breakable import BreakableCloud
from tests.loop.deployment import Deployment
from tests.real.docker import Docker
from tests.stacks.recorder import ROOT

FIRST = datetime(2026, 11, 1, tzinfo=UTC)


@dataclass
class Declared:
    """What the engine registered, and the local cloud that it was registered with."""

    cloud: Cloud
    deployment: Deployment
    docker: Docker

    def command(self, name: str, image: str, *options: str) -> list[str]:
        """`docker run` of a declared job or service on an image, with all else as declared."""
        template, container = self._declared(name)
        limits = container["resources"]["limits"]
        account = template["serviceAccount"]
        variables = {v["name"]: v["value"] for v in container.get("envs", [])}
        # https://cloud.google.com/run/docs/container-contract#jobs-env-vars
        variables |= {"CLOUD_RUN_JOB": name, "CLOUD_RUN_EXECUTION": f"{name}-x7k2p"}
        variables |= self.cloud.network(name, account, {})
        given = [word for key, value in variables.items() for word in ("--env", f"{key}={value}")]
        memory = limits["memory"].removesuffix("i").lower()  # Docker's m is Mi
        return [
            *("run", "--network=host", f"--memory={memory}", f"--memory-swap={memory}"),
            *(f"--cpus={limits['cpu']}", *given, *options, image, *container["args"]),
        ]

    def run(self, name: str, image: str) -> tuple[int, dict[str, Any]]:
        """The exit status of a job's task, and its last line."""
        status, said = self.docker.status(*self.command(name, image, "--rm"))
        assert "Traceback" not in said
        return status, json.loads(said.strip().splitlines()[-1])

    def _declared(self, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """The template of a job's task or of a service's instance, and its container."""
        of_type = self.cloud.resources.of_type
        tasks = {job.inputs["name"]: job.inputs["template"]["template"] for job in of_type(run.JOB)}
        instances = {one.inputs["name"]: one.inputs["template"] for one in of_type(run.SERVICE)}
        template = (tasks | instances)[name]
        return template, template["containers"][0]

    @property
    def models(self) -> Store:
        return self.deployment.cloud.models

    @property
    def data(self) -> Store:
        return self.deployment.cloud.data


@contextmanager
def deployed(folder: Path, daemon: Docker) -> Generator[Declared]:
    """A deployment of the local stack, with a schedule and the credentials that a person gives."""
    deployment = Deployment.begin(folder)
    # The local stack file has no schedule, and without one no job that trains.
    deployment.configure(lambda c: c["gpt2-bots:training"].update(schedule="0 2 * * 1"))
    cloud = BreakableCloud(deployment.home, deployment.port, project="local-bots", root=ROOT)
    cloud.start()
    try:
        # As the background process leaves it, for those who look for it.
        address = {"pid": os.getpid(), "url": cloud.gateway.url}
        (deployment.home / "daemon.json").write_text(json.dumps(address))
        deployment.up()
        for account, handle in (("keeper", "lampkeeper"), ("baker", "grumpybaker")):
            spoken = [(text, FIRST) for text in grammar.tweets(account, 30)]
            deployment.client.add_x_user(handle, spoken)
            keys = json.dumps(deployment.client.x_keys(handle))
            deployment.bots("credentials", account, given=keys)
        deployment.bots("credentials", "--bearer", given=deployment.client.x_bearer())
        yield Declared(cloud, deployment, daemon)
    finally:
        cloud.stop()
