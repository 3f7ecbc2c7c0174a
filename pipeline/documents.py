"""Stored documents: JSON objects with a version, each changed by compare-and-set.

Programs of different ages share a bucket, so a document outlives the program that wrote it:

- A document without `version` was written before there were versions; its version is 1.
- Keys that this program does not know are kept. They are written back when the document is changed.
- A document of a newer version is used if this program can read it.

Rules for changing a document's class:

- Raise `version` by one whenever a key is added, removed, or given another type.
- Give a new key a default. A shape that has changed is converted by a validator of mode "before".
- Never give a key another meaning: use another key.
- Add a file of the new version to tests/pipeline/documents, and never change one that is there.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, NamedTuple, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from pipeline.errors import UserError
from pipeline.store import PreconditionFailed, Store


class Part(BaseModel):
    """An object within a document; it keeps keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)


class Document(Part):
    """A stored document; a subclass whose keys have changed has a higher `version`."""

    version: int = 1

    @field_validator("version")
    @classmethod
    def _at_least_current(cls, stored: int) -> int:
        """Return the version that the document has when this program writes it back."""
        return max(stored, current_version(cls))


D = TypeVar("D", bound=Document)


class Stored(NamedTuple, Generic[D]):
    """A document and its generation, which a compare-and-set on it names."""

    document: D
    generation: int


class Unreadable(UserError):
    """A stored document cannot be read."""


class Newer(Unreadable):
    """A newer program wrote the document."""


class Damaged(Unreadable):
    """The document is not in a form that any program writes."""


def current_version(model: type[Document]) -> int:
    """The version that this program writes."""
    return model.model_fields["version"].default


def read(store: Store, name: str, model: type[D]) -> Stored[D] | None:
    """Read a document; None if there is none.

    Raises:
        Unreadable: It is of a newer version, or damaged.
    """
    object_ = store.read(name)
    if object_ is None:
        return None
    document = parse(model, object_.data, f"gs://{store.bucket_name}/{name}")
    return Stored(document, object_.generation)


def load(store: Store, name: str, model: type[D]) -> D | None:
    """Read a document that is not to be changed; None if there is none.

    Raises:
        Unreadable: It is of a newer version, or damaged.
    """
    stored = read(store, name, model)
    return stored and stored.document


def write(store: Store, name: str, document: Document, generation: int) -> int:
    """Replace exactly that generation (0: create the object) and return the new generation.

    Raises:
        PreconditionFailed: Somebody else has written meanwhile.
    """
    return store.write(name, dump(document), generation=generation)


def update(store: Store, name: str, model: type[D], change: Callable[[D | None], D]) -> D:
    """Change a document, and return the changed one.

    `change` takes the stored document, None if there is none, and returns the new one. If somebody
    else has written meanwhile, it is called again. If it changes nothing, nothing is written.
    """
    while True:
        stored = read(store, name, model)
        before = stored and stored.document
        after = change(before)
        if after == before:
            return after
        with suppress(PreconditionFailed):
            write(store, name, after, stored.generation if stored else 0)
            return after


def dump(document: Document) -> bytes:
    """The bytes of a document, as `parse` reads them."""
    return document.model_dump_json(indent=1).encode() + b"\n"


def parse(model: type[D], data: bytes, address: str) -> D:
    """Parse the bytes of a document; errors name its address.

    Raises:
        Unreadable: It is of a newer version, or damaged.
    """
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "document"
        fault = f"{address}: {key}: {first['msg']}"
    version = _version(data)
    if version > current_version(model):
        raise Newer(
            f"{fault}; it was written by a newer program, version {version}, and this program"
            f" knows version {current_version(model)}: update this program"
        )
    raise Damaged(f"{fault}; restore an earlier version of the object")


def _version(data: bytes) -> int:
    """The version that a document states; 0 if it states none."""
    with suppress(ValueError):
        stored: Any = json.loads(data)
        if isinstance(stored, dict):
            version = cast("dict[str, Any]", stored).get("version")
            return version if isinstance(version, int) else 0
    return 0
