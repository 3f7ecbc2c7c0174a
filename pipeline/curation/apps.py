"""Recognises what apps write in a person's name."""

import re

# Apps that people write with, as X names them. All others write texts of their own.
_CLIENTS = re.compile(
    r"twi|tweet|x$|x (?:for|web|pro)|web$|mobile web|txt$|sms$|echofon|hootsuite|buffer"
    r"|\W?bersocial"
    r"|ubersocial|plume|fenix|talon|janetter|feather|falcon|seesmic|digsby|sprout|typefully|osfoora"
    r"|carbon|albatross|spaces$|harpy|flamingo|robird|gravity|nambu|destroytwitter|mixero|brizzly"
    r"|chirr|blackberry|iphone|ipad|ios$|os x|android|windows phone|nokia|samsung|htc|palm|dabr"
    r"|slandr|snaptu|keitai|krile|saezuri|socialoomph|erased|\u3064\u3044\u3063\u3077\u308b"
    r"|\u30e2\u30d0\u30c4\u30a4|jigtwi|theworld|sobacha|owly|twidroyd",
    re.IGNORECASE,
)
_NO_CLIENT = re.compile(r"twi(?:tterfeed|ttascope|xtreme)|tweet(?:stats|ymail)", re.IGNORECASE)
_NUMBER = re.compile(r"\d+")
_TEXT = re.compile(
    r"(?:i(?:'ve)? )?just (?:posted|uploaded|published|shared) an? (?:new )?"
    r"(?:photo|video|picture|pic|story)"
    r"|(?:i(?:'ve)? )?just (?:ran|walked|biked|cycled|swam|rode|hiked|completed|finished|recorded)"
    r" (?:\d|an? (?:\d|[\w.]+ (?:run|walk|ride|swim|workout|activity)))"
    r"|(?:i(?:'ve)? )?just (?:unlocked|earned|became the mayor|ousted|backed|reached level|bought:"
    r"|checked in|entered to win|voted)"
    r"|i (?:posted|added|uploaded|published) (?:\d+|an?) (?:new )?(?:photo|video|picture)s?"
    r"|i (?:liked|favorited|subscribed to|rated) an? @?youtube"
    r"|i(?:'m| am) at [^\n]{1,80}(?:\(|w/)"
    r"|i(?:'m| am) (?:listening to|watching|reading|playing|drinking) [^\n]{1,80}"
    r" (?:on|with|by) [#@]?(?:spotify|getglue|miso|goodreads|untappd|soundcloud)"
    r"|i(?:'m| am) using [^\n]{1,40}(?:app|free)"
    r"|(?:my )?(?:top|most played)(?: \d+)? #?last\.?fm"
    r"|my top \d+"
    r"|my (?:week on twitter|twitter (?:family|anniversary)|tweeted? times|fitbit|wordle)"
    r"|(?:wordle|heardle|quordle|nerdle) #?\d"
    r"|#?now ?playing\b"
    r"|drinking an? [^\n]{1,80} by "
    r"|check(?:ing)? out my "
    r"|check this out[:!]"
    r"|(?:today'?s |my |this week'?s )?(?:stats|daily stats)(?: for the day)?[:.]? [^\n]{0,20}\d"
    r"|\d+ (?:people|new|persons?) (?:followed me|followers|unfollowed)"
    r"|(?:followed|unfollowed) (?:me )?by \d"
    r"|(?:photo|video|audio|link|quote)(?:set)?: "
    r"|[^\n]{1,30} daily is out"
    r"|ich habe gerade (?:ein|\d)"
    r"|je viens de (?:publier|poster|courir)"
    r"|acabo de (?:publicar|subir|correr|postar)"
    r"|(?:\u4eca|\u3044\u307e)(?:\u3001)?[^\n]{1,30}"
    r"(?:\u306b\u3044\u307e\u3059|\u306a\u3046)(?: |$)"
    r"|\u8a3a\u65ad\u7d50\u679c"
    r"|\u6211\u53d1\u8868\u4e86|\u044f \u043d\u0430\u0445\u043e\u0436\u0443\u0441\u044c \u0432 ",
)


def template(text: str) -> str:
    """What a text begins with, if an app is known to begin its texts so; otherwise ""."""
    match = _TEXT.match(text[:120].lower())
    return match[0] if match else ""


def without_numbers(text: str) -> str:
    """The text with all numbers alike."""
    return _NUMBER.sub("0", text)


def writes_itself(app: str | None) -> bool:
    """Whether this app writes texts of its own; no if the app is not known."""
    return app is not None and (_NO_CLIENT.match(app) is not None or _CLIENTS.match(app) is None)
