"""The live release of an account, taken from the models bucket and taken anew when it changes."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from app.filters import Filters, unsafe_words
from app.generate import Model
from pipeline import novelty, release
from pipeline.clock import Clock
from pipeline.errors import UserError
from pipeline.log import log
from pipeline.novelty import NoveltyIndex
from pipeline.store import Store

CHECK_EVERY = timedelta(seconds=10)
"""The least time between two looks at the pointer."""


@dataclass(frozen=True)
class Release:
    """A release that is loaded: its model, and what keeps a text of it back."""

    tag: str
    model: Model
    filters: Filters


class NoRelease(Exception):
    """There is none to write with; the text is a sentence for whoever asks."""


class Live:
    """Keeps the live release loaded; one that cannot be loaded leaves the earlier one in use.

    Not for several threads at once, but for `tag`.
    """

    def __init__(
        self,
        account: str,
        store: Store,
        clock: Clock,
        load: "Callable[[Store, str, str], Release] | None" = None,
    ) -> None:
        """Nothing is loaded yet; `store` is the models bucket."""
        self._account = account
        self._store = store
        self._clock = clock
        self._load = load or load_release
        self._checked: datetime | None = None
        self._loaded: Release | None = None
        self._reason = ""

    @property
    def tag(self) -> str | None:
        """The release that is loaded."""
        return self._loaded.tag if self._loaded else None

    def current(self) -> Release:
        """The live release as of the last look at the pointer; raises NoRelease."""
        now = self._clock()
        if self._checked is None or now - self._checked >= CHECK_EVERY:
            self._checked = now
            self._follow()
        if self._loaded is None:
            raise NoRelease(self._reason)
        return self._loaded

    def _follow(self) -> None:
        try:
            found = release.read_live(self._store, self._account)
            if found is None:
                self._reason = f"{self._account} has no release yet: it has to be trained first"
            elif found[0].release != self.tag:
                self._loaded = self._load(self._store, self._account, found[0].release)
                log("INFO", f"release {self.tag} of {self._account} is loaded", release=self.tag)
        except (UserError, OSError) as error:
            self._reason = f"the live release of {self._account} cannot be loaded now: see the log"
            kept = f"{self.tag} stays in use" if self.tag else "there is none to use"
            log("ERROR", f"the live release of {self._account} is not loaded, {kept}: {error}")


def load_release(store: Store, account: str, tag: str) -> Release:
    """Take a release's model out of the bucket into memory; raises UserError.

    Its files are there only while it is loaded: Run's file system is memory.
    """
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        release.download_model(store, account, tag, folder)
        return Release(
            tag, Model(folder), Filters(NoveltyIndex.load(folder / novelty.FILE), unsafe_words())
        )
