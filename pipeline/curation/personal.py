"""Finds personal data: e-mail addresses, phone numbers and postal addresses.

A model can repeat what it has learnt, so a tweet with any of them is left out whole. The patterns
prefer to leave out too much. A library for phone numbers needs to know the country, or finds only
international numbers: people write their own country's.
"""

import re

# name@example.com; the character before the sign tells it from a mention.
_EMAIL = re.compile(r"[@\uff20](?<=[^\s\"'(\u201c\u2018\[].)\w[\w-]{0,62}[.\uff0e\u3002]\w")
# name (at) example.com, name[at]example dot com
_SPELT = re.compile(
    r"\w ?[\[({<] ?(?:at|@|\uff20|\u0441\u043e\u0431\u0430\u043a\u0430) ?[\])}>] ?\w"
    r"|\w at \w[\w-]{0,62} dot (?:com|net|org|edu|io|co|uk|de|fr|es|it|nl|eu)\b"
)
_SPELT_SIGNS = (
    " dot ",
    "at)",
    "at]",
    "at}",
    "at>",
    "@",
    "\uff20",
    "\u0441\u043e\u0431\u0430\u043a\u0430",
)

_DIGIT = re.compile(r"\d")
_NUMBER = re.compile(
    # Letters of other scripts may stand right before and behind it.
    r"(?<![A-Za-z\d_#$\u20ac\u00a3\u00a5.,:/@])[+\uff0b(]{0,2}\d"
    r"[\d()./\u2010-\u2015\u00a0\u30fc\uff0d -]{4,24}\d(?![A-Za-z\d_%$\u20ac\u00a3\u00a5])"
)
_NO_PHONE = re.compile(
    # A date, perhaps with the hour; years; an address of a computer; a fraction; thousands
    r"\d{4}[-./\u2013 ]\d{1,2}[-./\u2013 ]\d{1,2}(?: \d{1,2})?"
    r"|\d{1,2}[-./\u2013 ]{1,2}\d{1,2}[-./\u2013 ]{1,2}\d{2,4}(?: \d{1,2})?"
    r"|(?:(?:1\d|20|21)\d\d[-/.,\u2010-\u2015 ]*)+"
    r"|\d{1,3}(?:\.\d{1,3}){3}"
    r"|\d{1,3}\.\d+"
    r"|\d{1,3}(?:[\u00a0 ]\d{3})*[\u00a0 ]000"
)
_LABEL = re.compile(
    r"(?:\b(?:tele?(?:fono|fon|phone)?|phone|ph|mobile|mob|cell|fax|call|text|ring|dial|whats\s?app"
    r"|sms|handy|tlf|\u0442\u0435\u043b|\u0437\u0432\u043e\u043d\u0438\u0442\u0435)\b"
    r"|\u96fb\u8a71|\u7535\u8bdd|\u30c6\u30eb|\u0647\u0627\u062a\u0641|\u062a\u0644\u0641\u0648\u0646"
    r"|[\u260e\u2706\U0001f4de\U0001f4f1\U0001f4f2])[^\d\n]{0,15}$",
    re.IGNORECASE,
)
# How far before a number its label may begin.
_NEAR = 30
_LOCAL = re.compile(r"\(?\d{3}\)?[-.\u2010-\u2015]\d{4}|\(?0\d{1,4}\)?[-./ ]\d{4,7}|0\d{8,10}")

_POSTAL = re.compile(
    # 12 Harbour Street; 221B Baker St
    r"\b\d{1,5}[A-Za-z]?,? (?:[NSEW]\.? )?(?:[A-Z][\w'.-]* ){1,3}"
    r"(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl|Square|Sq"
    r"|Terrace|Way|Close|Crescent|Gardens|Grove|Parkway|Pkwy|Highway|Hwy)\b"
    r"|\bP\.? ?O\.? ?Box \d"
    # US and UK postcodes
    r"|, [A-Z]{2},? \d{5}(?:-\d{4})?\b"
    r"|\b[A-Z]{1,2}\d[A-Z\d]? \d(?!AM|PM|ST|ND|RD|TH)[A-Z]{2}\b"
    # Hafenstra\u00dfe 12, Lindenweg 3a, Kerkstraat 5, Storgatan 7
    r"|\b[^\W\d_]+(?:stra\u00dfe|strasse|str\.|gasse|allee|platz|weg|straat|laan|gracht|gatan|gata"
    r"|vegen|veien|vej|gade|katu) \d{1,3} ?[a-zA-Z]?\b"
    r"|\b(?:Am|An der|Auf der|Im|Zum|Zur) [A-Z\u00c4\u00d6\u00dc]\w+ \d{1,3}[a-z]?, \d{5}\b"
    # 12 rue de la Paix
    r"|\b\d{1,4}(?: ?(?:bis|ter))?,? (?:rue|avenue|boulevard|all\u00e9e|chemin|impasse|quai) \w"
    # Calle Mayor 3, Via Roma 12, Rua Augusta, 100, ul. D\u0142uga 5
    r"|\b(?:Calle|C/|Avenida|Avda?\.|Paseo|Plaza|Rua|Travessa|Via|Viale|Piazza"
    r"|Corso|[Uu]l\.|ulica) ?"
    r"(?:[^\W\d_]{1,4} ){0,3}[^\W\d_a-z][\w'-]+(?: [\w'-]+){0,2},? (?:n\.? ?)?\d{1,4}\b"
    # \u0443\u043b. \u041b\u0435\u043d\u0438\u043d\u0430, \u0434. 5
    r"|\b(?:\u0443\u043b\.|\u0443\u043b\u0438\u0446\u0430"
    r"|\u043f\u0440\u043e\u0441\u043f\u0435\u043a\u0442|\u043f\u0440-\u0442|\u043f\u0435\u0440\.) ?"
    r"[\w-]+(?: [\w-]+)?,? (?:\u0434\.? ?|\u0434\u043e\u043c )?\d{1,4}\b"
    # A house or a flat; a post-office box; the number before the street
    r"|\b\u0434\. ?\d+,|\b\u043a\u0432\. ?\d|\u0635\.\u0628\.? ?\d"
    r"|\d{1,4} \u0634\u0627\u0631\u0639 \w"
    # \u3012 and a postcode, a block of a district; a house of a street; an Arabic street
    r"|\u3012 ?\d{3}|\d\u4e01\u76ee|\d\u756a\u5730"
    r"|[\u8def\u8857\u5df7\u9053]\d{1,5}[\u53f7\u865f]"
    r"|(?:\ub85c|\uae38) ?\d{1,4}(?:-\d{1,4})?\ubc88?\uc9c0"
    r"|\u0634\u0627\u0631\u0639 [^\W\d_]+(?: [^\W\d_]+){0,3}"
    r"[\u060c,]? (?:\u0631\u0642\u0645 )?\d{1,4}\b"
)


def has_email(text: str) -> bool:
    """Whether a text has an e-mail address, also one that is spelt out."""
    lower = text.lower()
    if not any(sign in lower for sign in _SPELT_SIGNS):
        return False
    return _EMAIL.search(text) is not None or _SPELT.search(lower) is not None


def has_phone(text: str) -> bool:
    """Whether a text has a number that may be a phone's."""
    return _DIGIT.search(text) is not None and any(
        _is_phone(match[0], text[max(0, match.start() - _NEAR) : match.start()])
        for match in _NUMBER.finditer(text)
    )


def _is_phone(number: str, before: str) -> bool:
    number = number.strip()
    digits = [digit for digit in number if digit.isdigit()]
    if _NO_PHONE.fullmatch(number) or not 6 <= len(digits) <= 15:
        return False
    if number[0] in "+\uff0b" or _LABEL.search(before):
        return True
    # Scores and lists of small numbers are none.
    longest = max(map(len, re.findall(r"\d+", number)))
    if len(digits) >= 9:
        return longest >= 3
    return _LOCAL.fullmatch(number) is not None


def has_postal_address(text: str) -> bool:
    """Whether a text has what looks like a street with a number, or a postcode."""
    return _DIGIT.search(text) is not None and _POSTAL.search(text) is not None
