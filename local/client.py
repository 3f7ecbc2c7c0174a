"""What a person's commands ask of a local cloud that runs in the background."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import requests

from pipeline.errors import UserError

Json = dict[str, Any]
Method = Literal["Create", "Read", "Update", "Delete"]
When = Literal["before", "after"]

# Seconds that a call may take; a tick waits for the jobs that it starts.
_QUICK = 30
_LONG = 24 * 3600
_ANSWER = 300


class Client:
    """The calls of `local.control` at `url`; each raises UserError with the cloud's own line."""

    def __init__(self, url: str) -> None:
        self.url = url

    def status(self) -> Json:
        """Resources, ticks, attempts, executions, builds, instances, services, problems."""
        return self._ask("GET", "status")

    def tick(self) -> list[Json]:
        """Make it the time of the next tick; `{"attempt", "execution"}` of each that fired."""
        return self._ask("POST", "tick", {}, _LONG)

    def run(self, job: str) -> Json:
        """Run a job, or force a scheduler job; `{"attempt", "execution"}`."""
        return self._ask("POST", "run", {"job": job}, _LONG)

    def fire(self, schedule: str) -> Json:
        """Force a scheduler job to fire; `{"attempt", "execution"}`."""
        return self._ask("POST", "fire", {"job": schedule}, _LONG)

    def grants(self) -> list[Json]:
        """Every declared grant: id, member, role, its permissions, resource, condition."""
        return self._ask("GET", "grants")

    def suspend(self, grant: str) -> None:
        """Let a grant, by its id, not hold until it is restored, as if it were not declared."""
        self._ask("POST", "grants/suspend", {"grant": grant})

    def restore(self, grant: str) -> None:
        """Let a suspended grant hold again."""
        self._ask("POST", "grants/restore", {"grant": grant})

    def advance(self, to: datetime) -> None:
        """Make it `to` now, without firing anything."""
        self._ask("POST", "clock", {"to": to.isoformat()})

    def log(self, kind: str, name: str) -> str:
        """The output of one of the `executions`, `builds`, `instances` or `services`."""
        return self._get(f"logs/{kind}/{name}").text

    def token(self) -> str:
        """A bearer token of the person at the machine, who may do all."""
        path = "computeMetadata/v1/instance/service-accounts/default/token"
        answer = requests.get(
            f"{self.url}/as/operator/{path}",
            headers={"Metadata-Flavor": "Google"},
            timeout=_QUICK,
        )
        return answer.json()["access_token"]

    def ask(self, service: str, **parameters: str) -> str:
        """A text of a service, asked for as the person at the machine."""
        try:
            answer = requests.get(
                f"{self.url}/run/{service}/",
                params=parameters,
                headers={"Authorization": f"Bearer {self.token()}"},
                timeout=(5, _ANSWER),
            )
        except requests.RequestException as error:
            raise UserError(f"service {service} does not answer: {error}") from error
        if not answer.ok:
            raise UserError(f"service {service}: {answer.status_code} {answer.text.strip()}")
        return answer.json()["text"]

    def add_x_user(
        self, handle: str, tweets: Sequence[tuple[str, datetime]], **flags: bool
    ) -> None:
        """Give X a user with tweets; flags are `protected` and `suspended`."""
        listed = [{"text": text, "at": at.isoformat()} for text, at in tweets]
        self._ask("POST", "x/users", {"handle": handle, "tweets": listed, **flags})

    def x_keys(self, handle: str) -> Json:
        """The four keys with which `handle` posts."""
        return self._ask("POST", "x/keys", {"handle": handle})

    def x_bearer(self) -> str:
        """The bearer token with which timelines are read."""
        return self._ask("POST", "x/bearer", {})["bearer"]

    def x_posts(self, handle: str) -> list[Json]:
        """What `handle` has posted, oldest first."""
        return self._ask("POST", "x/posts", {"handle": handle})

    def fail(
        self,
        method: Method,
        resource: str,
        when: When = "before",
        *,
        hang: bool = False,
    ) -> None:
        """Let the next such call on a resource, its URN or type, fail: see `provider.faults`."""
        fault = {"method": method, "resource": resource, "when": when, "hang": hang}
        self._ask("POST", "fail", fault)

    def faults(self) -> Json:
        """The faults that are `left`, and those `hanging` now."""
        return self._ask("GET", "faults")

    def lose(self, urn: str) -> None:
        """Remove a resource behind Pulumi's back."""
        self._ask("POST", "lose", {"urn": urn})

    def _ask(self, method: str, call: str, body: Json | None = None, limit: int = _QUICK) -> Any:
        return self._answer(method, call, body, limit).json()

    def _get(self, call: str) -> requests.Response:
        return self._answer("GET", call, None, _QUICK)

    def _answer(self, method: str, call: str, body: Json | None, limit: int) -> requests.Response:
        try:
            response = requests.request(
                method, f"{self.url}/local/{call}", json=body, timeout=(5, limit)
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
