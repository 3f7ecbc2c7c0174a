"""What a person's commands ask of a local cloud that runs in the background."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import requests

from local.x import Draft
from pipeline.errors import UserError

Json = dict[str, Any]

# Seconds that a call may take. A tick waits for the jobs that it starts.
QUICK = 30
LONG = 24 * 3600
_TEXT = 300


class Client:
    """The calls of the local cloud at `url`. Each raises UserError with the cloud's own line."""

    def __init__(self, url: str) -> None:
        self.url = url

    def status(self) -> Json:
        """Returns resources, ticks, attempts, executions, builds, instances, services, problems."""
        return self.call("GET", "status").json()

    def tick(self) -> list[Json]:
        """Advances to the next tick; returns `{"attempt", "execution"}` of each job that fired."""
        return self.call("POST", "tick", {}, LONG).json()

    def run(self, job: str) -> Json:
        """Runs a job, or fires a scheduler job; returns `{"attempt", "execution"}`."""
        return self.call("POST", "run", {"job": job}, LONG).json()

    def log(self, collection: str, name: str) -> str:
        """Returns the output of one of the `executions`, `builds`, `instances` or `services`."""
        return self.call("GET", f"logs/{collection}/{name}").text

    def token(self) -> str:
        """Returns a bearer token of the person at the machine, who may do everything."""
        path = "computeMetadata/v1/instance/service-accounts/default/token"
        response = requests.get(
            f"{self.url}/as/operator/{path}",
            headers={"Metadata-Flavor": "Google"},
            timeout=QUICK,
        )
        return response.json()["access_token"]

    def ask(self, service: str, **parameters: str) -> str:
        """Returns a text of a service, asked for as the person at the machine."""
        try:
            response = requests.get(
                f"{self.url}/run/{service}/",
                params=parameters,
                headers={"Authorization": f"Bearer {self.token()}"},
                timeout=(5, _TEXT),
            )
        except requests.RequestException as error:
            raise UserError(f"service {service} does not answer: {error}") from error
        if not response.ok:
            raise UserError(f"service {service}: {response.status_code} {response.text.strip()}")
        return response.json()["text"]

    def add_x_user(
        self, handle: str, tweets: Sequence[tuple[str, datetime] | Draft], **flags: bool
    ) -> None:
        """Adds a user with tweets to X. Flags are `protected` and `suspended`."""
        listed = [Draft.of(tweet).model_dump(mode="json") for tweet in tweets]
        self.call("POST", "x/users", {"handle": handle, "tweets": listed, **flags})

    def x_keys(self, handle: str) -> Json:
        """Returns the four keys with which `handle` posts."""
        return self.call("POST", "x/keys", {"handle": handle}).json()

    def x_bearer(self) -> str:
        """Returns the bearer token with which timelines are read."""
        return self.call("POST", "x/bearer", {}).json()["bearer"]

    def x_posts(self, handle: str) -> list[Json]:
        """Returns what `handle` has posted, oldest first."""
        return self.call("POST", "x/posts", {"handle": handle}).json()

    def call(
        self, method: str, call: str, body: Json | None = None, timeout: int = QUICK
    ) -> requests.Response:
        """Makes a call of `local.control`; `timeout` is in seconds."""
        try:
            response = requests.request(
                method, f"{self.url}/local/{call}", json=body, timeout=(5, timeout)
            )
        except requests.RequestException as error:
            raise UserError(
                f"no local cloud answers at {self.url}: `python -m local up` starts it"
            ) from error
        if not response.ok:
            try:
                line = response.json()["error"]
            except (ValueError, KeyError, TypeError):
                line = f"{response.status_code} to {method} /local/{call}"
            raise UserError(line)
        return response
