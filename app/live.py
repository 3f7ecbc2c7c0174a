"""Keeps an account's live release loaded, and follows the pointer when it moves."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline import release
from pipeline.clock import Clock
from pipeline.errors import PipelineError
from pipeline.generation import Model
from pipeline.log import log
from pipeline.objections import Objections
from pipeline.store import Store

CHECK_EVERY = timedelta(seconds=10)
"""Minimum interval between reads of the pointer."""


@dataclass(frozen=True)
class Release:
    """A loaded release: its model, and the checks of its texts."""

    tag: str
    model: Model
    objections: Objections


class NoRelease(Exception):
    """No release is loaded. The message can be shown to the caller."""


class Live:
    """Loads the live release. If that fails, the release that was loaded before stays in use.

    Not thread-safe, except for `tag`.
    """

    def __init__(
        self,
        account: str,
        store: Store,
        clock: Clock,
        load: "Callable[[Store, str, str], Release] | None" = None,
    ) -> None:
        """Set up without loading; `store` is the models bucket."""
        self._account = account
        self._store = store
        self._clock = clock
        self._load = load or load_release
        self._checked: datetime | None = None
        self._loaded: Release | None = None
        self._reason = ""

    @property
    def tag(self) -> str | None:
        """The tag of the loaded release; None if none is loaded."""
        return self._loaded.tag if self._loaded else None

    def current(self) -> Release:
        """Return the live release as of the last read of the pointer; raises NoRelease."""
        now = self._clock()
        if self._checked is None or now - self._checked >= CHECK_EVERY:
            self._checked = now
            self._follow()
        if self._loaded is None:
            raise NoRelease(self._reason)
        return self._loaded

    def _follow(self) -> None:
        try:
            live = release.read_live(self._store, self._account)
            if live is None:
                self._reason = f"{self._account} has no release yet: it has to be trained first"
            elif live.document.release != self.tag:
                self._loaded = self._load(self._store, self._account, live.document.release)
                log("INFO", f"release {self.tag} of {self._account} is loaded", release=self.tag)
        except (PipelineError, OSError) as error:
            self._reason = f"the live release of {self._account} cannot be loaded now: see the log"
            fallback = f"{self.tag} stays in use" if self.tag else "there is none to use"
            log("ERROR", f"the live release of {self._account} is not loaded, {fallback}: {error}")


def load_release(store: Store, account: str, tag: str) -> Release:
    """Load a release from the bucket into memory; raises PipelineError.

    Cloud Run keeps files in memory, so they are deleted when the release is loaded.
    """
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        release.download_model(store, account, tag, folder)
        return Release(tag, Model(folder), Objections.load(folder))
