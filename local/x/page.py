"""X as a person sees it: a list of the accounts, and a timeline of each."""

from pathlib import Path

import jinja2

from local.x.state import State, User, price

SHOWN = 100
"""How many posts a timeline shows."""

_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    trim_blocks=True,
    undefined=jinja2.StrictUndefined,
)


def accounts(state: State) -> str:
    """The page that lists all accounts, those that post by themselves first."""
    listed = [(user, state.posts(user)) for user in state.users()]
    listed.sort(key=lambda account: not any(post.automated for post in account[1]))
    return _TEMPLATES.get_template("accounts.html").render(accounts=listed)


def timeline(state: State, user: User) -> str:
    """The page of one account."""
    sales = state.sold().get(user.handle, {})
    return _TEMPLATES.get_template("timeline.html").render(
        user=user, posts=state.posts(user), sales=sales, usd=price(sales), shown=SHOWN
    )


def nobody(handle: str) -> str:
    """The page of an account that does not exist."""
    return _TEMPLATES.get_template("nobody.html").render(handle=handle)
