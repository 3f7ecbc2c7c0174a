#!/usr/bin/env python3
"""Two steps of the release build: fetch the wanted release, and make `:live` mean it.

Cloud Build runs this file's text in Google's cloud-sdk image (Python and gcloud, nothing else),
once with STEP=fetch and once with STEP=live. Environment: OBJECT, the pointer that changed;
MODELS, the bucket; REPOSITORY, the image repository. OBJECT comes from outside and is only ever
compared and passed as an argument, never spliced into a command line.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

POINTER = re.compile(r"rollout/(?:live|base)/([a-z0-9-]+)\.json")


class Wanted(NamedTuple):
    """What the two pointers of an account ask for."""

    account: str
    release: str
    base: str

    @property
    def tag(self) -> str:
        """The image tag of the pair."""
        return f"{self.release}-{self.base.rpartition(':')[2][:12]}"


class BuildError(Exception):
    """The build cannot go on; the text says why."""


def converge(wanted: Callable[[], Wanted | None], point: Callable[[Wanted], bool]) -> Wanted | None:
    """Point `:live` at the image of the wanted pair until it is still the wanted one afterwards.

    `point` answers False where the pair has no image yet: the event that made it wanted has a
    build of its own, which points `:live` when it comes to this step.
    """
    pair = wanted()
    while pair is not None:
        if not point(pair):
            return None
        now = wanted()
        if now == pair:
            return pair
        pair = now
    return None


def gcloud(*args: str) -> subprocess.CompletedProcess[str]:
    """Run gcloud; its output is kept."""
    return subprocess.run(["gcloud", *args], capture_output=True, text=True, check=False)


def account_of(pointer: str) -> str:
    """The account that a pointer's name tells."""
    match = POINTER.fullmatch(pointer)
    if match is None:
        raise BuildError(f"{pointer!r} is not a rollout pointer")
    return match[1]


def read_json(url: str) -> dict[str, Any] | None:
    """The JSON object at a gs:// address, or None where there is none."""
    done = gcloud("storage", "cat", url)
    if done.returncode:
        if "matched no objects" in done.stderr:
            return None
        raise BuildError(f"{url} cannot be read: {done.stderr.strip()}")
    return json.loads(done.stdout)


def wanted_of(models: str, account: str) -> Wanted | None:
    """The pair that the pointers ask for, or None before the first release."""
    live = read_json(f"gs://{models}/rollout/live/{account}.json")
    base = read_json(f"gs://{models}/rollout/base/{account}.json")
    if live is None or base is None:
        return None
    return Wanted(account, live["release"], base["base"])


def fetch(models: str, repository: str, pair: Wanted) -> None:
    """Lay out ./bundle, the image's build context, and ./image, its name; verify every file."""
    release = f"gs://{models}/releases/{pair.account}/{pair.release}"
    manifest = read_json(f"{release}/manifest.json")
    if manifest is None:
        raise BuildError(f"{release}: no manifest, so no release")
    model = Path("bundle/model")
    model.mkdir(parents=True)
    done = gcloud("storage", "cp", "--recursive", f"{release}/model/*", str(model))
    if done.returncode:
        raise BuildError(f"{release}: {done.stderr.strip()}")
    verify(model, manifest["files"])
    Path("bundle/Dockerfile").write_text(
        f"FROM {pair.base}\n"
        "COPY model/ model/\n"
        f"ENV RELEASE={pair.release}\n"
        f"LABEL account={pair.account} release={pair.release} base={pair.base}\n"
    )
    Path("image").write_text(f"{repository}/{pair.account}:{pair.tag}")
    print(f"fetched {release} for {pair.base}")


def verify(model: Path, digests: dict[str, str]) -> None:
    """Every file of the model is there, and is what the manifest's `files` say."""
    expected = {
        name.removeprefix("model/"): digest
        for name, digest in digests.items()
        if name.startswith("model/")
    }
    found = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in model.iterdir()}
    if found != expected:
        wrong = sorted(n for n in {*found, *expected} if found.get(n) != expected.get(n))
        raise BuildError(f"the release's files are not what its manifest says: {', '.join(wrong)}")


def point_live(repository: str, pair: Wanted) -> bool:
    """Make `:live` mean the pair's image; False where that is not in the registry."""
    image = f"{repository}/{pair.account}"
    done = gcloud("artifacts", "docker", "tags", "add", f"{image}:{pair.tag}", f"{image}:live")
    if done.returncode:
        if "not found" in done.stderr.lower():
            return False
        raise BuildError(f"{image}:live cannot be moved: {done.stderr.strip()}")
    print(f"{image}:live is {pair.tag}")
    return True


def main() -> None:
    """Run the step that STEP names."""
    models, repository = os.environ["MODELS"], os.environ["REPOSITORY"]
    account = account_of(os.environ["OBJECT"])
    if os.environ["STEP"] == "fetch":
        pair = wanted_of(models, account)
        if pair is None:
            print(f"{account} has no release yet: nothing to build")
        else:
            fetch(models, repository, pair)
    elif Path("image").exists():
        converge(lambda: wanted_of(models, account), lambda pair: point_live(repository, pair))


if __name__ == "__main__":
    try:
        main()
    except BuildError as error:
        sys.exit(f"ERROR: {error}")
