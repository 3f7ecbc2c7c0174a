"""Finds the words of others in a text: nobody's words are learnt who did not consent.

Before X had a button for it, people copied a tweet and marked it by hand. All that follows such a
mark is cut, since nothing tells where a copy ends; only what follows the last closing quotation
mark of a quotation stays.
"""

import re

_NAME = r"[@\uff20]\s?\w"
_MARK = re.compile(
    # RT @name, RT: @name, rt "@name, (RT @name), RTRT @name, MT, QT, HT, h/t, PRT
    rf"(?<![\w@#])[(\[]?\s*(?:(?:RT)+|PRT|MT|QT|HT|H/T|R/T|RP|retweet(?:ing|ed)?|repost(?:ing|ed)?)"
    rf"\s*[:>]?\s*[\"'\u201c\u201d\u201e\u00ab\u2018]?\s*{_NAME}"
    # “@name: …, "@name …, «@name : …, 「@name …
    rf"|(?<!\S)[(]?(?:[\"\u201c\u201d\u201e\u201f\u00ab\u2018\u201b\u2039\u300c\u300e]|'')\s*{_NAME}"
    # Signs that stand for RT: arrows in a circle, ">> @name:"
    rf"|[\u267a\u267b\U0001f501\u21ba\u21bb]\ufe0f?\s*{_NAME}"
    rf"|(?<!\S)>+\s*{_NAME}",
    re.IGNORECASE,
)
# "text (via @name)", "title - https://… via @name": what stands before is theirs.
_VIA = re.compile(
    r"(?<![\w@#])(?:via|par|durch|por|\u0447\u0435\u0440\u0435\u0437)\s*:?\s*[@\uff20]\w{1,20}\W*$",
    re.IGNORECASE,
)
_OPENING = tuple('"\u201c\u201d\u201e\u201f\u00ab\u300c\u300e')
_CLOSING = tuple('"\u201c\u201d\u00bb\u300d\u300f')
# What is left of the mark before the mark itself.
_OPENED = " \n\t([{<\"'\u201c\u201e\u00ab\u2018-\u2013\u2014|/:>~"


def without_others(text: str) -> str | None:
    """Cut a text at the first mark of somebody else's words; None if they come before the mark."""
    if "@" not in text and "\uff20" not in text:
        return text
    mark = _MARK.search(text)
    if mark:
        left, taken = text[: mark.start()].rstrip(_OPENED), text[mark.end() :]
        text = left + " " + taken[_end(taken) :] if _quotes(mark[0]) else left
    return None if _VIA.search(text) else text


def _quotes(mark: str) -> bool:
    """Whether a mark is an opening quotation mark and nothing else."""
    return mark.lstrip(" ([")[:1] in _OPENING and not mark[0].isalpha()


def _end(taken: str) -> int:
    """The place behind the last closing quotation mark; the end if there is none."""
    last = max(map(taken.rfind, _CLOSING))
    return last + 1 if last >= 0 else len(taken)
