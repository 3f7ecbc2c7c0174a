"""The filters of build triggers: the part of Google's Common Expression Language that is used here.

`_TYPE == "OBJECT_FINALIZE" && _OBJECT.matches("^rollout/")`: comparisons of substitutions with
texts, `matches`, `startsWith`, `endsWith`, `contains`, joined by `&&`, `||`, `!` and parentheses.
Source: https://cloud.google.com/build/docs/automate-builds-pubsub-events
"""

import re
from collections.abc import Callable, Mapping

Filter = Callable[[Mapping[str, str]], bool]
_Text = Callable[[Mapping[str, str]], str]

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<name>[A-Za-z_][A-Za-z0-9_.]*)
    | (?P<sign>==|!=|&&|\|\||!|\(|\))
    )""",
    re.VERBOSE,
)
_METHODS: Mapping[str, Callable[[str, str], bool]] = {
    "matches": lambda text, pattern: re.search(pattern, text) is not None,
    "startsWith": str.startswith,
    "endsWith": str.endswith,
    "contains": lambda text, part: part in text,
}


def parse(expression: str) -> Filter:
    """The filter as a function of a build's substitutions; ValueError for what is not known here.

    A substitution that a build lacks is the empty text.
    """
    parser = _Parser(expression)
    parsed = parser.either()
    if parser.kind:
        raise parser.error()
    return parsed


class _Parser:
    """Recursive descent; `kind` and `token` are what comes next, both empty at the end."""

    def __init__(self, expression: str) -> None:
        self._expression = expression
        self._position = 0
        self._next = 0
        self.kind = self.token = ""
        self._advance()

    def error(self) -> ValueError:
        at = self._expression[self._position :].strip() or "the end"
        return ValueError(
            f"the filter {self._expression!r} is not understood from {at!r} on: "
            "the local cloud knows ==, !=, &&, ||, !, parentheses, matches, startsWith, "
            "endsWith and contains"
        )

    def either(self) -> Filter:
        left = self._both()
        while self._accept("||"):
            left = _either(left, self._both())
        return left

    def _both(self) -> Filter:
        left = self._single()
        while self._accept("&&"):
            left = _both(left, self._single())
        return left

    def _single(self) -> Filter:
        if self._accept("!"):
            denied = self._single()
            return lambda values: not denied(values)
        if self._accept("("):
            inner = self.either()
            self._expect(")")
            return inner
        return self._comparison()

    def _comparison(self) -> Filter:
        if self.kind == "name" and self.token.rpartition(".")[2] in _METHODS:
            return self._call()
        left = self._text()
        sign = self.token
        if sign not in ("==", "!="):
            raise self.error()
        self._advance()
        right = self._text()
        return lambda values: (left(values) == right(values)) == (sign == "==")

    def _call(self) -> Filter:
        name, _, method = self.token.rpartition(".")
        self._advance()
        self._expect("(")
        if self.kind != "text":
            raise self.error()
        argument = _unquoted(self.token)
        if method == "matches":
            try:
                re.compile(argument)
            except re.error as error:
                raise ValueError(
                    f"the filter {self._expression!r} has a bad pattern: {error}"
                ) from None
        self._advance()
        self._expect(")")
        return lambda values: _METHODS[method](values.get(name, ""), argument)

    def _text(self) -> _Text:
        kind, token = self.kind, self.token
        if kind not in ("text", "name") or (kind == "name" and "." in token):
            raise self.error()
        self._advance()
        if kind == "text":
            text = _unquoted(token)
            return lambda _: text
        return lambda values: values.get(token, "")

    def _accept(self, sign: str) -> bool:
        if self.kind != "sign" or self.token != sign:
            return False
        self._advance()
        return True

    def _expect(self, sign: str) -> None:
        if not self._accept(sign):
            raise self.error()

    def _advance(self) -> None:
        self._position = self._next
        match = _TOKEN.match(self._expression, self._position)
        if match is None:
            self.kind = self.token = ""
            if self._expression[self._position :].strip():
                raise self.error()
            return
        self.kind = match.lastgroup or ""
        self.token = match[self.kind]
        self._next = match.end()


def _unquoted(token: str) -> str:
    def escaped(match: re.Match[str]) -> str:
        if match[1] not in "\\\"'":
            raise ValueError(
                f"the text {token} has the unknown escape {match[0]!r}: write it \\{match[0]}"
            )
        return match[1]

    return re.sub(r"\\(.)", escaped, token[1:-1])


def _either(left: Filter, right: Filter) -> Filter:
    return lambda values: left(values) or right(values)


def _both(left: Filter, right: Filter) -> Filter:
    return lambda values: left(values) and right(values)
