"""The first step of the release build: writes the build context of the wanted image.

The pointers and the name of the changed pointer are untrusted. Each is matched as a whole before it
is written into a Dockerfile or a name, so no part of it can become an instruction.
"""

from dataclasses import dataclass
from pathlib import Path

from pipeline import layout, release
from pipeline.errors import UserError
from pipeline.store import Store

_FILE_MODE, _FOLDER_MODE = 0o644, 0o755


@dataclass(frozen=True)
class Wanted:
    """The pair that an account's two pointers name: a release and an app base."""

    account: str
    release: str
    base: str

    @property
    def tag(self) -> str:
        """The image tag of the pair."""
        return layout.image_tag(self.release, self.base)


def account_of(pointer: str) -> str:
    """The account of the pointer that changed; raises UserError if the object is no pointer."""
    account = layout.account_of(pointer)
    if account is None:
        raise UserError(f"OBJECT: {pointer!r} is not a rollout pointer of an account")
    return account


def wanted(models: Store, account: str) -> Wanted | None:
    """The pair that the pointers name now; None before the first release.

    Raises:
        UserError: A pointer cannot be read.
    """
    live = release.read_live(models, account)
    base = release.read_base(models, account)
    if live is None or base is None:
        return None
    return Wanted(account, live.document.release, base.base)


def fetch(models: Store, repository: str, pair: Wanted, workspace: Path) -> str:
    """Write the build context `bundle`, and `image`, a file with the image's name; return the name.

    `image` is written last. If it exists, the bundle is complete.

    Raises:
        UserError: The release is not what its manifest says.
    """
    bundle = workspace / "bundle"
    model = bundle / "model"
    model.mkdir(parents=True)
    release.download_model(models, pair.account, pair.release, model)
    (bundle / "Dockerfile").write_text(
        f"FROM {pair.base}\n"
        "COPY model/ model/\n"
        f"ENV RELEASE={pair.release}\n"
        f"LABEL account={pair.account} release={pair.release} base={pair.base}\n"
    )
    # COPY keeps modes, and the app does not run as root. `COPY --chmod` needs BuildKit, which Cloud
    # Build's docker may lack.
    for path in (bundle, *bundle.rglob("*")):
        path.chmod(_FOLDER_MODE if path.is_dir() else _FILE_MODE)
    image = f"{repository}/{pair.account}:{pair.tag}"
    (workspace / "image").write_text(image)
    return image
