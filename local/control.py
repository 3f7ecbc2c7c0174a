"""The calls under /local/ by which a person's commands steer the local cloud.

Each answers JSON: what was asked for, or `{"error": one line}` with status 400.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from local.front import Respond, Route
from local.provider.faults import Fault
from local.services import iam
from local.services.executions import Execution
from local.services.scheduler import Fired
from pipeline.errors import UserError

if TYPE_CHECKING:
    from local.cloud import Cloud

Json = dict[str, Any]


def route(cloud: "Cloud") -> Route:
    """The route that answers for `cloud`."""
    calls: dict[tuple[str, str], Callable[[Json], Any]] = {
        ("GET", "status"): lambda _: cloud.status(),
        ("POST", "tick"): lambda _: [_fired(fired) for fired in cloud.tick()],
        ("POST", "run"): lambda asked: _fired(cloud.run(asked["job"])),
        ("POST", "fire"): lambda asked: _fired(cloud.fire(asked["job"])),
        ("GET", "grants"): lambda _: _grants(cloud),
        ("POST", "grants/suspend"): lambda asked: cloud.suspend(asked["grant"]),
        ("POST", "grants/restore"): lambda asked: cloud.suspended.discard(asked["grant"]),
        ("POST", "clock"): lambda asked: _advance(cloud, asked["to"]),
        ("POST", "x/users"): lambda asked: _add_user(cloud, asked),
        ("POST", "x/keys"): lambda asked: cloud.x.issue_keys(asked["handle"]),
        ("POST", "x/bearer"): lambda _: {"bearer": cloud.x.bearer()},
        ("POST", "x/posts"): lambda asked: [p.model_dump() for p in cloud.x.posts(asked["handle"])],
        ("POST", "fail"): lambda asked: cloud.providers.faults.add(Fault(**asked)),
        ("GET", "faults"): lambda _: cloud.providers.faults.status(),
        ("POST", "lose"): lambda asked: cloud.providers.lose(asked["urn"]),
    }

    def answer(method: str, path: str, body: bytes, respond: Respond) -> None:
        cloud.asked()
        name = unquote(path.partition("?")[0]).removeprefix("/local/").strip("/")
        try:
            if method == "GET" and name.startswith("logs/"):
                respond(200, _log(cloud, name).read_bytes(), "text/plain; charset=utf-8")
                return
            call = calls.get((method, name))
            if call is None:
                raise UserError(f"the local cloud has no call {method} /local/{name}")
            answered = call(json.loads(body or b"{}"))
        except (UserError, ValueError, KeyError) as error:
            respond(400, json.dumps({"error": str(error)}).encode())
        else:
            respond(200, json.dumps(answered, default=str).encode())

    return answer


def _fired(result: Fired | Execution) -> Json:
    """`attempt` is None where a job was run without its schedule."""
    if isinstance(result, Execution):
        return {"attempt": None, "execution": result.model_dump(mode="json")}
    return {
        "attempt": result.attempt.model_dump(mode="json"),
        "execution": result.execution and result.execution.model_dump(mode="json"),
    }


def _grants(cloud: "Cloud") -> list[Json]:
    return [
        {
            "id": name,
            **asdict(grant),
            "permissions": sorted(cloud.world.policy.permissions(grant.role)),
        }
        for name, grant in iam.grants(cloud.resources).items()
    ]


def _advance(cloud: "Cloud", to: str) -> Json:
    time = datetime.fromisoformat(to)
    if time.tzinfo is None:
        raise UserError(f"{to!r} has no time zone: write 2026-11-23T09:00:00Z")
    cloud.clock.advance_to(time)
    return {"now": cloud.clock.now().isoformat()}


def _add_user(cloud: "Cloud", asked: Json) -> Json:
    tweets = [(tweet["text"], datetime.fromisoformat(tweet["at"])) for tweet in asked["tweets"]]
    flags = {flag: True for flag in ("protected", "suspended") if asked.get(flag)}
    cloud.x.add_user(asked["handle"], tweets, **flags)
    return {"handle": asked["handle"], "tweets": len(tweets)}


def _log(cloud: "Cloud", name: str) -> Path:
    """logs/executions/NAME, logs/builds/ID, logs/instances/NAME or logs/services/NAME."""
    folder = cloud.home / "logs"
    file = (cloud.home / f"{name}.log").resolve()
    if not file.is_relative_to(folder) or not file.is_file():
        raise UserError(f"there is no log {name.removeprefix('logs/')}")
    return file
