"""The rules of curation, in their order: what is learnt of a tweet, and why another is left out.

The first rules look at the tweet, the next ones at its text, the last ones at the texts before it.
Those that change the text are repeated until none changes it any more, since one can uncover what
another looks for. What a rule leaves nothing of is counted under its name.
"""

from collections.abc import Callable

from pipeline import patterns
from pipeline.curation import apps, links, others, personal, similar, text
from pipeline.curation.rule import Example, Given, Rule, Step
from pipeline.tweets import Tweet

# About the tweet


def _excluded_ids(given: Given) -> Step | None:
    ids = frozenset(given.learn.exclude.ids)
    return (lambda tweet, left: None if tweet.id in ids else left) if ids else None


def _retweets(_: Given) -> Step:
    return lambda tweet, left: None if tweet.kind == "retweet" else left


def _edited(given: Given) -> Step | None:
    outdated = given.outdated
    return (lambda tweet, left: None if tweet.id in outdated else left) if outdated else None


def _cut(_: Given) -> Step:
    def step(tweet: Tweet, left: str) -> str | None:
        # The link at the end of a text with pictures leads to them.
        return None if tweet.cut or (not tweet.media and links.was_cut(left)) else left

    return step


def _quotes(given: Given) -> Step | None:
    if given.learn.quotes:
        return None
    return lambda tweet, left: None if tweet.kind == "quote" or tweet.quotes else left


def _replies(given: Given) -> Step | None:
    if given.learn.replies:
        return None

    def step(tweet: Tweet, left: str) -> str | None:
        if tweet.kind == "reply":
            return None
        addressed = tweet.kind != "thread" and text.begins_with_a_mention(left)
        return None if addressed else left

    return step


# About the text


def _on_text(change: Callable[[str], str | None]) -> Callable[[Given], Step]:
    """A rule that changes or refuses a text, whatever the settings."""
    return lambda _: lambda _, left: change(left)


def _refusing(found: Callable[[str], bool]) -> Callable[[Given], Step]:
    return _on_text(lambda left: None if found(left) else left)


def _hashtags(given: Given) -> Step | None:
    match given.learn.hashtags:
        case "keep":
            return None
        case "words":
            change = text.hashtags_as_words
        case "drop":
            change = text.without_hashtags
    return lambda _, left: change(left) if "#" in left or "\uff03" in left else left


def _mentions(given: Given) -> Step | None:
    match given.learn.mentions:
        case "keep":
            return None
        case "words":
            return lambda _, left: text.mentions_as_words(left)
        case "drop":
            return lambda _, left: None if text.has_mention(left) else left


# About what was learnt before


def _too_short(given: Given) -> Step:
    enough = text.enough_words(given.learn.min_words)
    return lambda _, left: left if enough(left) else None


def _excluded(given: Given) -> Step | None:
    searches = [
        *map(text.search_for_words, filter(None, [given.learn.exclude.words])),
        *map(patterns.compiled, given.learn.exclude.patterns),
    ]
    if not searches:
        return None
    return lambda _, left: None if any(search(left) for search in searches) else left


def _own_posts(given: Given) -> Step | None:
    posted = given.posted
    if not posted:
        return None
    return lambda _, left: None if similar.skeleton(left) in posted else left


def _apps(given: Given) -> Step | None:
    policy = given.learn.apps
    if policy == "all":
        return None
    seen: set[int] = set()

    def step(tweet: Tweet, left: str) -> str | None:
        known = apps.template(left)
        by_app = apps.writes_itself(tweet.app)
        if policy == "never" and (known or by_app):
            return None
        # A text without a link or several numbers is a person's, whatever it begins with. Where the
        # app is known, a link says nothing.
        linked = tweet.app is None and "://" in tweet.text
        if not (known or by_app or linked or similar.numbers(left) >= 3):
            return left
        begins = apps.without_numbers(known) or similar.opening(left, 3 if by_app else 5)
        if not begins:
            return left
        before = len(seen)
        seen.add(similar.digest(begins))
        return left if len(seen) > before else None

    return step


def _duplicates(given: Given) -> Step:
    # Who wants all texts of a template wants them although they are nearly equal.
    seen = similar.Seen(near=given.learn.apps != "all")
    return lambda _, left: None if seen.repeats(left) else left


LINK = "https://t.co/aB3dE5fG7h"


def _unchanged(raw: str) -> Example:
    return Example(raw, raw)


ABOUT_THE_TWEET = (
    Rule(
        "excluded id",
        "Leave out the tweets whose ids `exclude.ids` names.",
        (Example("The lamp is lit.", None, learn={"exclude": {"ids": ["1"]}}, tweet={"id": "1"}),),
        _excluded_ids,
        "exclude",
    ),
    Rule(
        "retweet",
        "Leave out retweets: the words are somebody else's.",
        (Example("RT @baker: fresh bread", None, tweet={"kind": "retweet"}),),
        _retweets,
    ),
    Rule(
        "edited later",
        "Leave out a version of an edited tweet if a later version is held.",
        (),
        _edited,
    ),
    Rule(
        "cut by X",
        "Leave out texts that X cut in the middle of a word: a text that is marked so, or that has"
        " `…` after a word and then a link.",
        (
            Example(f"He says that there will not be any before the sum… {LINK}", None),
            _unchanged("I think … not"),
        ),
        _cut,
    ),
)

ABOUT_THE_TEXT = (
    Rule(
        "hidden characters",
        "Drop characters that nobody sees, among them those that reverse the direction of a text."
        " Joiners stay within emoji, and between letters of scripts that need them.",
        (
            Example("a\u200bb\ufeffc", "abc"),
            Example("a\u202egnp.exe\u202c b", "agnp.exe b"),
            Example("\u2800\u3164\u115f", None),
            Example("\u200eGood\u00ad morning", "Good morning"),
            _unchanged("We are \U0001f468\u200d\U0001f469\u200d\U0001f467"),
            _unchanged("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"),
        ),
        _on_text(text.without_hidden),
    ),
    Rule(
        "markers",
        "Drop the control tokens of language models.",
        (
            Example("<|startoftext|>hello there", "hello there"),
            Example("[INST] Light the lamp [/INST] Lit.</s>", "Light the lamp Lit."),
            _unchanged("I <3 bread"),
        ),
        _on_text(text.without_markers),
    ),
    Rule(
        "words of others",
        "Cut the text where somebody else's words begin: at RT, MT, QT or HT before a name, in any"
        " case, and at a quotation that begins with a name. What follows a closed quotation stays."
        " Where they come first, as before `via @name`, nothing is"
        " learnt.",
        (
            Example("Nice! RT @friend: the tide turns at six", "Nice!"),
            Example("RT @friend: the tide turns at six", None),
            Example("so true rt: @friend fog makes everyone polite", "so true"),
            Example("MT @friend the harbour is closed", None),
            Example("\u201c@friend: nobody reads the tide tables any more\u201d", None),
            Example('Indeed. "@friend: nobody reads them"', "Indeed."),
            Example("\u201c@friend: nobody reads them\u201d So true.", "So true."),
            Example("The tide tables are wrong (via @friend)", None),
            _unchanged("RT if you like bread"),
        ),
        _on_text(others.without_others),
    ),
    Rule(
        "reply to another",
        "Leave out answers to others; they make no sense alone. One's own threads stay, in their"
        " order. A text that begins with a name counts as an answer, also where X has not recorded"
        " whom it answered; `.@name` does not.",
        (
            Example("@friend exactly, that is what I meant", None),
            Example("exactly, that is what I meant", None, tweet={"kind": "reply"}),
            Example("And a second thing.", "And a second thing.", tweet={"kind": "thread"}),
            Example("@friend exactly", "exactly", learn={"replies": True}),
            _unchanged(".@baker opens at six"),
        ),
        _replies,
        "replies",
    ),
    Rule(
        "quote",
        "Leave out one's own words about a quoted tweet if `quotes` is false. The quoted words are"
        " never learnt.",
        (
            Example(f"This. {LINK}", "This.", tweet={"kind": "quote"}),
            Example(f"This. {LINK}", None, tweet={"kind": "quote"}, learn={"quotes": False}),
        ),
        _quotes,
        "quotes",
    ),
    Rule(
        "e-mail address",
        "Leave out tweets with an e-mail address, also one that is spelt out.",
        (
            Example("Write to keeper@example.com", None),
            Example("Write to keeper [at] example dot com", None),
        ),
        _refusing(personal.has_email),
    ),
    Rule(
        "link alone",
        "Drop links, domains that X would make links of, and what only introduced them.",
        (
            Example(f"Fog over the bay {LINK}", "Fog over the bay"),
            Example(f"New post: {LINK}", None),
            Example(f"New post: The tide tables ({LINK})", "The tide tables"),
            Example(f"Storm damage. Read more: {LINK}", "Storm damage."),
            Example(f"The lamp in fog \u2013 {LINK}", "The lamp in fog"),
            Example("My page is example.com these days", "My page is these days"),
            _unchanged("A sentence that ends with a colon:"),
        ),
        _on_text(links.without_links),
    ),
    Rule(
        "phone number",
        "Leave out tweets with a number that may be a phone's. Dates, years, times, prices and"
        " scores are none.",
        (
            Example("Call me: +44 20 7946 0958", None),
            Example("My number is (415) 555-0132", None),
            _unchanged("Open in 1901-1999, and on 23.11.2026 at 10:30"),
        ),
        _refusing(personal.has_phone),
    ),
    Rule(
        "postal address",
        "Leave out tweets with what looks like a street and a number, or a postcode.",
        (
            Example("Come to 12 Harbour Street at six", None),
            Example("Wir sind jetzt in der Hafenstraße 12", None),
            _unchanged("12 gulls on the street"),
        ),
        _refusing(personal.has_postal_address),
    ),
    Rule(
        "names alone",
        "Drop the names that an answer begins with, `.@name:`, and `/cc @name` at the end. A"
        " `.@name` without a colon"
        " stays: it is the subject of the sentence.",
        (
            Example("@friend @other good morning", "good morning", learn={"replies": True}),
            Example(".@baker: good morning", "good morning"),
            _unchanged("good morning @baker"),
            Example("The lamp is lit. /cc @baker", "The lamp is lit."),
            Example("@friend", None, learn={"replies": True}),
        ),
        _on_text(text.without_addressees),
    ),
    Rule(
        "hashtags",
        "Treat hashtags as `hashtags` says.",
        (
            _unchanged("The #lamp is lit #fog #sea"),
            Example("The #lamp is lit #fog", "The lamp is lit fog", learn={"hashtags": "words"}),
            Example("The #lamp is lit #fog", "The lamp is lit", learn={"hashtags": "drop"}),
        ),
        _hashtags,
        "hashtags",
    ),
    Rule(
        "mention",
        "Treat names of others within a text as `mentions` says.",
        (
            _unchanged("Bread from @baker today"),
            Example(
                "Bread from @baker today", "Bread from baker today", learn={"mentions": "words"}
            ),
            Example("Bread from @baker today", None, learn={"mentions": "drop"}),
        ),
        _mentions,
        "mentions",
    ),
    Rule(
        "spaces",
        "Leave one space between words, and at most one blank line between paragraphs.",
        (
            Example("much   space\tand\u00a0more ", "much space and more"),
            Example("one\r\n\r\n\r\n  two \n three", "one\n\ntwo\nthree"),
        ),
        _on_text(text.tidy),
    ),
)

ABOUT_THE_REST = (
    Rule(
        "too short",
        "Leave out texts with fewer words than `min_words`. Names, hashtags, numbers and pictures"
        " are no words. Where a script has no spaces, two characters count as a word.",
        (
            Example("\U0001f35e\U0001f35e 12:30!", None),
            _unchanged("Fog."),
            Example("Fog again.", None, learn={"min_words": 3}),
            Example("パンが焼けた", "パンが焼けた", learn={"min_words": 3}),
        ),
        _too_short,
        "min_words",
    ),
    Rule(
        "excluded",
        "Leave out texts with a word of `exclude.words` or a match of `exclude.patterns`.",
        (
            Example("My boss says no", None, learn={"exclude": {"words": ["my boss"]}}),
            Example("The bossy gull", "The bossy gull", learn={"exclude": {"words": ["boss"]}}),
            Example("Day 17 of rain", None, learn={"exclude": {"patterns": [r"^day \d+"]}}),
        ),
        _excluded,
        "exclude",
    ),
    Rule(
        "own post",
        "Leave out what the bot itself posted: it may post as the person whose tweets it learns"
        " from.",
        (Example("Fish &amp; chips again", None, posted=("Fish & chips again!",)),),
        _own_posts,
    ),
    Rule(
        "template",
        "Learn one text of each template of an app. Two texts are of one template if they begin"
        " with the same words that an app is known to write, or with the same three words from an"
        " app that is not made to write with, or with the same five words where the text has three"
        " numbers, or a link and an unknown app. All numbers count as the same word. With"
        " `apps: never`, what apps are known to write and texts from apps that are not made to"
        " write with are left out altogether.",
        (
            Example(f"I just posted a photo @ The Pier {LINK}", "I just posted a photo @ The Pier"),
            Example(
                f"I just posted a photo @ The Bakery {LINK}",
                None,
                after=(f"I just posted a photo @ The Pier {LINK}",),
            ),
            Example(
                f"My Top 3 #lastfm Artists: Gull (9), Fog (7) {LINK}",
                None,
                after=(f"My Top 3 #lastfm Artists: Sea (4), Salt (1) {LINK}",),
            ),
            Example(f"I just ran 5 km with a watch {LINK}", None, learn={"apps": "never"}),
            Example("a thought, number 2", "a thought, number 2", after=("a thought, number 1",)),
        ),
        _apps,
        "apps",
    ),
    Rule(
        "duplicate",
        "Leave out texts that an earlier one has but for case, punctuation and pictures, and texts"
        " of eight words or more that share four fifths of their words with an earlier one. With"
        " `apps: all`, texts that are only nearly equal stay.",
        (
            Example("good morning \u2600", None, after=("Good morning!",)),
            Example(
                "The harbour office is closed on Mondays until the end of winter",
                None,
                after=("The harbour office is closed on Fridays until the end of winter",),
            ),
            Example("Good evening", "Good evening", after=("Good morning!",)),
        ),
        _duplicates,
    ),
)

RULES = (*ABOUT_THE_TWEET, *ABOUT_THE_TEXT, *ABOUT_THE_REST)
