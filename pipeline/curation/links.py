"""Cuts links out of a text, with what only introduced them."""

import re

from pipeline.text import links

# X turns every address into a t.co link. Only the oldest archives hold addresses as typed.
_LINK = re.compile(r"https?://(?:t\.co/[A-Za-z0-9]+(?:\?[!-~]*)?|[^\s<>\"]+)", re.IGNORECASE)
# What X may take for a link without `https://`: a dot between two letters.
_BARE = re.compile(r"\.(?<=\w.)[^\W\d_]{2}")
# It stands for a link; no clean text has it.
_PLACE = "\0"

_CUT = re.compile(r"\w\u2026\s*https?://\S+\s*$", re.IGNORECASE)

_BEFORE = (
    " \t\n:-\u2013\u2014|([{\u00ab\u201c\u201e"
    "\u2192\u2b07\u2193\ufe0f\u27a1\U0001f449\U0001f447\U0001f517"
)
# They may also end what was said before, unless they stand right before the link.
_QUOTES = ('"', "'", "<")
_ARROWS = ("->", "=>", ">>", " >")
_CLOSING = tuple(")]}>\u00bb\u201d")

# Each introduces a link. They are cut where they are a sentence or a line of their own.
_INTRODUCTIONS = (
    "news", "new post", "new blog post", "new blog", "new on the blog", "new article", "new video",
    "blog post", "on the blog", "latest post", "just posted", "read more", "read on",
    "read the rest", "more here", "more info", "more at", "more", "full story", "full article",
    "full text", "full text here", "details below",
    "full post", "link", "link here", "link in bio", "details", "details here", "source", "via",
    "watch", "watch here", "watch now", "listen", "listen here", "photo", "video", "see more",
    "find out more", "learn more", "click here", "here", "website",
    "neuer beitrag", "neuer artikel", "neu im blog", "mehr", "mehr dazu", "mehr hier",
    "weiterlesen", "hier lesen", "zum artikel", "quelle",
    "lire la suite", "en savoir plus", "nouvel article", "nouveau billet", "plus d'infos",
    "leer m\u00e1s", "m\u00e1s informaci\u00f3n", "m\u00e1s info", "nuevo post", "nueva entrada",
    "leia mais", "saiba mais", "novo post", "leggi tutto", "continua a leggere", "nuovo post",
    "lees meer", "lees verder", "nieuwe blog", "l\u00e4s mer", "les mer", "l\u00e6s mere",
    "czytaj wi\u0119cej", "wi\u0119cej", "devam\u0131",
    "\u0447\u0438\u0442\u0430\u0442\u044c \u0434\u0430\u043b\u0435\u0435",
    "\u0447\u0438\u0442\u0430\u0442\u044c",
    "\u043f\u043e\u0434\u0440\u043e\u0431\u043d\u0435\u0435",
    "\u043f\u043e\u0434\u0440\u043e\u0431\u043d\u043e\u0441\u0442\u0438",
    "\u043d\u043e\u0432\u044b\u0439 \u043f\u043e\u0441\u0442",
    "\u0434\u0430\u043b\u0435\u0435",
    "\u0447\u0438\u0442\u0430\u0442\u044c \u0434\u0430\u043b\u044c\u0448\u0435",
    "\u043f\u043e\u0434\u0440\u043e\u0431\u043d\u043e\u0441\u0442\u0438 \u0442\u0443\u0442",
    "\u7d9a\u304d\u3092\u8aad\u3080", "\u3010\u66f4\u65b0\u3011", "\u66f4\u65b0",
    "\u062c\u062f\u064a\u062f \u0627\u0644\u0645\u062f\u0648\u0646\u0629",
    "\u0646\u0634\u0631\u062a \u0627\u0644\u064a\u0648\u0645",
    "\u0627\u0644\u062a\u0641\u0627\u0635\u064a\u0644",
    "\u0627\u0642\u0631\u0623 \u0627\u0644\u0645\u0632\u064a\u062f",
    "\u0644\u0644\u0645\u0632\u064a\u062f",
    "\u7d9a\u304d\u306f\u3053\u3061\u3089", "\u8a73\u3057\u304f\u306f\u3053\u3061\u3089",
    "\u8a73\u7d30\u306f\u3053\u3061\u3089", "\u30d6\u30ed\u30b0\u66f4\u65b0",
    "\u30d6\u30ed\u30b0\u3092\u66f4\u65b0\u3057\u307e\u3057\u305f",
    "\u9605\u8bfb\u66f4\u591a", "\u95b1\u8b80\u66f4\u591a", "\u8be6\u60c5", "\u8a73\u60c5",
)  # fmt: skip
_ENDS_A_SENTENCE = ".!?\u2026:;,\u2013\u2014|-)\u00bb\u3002\uff01\uff1f\n"
# The same where they begin a text: "New post: The tide tables https://…"
_LABEL = re.compile(
    rf"(?:{'|'.join(sorted(map(re.escape, _INTRODUCTIONS), key=len, reverse=True))})"
    r"(?:\s*[:\uff1a|\u2013\u2014-]\s+|(?<=\u3011)\s*)",
    re.IGNORECASE,
)


def was_cut(text: str) -> bool:
    """Whether X cut the text in the middle of a word, and put a link to the whole behind it."""
    return "\u2026" in text and _CUT.search(text) is not None


def without_links(text: str) -> str:
    """Drop links, domains that X would make links of, and what introduced either."""
    if "://" in text:
        text = _LINK.sub(_PLACE, text)
    if "." in text and _BARE.search(text):
        for link in sorted(links(text), key=len, reverse=True):
            text = text.replace(link, _PLACE)
    if _PLACE not in text:
        return text
    first, *others = text.split(_PLACE)
    left = _without_introduction(first)
    before = first
    for number, piece in enumerate(others, start=1):
        closes = piece[:1] in _CLOSING or (piece[:1] == '"' and before.endswith('"'))
        rest = piece[1:] if closes else piece
        left += _without_introduction(rest) if number < len(others) else rest
        before = piece
    left = left.strip()
    if label := _LABEL.match(left):
        left = left[label.end() :]
    return left


def _without_introduction(piece: str) -> str:
    """The text before a link, without what only introduced the link."""
    if piece.endswith(_QUOTES):
        piece = piece[:-1]
    space = "\n\n" if piece[len(piece.rstrip()) :].count("\n") > 1 else " "
    while True:
        piece = piece.rstrip(_BEFORE)
        if piece.endswith(_ARROWS):
            piece = piece.rstrip(">=" + _BEFORE)
        introduction = _introduction(piece)
        if not introduction:
            return piece + space
        piece = piece[: -len(introduction)]


def _introduction(piece: str) -> str:
    """The introduction that the text ends with, if it stands alone; "" if there is none."""
    lower = piece.lower()
    if not lower.endswith(_INTRODUCTIONS):
        return ""
    for introduction in _INTRODUCTIONS:
        if lower.endswith(introduction):
            before = piece[: -len(introduction)].rstrip(" \t")
            if not before or before[-1] in _ENDS_A_SENTENCE or _begins(piece, introduction):
                return piece[-len(introduction) :]
    return ""


def _begins(piece: str, introduction: str) -> bool:
    """Whether the introduction begins a sentence: its first letter is a capital, or has no case."""
    first, before = piece[-len(introduction)], piece[-len(introduction) - 1]
    return before.isspace() and (first.isupper() or not first.islower())
