"""X as a person sees it: a list of the accounts, and a timeline of each."""

from collections.abc import Mapping
from datetime import datetime
from html import escape

from local.x.state import Post, Sale, State, User, price

SHOWN = 100
"""How many posts a timeline shows."""

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --quiet: #777; --mark: #1d7f5f; }
* { box-sizing: border-box; }
body { font: 17px/1.5 system-ui, sans-serif; max-width: 36rem; margin: 0 auto;
  padding: 0 1rem 4rem; }
a { color: inherit; }
header { padding: 2rem 0 1rem; border-bottom: 1px solid var(--line); }
h1 { font-size: 1.5rem; line-height: 1.2; margin: 0; }
p { margin: .4rem 0; overflow-wrap: anywhere; }
ul, ol { list-style: none; margin: 0; padding: 0; }
li { padding: 1rem 0; border-bottom: 1px solid var(--line); }
li > a { display: block; text-decoration: none; }
li > a:hover strong { text-decoration: underline; }
.text { white-space: pre-wrap; }
.quiet { color: var(--quiet); font-size: .85rem; }
.label { color: var(--mark); border: 1px solid; border-radius: 1em; padding: 0 .6em;
  font-size: .8rem; white-space: nowrap; }
"""


def accounts(state: State) -> str:
    """The page that lists all accounts, those that post by themselves first."""
    listed = [(user, state.posts(user)) for user in state.users()]
    listed.sort(key=lambda one: not _automated(one[1]))
    items = "\n".join(_account(user, posts) for user, posts in listed)
    body = f"<ul>\n{items}\n</ul>" if listed else "<p>Nobody is here yet.</p>"
    return _page("X on this machine", "<h1>X on this machine</h1>", body)


def timeline(state: State, user: User) -> str:
    """The page of one account."""
    posts = state.posts(user)
    items = "\n".join(_post(post) for post in posts[:SHOWN])
    body = f"<ol>\n{items}\n</ol>" if posts else "<p>No posts yet.</p>"
    if len(posts) > SHOWN:
        body += f'\n<p class="quiet">The newest {SHOWN} of {_count(len(posts), "post")}.</p>'
    handle = escape(user.handle)
    head = f"""<p class="quiet"><a href="/">All accounts</a></p>
<h1>@{handle}</h1>
<p>{_about(user, posts)}</p>
<p class="quiet">{_sales(state.sold().get(user.handle, {}))}</p>"""
    return _page(f"@{handle}", head, body)


def nobody(handle: str) -> str:
    """The page of an account that does not exist."""
    head = f"<h1>@{escape(handle)}</h1>"
    return _page("Nobody", head, '<p>There is no such account. <a href="/">All accounts</a></p>')


def _page(title: str, head: str, body: str) -> str:
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{_STYLE}</style>
</head>
<body>
<header>
{head}
</header>
<main>
{body}
</main>
</body>
</html>
"""


def _account(user: User, posts: list[Post]) -> str:
    handle = escape(user.handle)
    newest = f'\n<p class="text">{escape(posts[0].text)}</p>' if posts else ""
    return f"""<li><a href="/{handle}">
<strong>@{handle}</strong> {_about(user, posts)}{newest}
</a></li>"""


def _post(post: Post) -> str:
    label = f" {_LABEL}" if post.automated else ""
    return f"""<li id="{post.id}"><article>
<p class="text">{escape(post.text)}</p>
<p class="quiet">{_time(post.created_at)}{label}</p>
</article></li>"""


_LABEL = '<span class="label">automated</span>'


def _about(user: User, posts: list[Post]) -> str:
    automated = sum(post.automated for post in posts)
    words = [f'<span class="quiet">{_count(len(posts), "post")}, {automated} automated</span>']
    if automated:
        words.insert(0, _LABEL)
    if user.protected:
        words.append('<span class="label">protected</span>')
    if user.suspended:
        words.append('<span class="label">suspended</span>')
    return " ".join(words)


def _automated(posts: list[Post]) -> bool:
    return any(post.automated for post in posts)


def _sales(sales: Mapping[Sale, int]) -> str:
    if not sales:
        return "Nothing was sold through the API."
    read = _count(sales["posts_read"], "post") + " read"
    looked_up = _count(sales["user_reads"], "user look-up")
    created = _count(sales["posts_created"], "post") + " created"
    return f"Sold through the API: {read}, {looked_up}, {created}, ${price(sales):.3f} in all."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _time(at: datetime) -> str:
    return f'<time datetime="{at.isoformat()}">{at.day} {at:%B %Y, %H:%M} UTC</time>'
