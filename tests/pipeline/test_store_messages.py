"""Whatever storage does, a call ends in one reviewed line, and in time."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import requests
from google.api_core import exceptions as google_errors
from google.auth import exceptions as auth_errors
from google.cloud.storage.exceptions import DataCorruption

from pipeline import store as store_module
from pipeline.errors import PipelineError, UserError
from pipeline.store import Store
from tests import messages

DOWNLOAD = "GET https://storage.example/b/o?alt=media: "


class Bucket:
    """A bucket whose every call fails, and notes what it was given."""

    name = "bots-data"

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.given: list[dict[str, Any]] = []

    def blob(self, name: str) -> "Bucket":
        return self

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def fail(*_: Any, **given: Any) -> Any:
            self.given.append(given)
            raise self.error

        return fail


CALLS: dict[str, Callable[[Store, Path], object]] = {
    "read": lambda store, _: store.read("a.json"),
    "write": lambda store, _: store.write("a.json", b"", generation=0),
    "delete": lambda store, _: store.delete("a.json", generation=1),
    "remove": lambda store, _: store.remove("a.json"),
    "names": lambda store, _: store.names("a/"),
    "upload": lambda store, file: store.upload("a.bin", file),
    "download": lambda store, file: store.download("a.bin", file),
}
ERRORS: dict[str, Exception] = {
    "no credentials": auth_errors.DefaultCredentialsError("none"),
    "no bucket": google_errors.NotFound("The specified bucket\ndoes not exist."),
    "forbidden": google_errors.Forbidden(
        DOWNLOAD + '{"error": {"message": "x has no access"}}: (403, "expected 200")'
    ),
    "a download's error without JSON": google_errors.Forbidden(DOWNLOAD + "<html>"),
    "a body that is a list": google_errors.Forbidden(DOWNLOAD + "[1]"),
    "a body without an error": google_errors.Forbidden(DOWNLOAD + '{"a": 1}'),
    "an outage": google_errors.ServiceUnavailable("later"),
    "an error without words": google_errors.RetryError("", cause=None),
    "a lost login": auth_errors.RefreshError("expired"),
    "no network": requests.ConnectionError("unreachable"),
    "damaged bytes": DataCorruption(None, "md5"),
    "a long error": google_errors.BadGateway("x" * 600),
}


def of(bucket: Bucket) -> Store:
    return Store(cast("Any", bucket))


def said(error: Exception, call: Callable[[Store, Path], object], file: Path) -> str:
    with pytest.raises(PipelineError) as raised:
        call(of(Bucket(error)), file)
    mend = "a person" if isinstance(raised.value, UserError) else "time"
    assert "\n" not in str(raised.value)
    return f"{mend} mends it: {raised.value}"


def test_every_failure_has_its_reviewed_line(tmp_path: Path) -> None:
    outage = google_errors.ServiceUnavailable("later")
    lines = {name: said(outage, call, tmp_path / "file") for name, call in CALLS.items()}
    names = CALLS["names"]
    lines |= {name: said(error, names, tmp_path) for name, error in ERRORS.items()}
    messages.check("store", lines)


@pytest.mark.parametrize(
    ("call", "generation"),
    [("write", 0), ("delete", 1), ("upload", 0), ("read", None), ("remove", None)],
)
def test_a_call_names_the_generation_that_it_replaces(
    tmp_path: Path, call: str, generation: int | None
) -> None:
    bucket = Bucket(google_errors.ServiceUnavailable("later"))
    with pytest.raises(PipelineError):
        CALLS[call](of(bucket), tmp_path / "file")
    assert bucket.given[0].get("if_generation_match") == generation


@pytest.mark.parametrize("call", CALLS)
def test_every_call_has_a_timeout_and_is_retried(tmp_path: Path, call: str) -> None:
    bucket = Bucket(google_errors.ServiceUnavailable("later"))
    with pytest.raises(PipelineError):
        CALLS[call](of(bucket), tmp_path / "file")
    (given,) = bucket.given
    assert given["timeout"] == (5, 60)
    assert given["retry"].timeout == 60


def test_a_store_is_opened_without_a_project(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, Any]] = []

    class Client:
        def __init__(self, **options: Any) -> None:
            given.append(options)

        def bucket(self, name: str) -> Bucket:
            assert name == "bots-data"
            return Bucket(ValueError())

    monkeypatch.setattr(store_module.storage, "Client", Client)
    assert Store.open("bots-data").bucket_name == "bots-data"
    assert given == [{"project": None}]


def test_without_credentials_a_store_cannot_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_client(**_: Any) -> None:
        raise auth_errors.DefaultCredentialsError("none")

    monkeypatch.setattr(store_module.storage, "Client", no_client)
    with pytest.raises(
        UserError,
        match=r"^bucket bots-data: cannot open it: there are no Google credentials here;"
        r" run `gcloud auth application-default login`$",
    ):
        Store.open("bots-data")
