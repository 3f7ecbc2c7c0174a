"""Cleans a text: escapes, characters that nobody sees, markers, tags, spaces."""

import html
import re
import unicodedata
from collections.abc import Callable, Iterable

_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")

# Scripts whose letters join: a joiner or non-joiner between two of them changes the word's shape.
# Arabic and its kin, Syriac, N'Ko, Mandaic, the scripts of India and Sri Lanka, Khmer, Mongolian.
_JOINING = (
    "\u0620-\u077f\u07ca-\u07f5\u0840-\u085b\u0860-\u08ff\u0900-\u0dff\u1780-\u17d3\u1820-\u18aa"
    "\ufb50-\ufdff\ufe70-\ufefc"
)
_PICTURE = (
    "\u00a9\u00ae\u2190-\u21ff\u2300-\u23ff\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff\ufe0f"
)
_JOINER = (
    rf"(?<![{_JOINING}])\u200c|\u200c(?![{_JOINING}])"
    rf"|(?<![{_JOINING}{_PICTURE}])\u200d|\u200d(?![{_JOINING}{_PICTURE}])"
)
# Tags spell the flags of England, Scotland and Wales, after a black flag.
_HIDDEN = re.compile(
    r"[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e"
    r"\u2060-\u206f\ufeff\uffa0\ufff9-\ufffb\U000e0001]"
    rf"|{_JOINER}"
    r"|(?<![\U0001f3f4\U000e0020-\U000e007f])[\U000e0020-\U000e007f]+"
    r"|(?<![\u3400-\u9fff\U00020000-\U0003ffff])[\U000e0100-\U000e01ef]"
)
# They look like a space.
_BLANK = re.compile("[\u2800\u3164]")

_MARKER = re.compile(
    r"<[|\uff5c][\w\u2581 -]{1,40}[|\uff5c]>"
    r"|\[/?INST\]|<</?SYS>>|\[(?:CLS|SEP|MASK|PAD|UNK|BOS|EOS)\]"
    r"|</?(?:s|pad|unk|bos|eos|cls|sep|mask|start_of_turn|end_of_turn)>",
    re.IGNORECASE,
)

_LEADING_MENTIONS = re.compile(r"(?:[@\uff20]\w{1,20}[:,]?(?:\s+|$)|\.[@\uff20]\w{1,20}[:,]\s*)+")
_COPY_TO = re.compile(r"\(?(?<!\w)/?cc:? ?(?:[@\uff20]\w{1,20}[ ,]{0,2})+\)?$", re.IGNORECASE)
_HASHTAG = re.compile(r"(?<![\w&/])[#\uff03](?=\w)")
_HASHTAGS_BEFORE = re.compile(r"(?:[#\uff03]\w+\s*)+")
_HASHTAGS_AFTER = re.compile(r"(?:(?<![\w&/])[#\uff03]\w+\s*)+$")
_MENTION = re.compile(r"(?<![\w@\uff20])[@\uff20](?=\w)")
_TAGS = re.compile(r"[@\uff20#\uff03]\w+")

# Scripts without spaces between words: Thai to Burmese, Khmer, kana, Han.
SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_SPACELESS = re.compile(f"[{SPACELESS}\U00020000-\U0003ffff]")

_BLANK_LINES = re.compile(r"\n{3,}")


def decoded(text: str) -> str:
    """Undo X's HTML escapes, compose the characters, and drop control characters."""
    if "&" in text:
        text = html.unescape(text)
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    return _CONTROL.sub(" ", text).strip()


def without_hidden(text: str) -> str:
    """Drop characters that nobody sees.

    A zero-width joiner stays within an emoji, and a joiner or non-joiner stays between two letters
    of a script that joins its letters: there they are part of what is seen.
    """
    if text.isascii():
        return text
    return unicodedata.normalize("NFC", _BLANK.sub(" ", _HIDDEN.sub("", text)))


def without_markers(text: str) -> str:
    """Drop the control tokens of language models; one in a text would end it or begin another."""
    return _MARKER.sub(" ", text) if "<" in text or "[" in text else text


def begins_with_a_mention(text: str) -> bool:
    """Whether the text addresses somebody by name; `.@name` does not, since all may read it."""
    return text[:1] in ("@", "\uff20") and _LEADING_MENTIONS.match(text) is not None


def without_addressees(text: str) -> str:
    """Drop the names that an answer begins with, and those behind `cc` at the end."""
    if "@" not in text and "\uff20" not in text:
        return text
    text = _COPY_TO.sub("", text)
    match = _LEADING_MENTIONS.match(text)
    return text[match.end() :] if match else text


def hashtags_as_words(text: str) -> str:
    """Drop the sign of each hashtag."""
    return _HASHTAG.sub("", text)


def without_hashtags(text: str) -> str:
    """Drop the hashtags before and after the text, and the sign of the others."""
    match = _HASHTAGS_BEFORE.match(text)
    text = text[match.end() :] if match else text
    return hashtags_as_words(_HASHTAGS_AFTER.sub("", text).rstrip())


def mentions_as_words(text: str) -> str:
    """Drop the sign of each mention."""
    return _MENTION.sub("", text)


def has_mention(text: str) -> bool:
    """Whether the text names somebody."""
    return _MENTION.search(text) is not None


def tidy(text: str) -> str:
    """Leave one space between words, and at most one blank line between paragraphs."""
    if "\n" not in text:
        return " ".join(text.split())
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip()


def enough_words(least: int) -> Callable[[str], bool]:
    """The test whether a text has this many words; names and hashtags are none."""

    def enough(text: str) -> bool:
        if "#" in text or "@" in text or not text.isascii():
            text = _TAGS.sub(" ", text)
        if least == 1:
            return any(map(str.isalpha, text))
        characters = 0
        if not text.isascii():
            text, characters = _SPACELESS.subn(" ", text)
        words = sum(any(map(str.isalpha, word)) for word in text.split())
        return 2 * words + characters >= 2 * least

    return enough


def search_for_words(words: Iterable[str]) -> Callable[[str], object | None]:
    """The search for whole words and phrases, in any case.

    Where a script has no spaces, a part of a text is enough.
    """
    search = re.compile("|".join(map(_whole, words))).search
    return lambda text: search(text.casefold())


def _whole(word: str) -> str:
    parts = word.casefold().split()
    phrase = r"\s+".join(map(re.escape, parts))
    before = r"(?<!\w)" if _needs_spaces(parts[0][0]) else ""
    after = r"(?!\w)" if _needs_spaces(parts[-1][-1]) else ""
    return before + phrase + after


def _needs_spaces(character: str) -> bool:
    return character.isalnum() and not _SPACELESS.match(character)
