"""Any content of a stack file gives a stack, or one line of error that names the key.

Hypothesis makes up the values, the same ones in each run.
"""

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import UserError
from stacks import config, stack_file
from tests.stacks.environments import ENVIRONMENTS, environment, stack_of
from tests.stacks.recorder import ROOT

Path_ = tuple[str | int, ...]
EXAMPLES = [
    pytest.param(100, id="some"),
    pytest.param(1000, id="many", marks=pytest.mark.deep),
]
WORDS = [
    *("", " ", "0", "true", "null", "NaN", "1e999", "-", "*", "* * * * *", "0 9 * * *"),
    *(
        "0 0 30 2 *",
        "60 * * * *",
        "*/0 * * * *",
        "@daily",
        "Europe/Paris",
        "../../etc",
        "posix/UTC",
    ),
    *("europe-west4", "europe-west4-a", "g2-standard-4", "n1-standard-8", "timeline", "archive"),
    *("unset", "keeper", "baker", "app", "2026-11-23", "\N{PILE OF POO}", "a\nb", "\x00", "é"),
]
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([-1, 0, 1, 2, 90, 91, 10**40])
    | st.floats()
    | st.dates()
    | st.datetimes()
    | st.sampled_from(WORDS)
    | st.text(max_size=20)
    | st.binary(max_size=4)
)
keys = st.sampled_from([*WORDS, "gpu", "run", "handle", "hande", "accounts"]) | st.text(max_size=8)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys | scalars, inner, max_size=3),
    max_leaves=6,
)


def often(strategy: Callable[[], None], examples: int) -> None:
    """Run a check over `examples` made-up values, the same ones in each run."""
    settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )(strategy)()


def places(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    """The path of every value in nested values."""
    if path:
        yield path
    items: Iterable[tuple[Any, Any]] = (
        enumerate(cast("list[object]", value))
        if isinstance(value, list)
        else getattr(value, "items", tuple)()
    )
    for key, inner in items:
        yield from places(inner, (*path, key))


def put(values: Any, path: Path_, new: Any) -> None:
    *before, last = path
    for part in before:
        values = values[part]
    values[last] = new


def name_of(path: Path_) -> str:
    """The key of a place, or the key of its list."""
    (*_, key) = [part for part in path if isinstance(part, str)]
    return key


def outcome(load: Callable[[], config.Stack]) -> str:
    """The one line of the error; empty if there is none."""
    try:
        stack = load()
    except UserError as error:
        line = str(error)
        assert line.isprintable(), line
        assert len(line) < 20_000
        return line
    assert isinstance(stack, config.Stack)
    return ""


@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_any_value_at_any_key(name: str, examples: int) -> None:
    @given(st.sampled_from([*places(environment(name))]), anything)
    def check(path: Path_, value: Any) -> None:
        values = environment(name)
        put(values, path, value)
        said = outcome(lambda: stack_file.load(stack_of(name), values))
        assert not said or name_of(path) in said

    often(check, examples)


@pytest.mark.parametrize("examples", EXAMPLES)
def test_any_key_more(examples: int) -> None:
    maps = [()] + [p for p in places(environment("everything")) if p[-1] != "accounts"]

    @given(st.sampled_from(maps), keys | scalars, anything)
    def check(path: Path_, key: Any, value: Any) -> None:
        values = environment("everything")
        where: Any = values
        for part in path:
            where = where[part]
        if not isinstance(where, dict) or key in where:
            return
        where[key] = value
        said = outcome(lambda: stack_file.load("prod", values))
        assert said
        assert any(shown in said for shown in (str(key), repr(key), repr(str(key))))

    often(check, examples)


@pytest.mark.parametrize("examples", EXAMPLES)
def test_any_text_of_the_engine_at_any_key(examples: int) -> None:
    flat = {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in environment("everything").items()
    }

    def as_json(value: Any) -> str:
        return json.dumps(value, default=str)

    texts = st.text(max_size=30) | st.sampled_from(WORDS) | anything.filter(plain).map(as_json)

    @given(st.sampled_from([*flat]), texts)
    def check(key: str, text: str) -> None:
        said = outcome(lambda: stack_file.from_engine("prod", {**flat, key: text}))
        assert not said or key in said

    often(check, examples)


def plain(value: object) -> bool:
    """Whether JSON can hold the value."""
    if isinstance(value, dict):
        fields = cast("dict[object, object]", value)
        return all(isinstance(key, str) and plain(item) for key, item in fields.items())
    return all(map(plain, cast("list[object]", value))) if isinstance(value, list) else True


@pytest.mark.parametrize("examples", EXAMPLES)
def test_any_file(examples: int) -> None:
    real = (ROOT / "stacks/Pulumi.prod.yaml").read_bytes()
    edits = st.tuples(st.integers(0, len(real)), st.integers(0, 20), st.binary(max_size=6)).map(
        lambda e: real[: e[0]] + e[2] + real[e[0] + e[1] :]
    )
    texts = st.text("[]{}:-&*!|>'\"#%@ \n\tab1.~", max_size=40).map(lambda t: t.encode())
    documents = anything.map(lambda v: yaml.safe_dump({"config": v}).encode())

    @given(st.binary(max_size=30) | texts | documents | edits)
    def check(content: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "Pulumi.mine.yaml"
            file.write_bytes(content)
            said = outcome(lambda: stack_file.read(file))
        assert not said or "Pulumi.mine.yaml: " in said

    often(check, examples)


@pytest.mark.parametrize(
    "text",
    [
        "config: &all {gcp:project: *all}",
        "config: {gcp:project: 2026-99-99}",
        "config: {? [a, b] : c}",
        "config: " + "[" * 5000,
        "config: {gcp:project: " + "9" * 5000 + "}",
        "a: b\n---\nconfig: {}",
        "config: {1: 2}",
        "!!python/object:os.system {}",
    ],
)
def test_files_that_are_hard_on_a_parser(tmp_path: Path, text: str) -> None:
    file = tmp_path / "Pulumi.mine.yaml"
    file.write_text(text)
    assert "Pulumi.mine.yaml: " in outcome(lambda: stack_file.read(file))
