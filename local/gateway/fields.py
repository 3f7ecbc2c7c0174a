"""Partial responses: the `fields` that a request to one of Google's APIs asks for.

Source: https://cloud.google.com/storage/docs/json_api#partial-response
"""

import re
from typing import Any, cast

Tree = dict[str, Any]


def partial(fields: str, document: Any) -> Any:
    """The part of a document that `fields` selects, as in `items(name,owner/entity)`."""
    return _selected(document, _tree(re.findall(r"[^,/()]+|[,/()]", fields)))


def _tree(words: list[str]) -> Tree:
    """Parses up to the next closing bracket and removes what it has parsed from `words`."""
    tree: Tree = {}
    while words:
        node = tree.setdefault(words.pop(0), {})
        while words and words[0] == "/":
            node = node.setdefault(words[1], {})
            del words[:2]
        if words and words[0] == "(":
            del words[0]
            node.update(_tree(words))
        if words and words.pop(0) == ")":
            break
    return tree


def _selected(value: Any, tree: Tree) -> Any:
    if isinstance(value, list) and tree:
        return [_selected(item, tree) for item in cast("list[Any]", value)]
    if isinstance(value, dict) and tree:
        selected = ((key, tree.get(key, tree.get("*"))) for key in cast("Tree", value))
        return {key: _selected(value[key], of) for key, of in selected if of is not None}
    return value  # pyright: ignore[reportUnknownVariableType]
