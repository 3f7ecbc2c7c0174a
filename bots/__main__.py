"""The command line of `bots`."""

import argparse
import getpass
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from bots import base, corpus, credentials, forget, imports, releases, show
from bots.cloud import Cloud
from bots.status import gather
from pipeline import __version__, archive, documents, layout, release
from pipeline.errors import PipelineError, UserError
from stacks import stack_file
from stacks.config import Account

_DESCRIPTION = """\
Show and operate the bots of one stack.

The stack is named by --stack, after its file stacks/Pulumi.NAME.yaml; names of accounts are those
in that file. You act with your own Google credentials (`gcloud auth application-default login`);
the local stack needs none, but the local cloud has to run (`python -m local up`).
"""

_EXAMPLES = """\
examples:
  the state, the newest posts and the next ticks:
    bots status --stack local
    bots status --stack prod --json | jq .accounts.keeper.posts

  a new account: its keys, piped in (a JSON object with api_key, api_secret, access_token and
  access_token_secret) or typed; then the archive that X gives a person of their own tweets:
    bots credentials keeper --stack prod < keys.json
    bots import keeper twitter-2026-11-23.zip --stack prod

  the bearer token with which all timelines are read:
    bots credentials --bearer --stack prod < token.txt

  the model that training starts from; without this the first training run downloads it:
    bots base 124M --stack prod

  what of the tweets is learnt, and what is left out and why, before a training:
    bots corpus keeper --stack prod
    bots corpus keeper --dropped --sample 50 --stack prod

  list releases and make another one live; the image follows by itself in some minutes:
    bots releases keeper --stack prod
    bots promote keeper 20261122T101500Z-0123abcd --stack prod
    bots rollback keeper --stack prod

  delete tweets on request; the receipt says what is gone now, and what when:
    bots forget keeper 1861111111111111111 --why "asked by mail" --stack prod
    bots forget keeper --match "my old address" --why "asked by mail" --stack prod
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        file: Path = options.config_file or Path("stacks") / f"Pulumi.{options.stack}.yaml"
        options.run(Cloud(stack_file.read(file)), options)
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bots",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")

    def command(
        name: str, run: Callable[[Cloud, argparse.Namespace], None], text: str
    ) -> argparse.ArgumentParser:
        subparser = commands.add_parser(
            name, help=text, description=f"{text[0].upper()}{text[1:]}."
        )
        stack = subparser.add_mutually_exclusive_group(required=True)
        stack.add_argument("--stack", metavar="NAME", help="the stack of stacks/Pulumi.NAME.yaml")
        stack.add_argument("--config-file", type=Path, metavar="FILE", help="another stack file")
        subparser.set_defaults(run=run)
        return subparser

    status = command("status", _status, "show tweets, releases, posts, spending and next ticks")
    status.add_argument("--json", action="store_true", help="print JSON, with more posts")

    bring = command("import", _import, "import the tweets of an archive that X made")
    bring.add_argument("account", metavar="ACCOUNT")
    bring.add_argument(
        "archive",
        metavar="ARCHIVE",
        type=Path,
        nargs="+",
        help="the zip or zips that X made, or their unpacked folder; tweets.js or tweets.csv"
        " alone; or lines of text or JSON: .txt, .jsonl",
    )
    bring.add_argument(
        "--owner",
        metavar="HANDLE[:ID]",
        type=imports.owner,
        help="whose tweets they are, where the archive does not say it",
    )
    bring.add_argument("--partial", action="store_true", help="import an archive that lacks a part")
    bring.add_argument(
        "--dry-run", action="store_true", help="store nothing, and say what would be"
    )

    learnt = command("corpus", _corpus, "show what of an account's tweets is learnt, and a sample")
    learnt.add_argument("account", metavar="ACCOUNT")
    learnt.add_argument(
        "--dropped", action="store_true", help="a sample of what is left out, with the reasons"
    )
    learnt.add_argument(
        "--sample", type=_size, default=20, metavar="N", help="how many tweets (20)"
    )
    learnt.add_argument("--json", action="store_true", help="print JSON")

    keys = command(
        "credentials", _credentials, "store X's keys, from standard input or typed without echo"
    )
    whose = keys.add_mutually_exclusive_group(required=True)
    whose.add_argument("account", metavar="ACCOUNT", nargs="?", help="the four keys of an account")
    whose.add_argument("--bearer", action="store_true", help="the token that reads all timelines")

    copy = command("base", _base, "copy a model that OpenAI publishes into the models bucket")
    copy.add_argument("model", metavar="MODEL", help="124M, 355M, 774M or 1558M")

    listing = command("releases", _releases, "list an account's releases, the newest first")
    listing.add_argument("account", metavar="ACCOUNT")

    promote = command("promote", _promote, "make a release the live one")
    promote.add_argument("account", metavar="ACCOUNT")
    promote.add_argument("tag", metavar="TAG", help="as `bots releases` shows it")

    rollback = command("rollback", _rollback, "make the release before the live one live again")
    rollback.add_argument("account", metavar="ACCOUNT")

    gone = command("forget", _forget, "delete tweets on request, and show what is gone when")
    gone.add_argument("account", metavar="ACCOUNT")
    which = gone.add_mutually_exclusive_group(required=True)
    which.add_argument("ids", metavar="ID", nargs="*", default=[], help="ids of tweets")
    which.add_argument("--all", action="store_true", help="all that was collected of the account")
    which.add_argument("--match", metavar="TEXT", help="all tweets that hold a text")
    gone.add_argument("--why", required=True, metavar="REASON", help="kept with the ids")
    gone.add_argument("--yes", action="store_true", help="do not ask")
    gone.add_argument("--json", action="store_true", help="print the receipt as JSON")
    return parser


def _status(cloud: Cloud, options: argparse.Namespace) -> None:
    figures = gather(cloud)
    if options.json:
        print(json.dumps(figures, indent=2, ensure_ascii=False))
    else:
        show.status(figures)


def _import(cloud: Cloud, options: argparse.Namespace) -> None:
    part, account = _account(cloud, options.account)
    read = archive.read(options.archive, options.owner, partial=options.partial)
    imported = imports.import_archive(
        part.data, options.account, account.handle, read, dry_run=options.dry_run
    )
    for line in imports.report(imported, dry_run=options.dry_run):
        print(line)
    if imported.deleted and not options.dry_run:
        show.receipt(forget.forget_deleted(part, options.account, imported, _who()))


def _size(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)


def _corpus(cloud: Cloud, options: argparse.Namespace) -> None:
    part, account = _account(cloud, options.account)
    figures = corpus.gather(
        part.data, options.account, account.learn, options.sample, dropped=options.dropped
    )
    if options.json:
        print(json.dumps(figures, indent=2, ensure_ascii=False))
    else:
        corpus.show(figures)


def _credentials(cloud: Cloud, options: argparse.Namespace) -> None:
    if options.bearer:
        # Each project has the secret: its scrapers read no other project's secrets.
        parts, secret = cloud.parts(), layout.bearer_secret(cloud.stack.name)
        value = credentials.bearer()
    else:
        part, _ = _account(cloud, options.account)
        parts, secret = [part], layout.keys_secret(cloud.stack.name, options.account)
        value = credentials.keys()
    for part in parts:
        part.add_secret_version(secret, value)
    print(f"{secret} has a new version; programs take it from their next start on")


def _base(cloud: Cloud, options: argparse.Namespace) -> None:
    stores = [part.models for part in cloud.parts()]
    buckets = base.copy(stores, options.model)
    for store in stores:
        state = "now" if store.bucket_name in buckets else "already"
        print(f"gs://{store.bucket_name} has {options.model} {state}")


def _releases(cloud: Cloud, options: argparse.Namespace) -> None:
    part, _ = _account(cloud, options.account)
    newest_first = reversed(release.tags(part.models, options.account))
    rows = releases.rows(
        release.read_each(part.models, options.account, newest_first),
        releases.live_tag(part.models, options.account),
    )
    show.table(
        f"releases of {options.account}",
        ("tag", "created", "tweets", "loss", "gate", "state"),
        rows,
    )


def _promote(cloud: Cloud, options: argparse.Namespace) -> None:
    part, _ = _account(cloud, options.account)
    moved = releases.promote(part.models, options.account, options.tag, _who(), cloud.now())
    print(f"{options.tag} is {'now' if moved else 'already'} the live release of {options.account}")


def _rollback(cloud: Cloud, options: argparse.Namespace) -> None:
    part, _ = _account(cloud, options.account)
    tag = releases.rollback(part.models, options.account, _who(), cloud.now())
    print(f"{tag} is the live release of {options.account} again")


def _forget(cloud: Cloud, options: argparse.Namespace) -> None:
    part, _ = _account(cloud, options.account)
    account, ids, text = options.account, frozenset[str](options.ids), options.match or ""
    chosen: forget.Chosen = "all" if options.all else "ids" if ids else "match"
    request = forget.Request(chosen, options.why, _who(), ids, text)
    question = f"delete all that was collected of {account}?"
    if chosen == "match":
        found = forget.find(part, account, text)
        request = replace(request, ids=frozenset(tweet.id for tweet in found.tweets))
        question = f"forget {found.extent}?"
        if not options.json:
            show.found(found)
    if chosen != "ids" and not options.yes:
        show.confirm(question)
    receipt = forget.forget(part, account, request)
    if options.json:
        print(documents.dump(receipt).decode(), end="")
    else:
        show.receipt(receipt)


def _account(cloud: Cloud, name: str) -> tuple[Cloud, Account]:
    """An account's settings in the stack file, and the Cloud of its project."""
    account = cloud.stack.accounts.get(name)
    if account is None:
        known = ", ".join(cloud.stack.accounts) or "none"
        raise UserError(f"stack {cloud.stack.name} has no account {name!r}; it has: {known}")
    return cloud.of(name), account


def _who() -> str:
    return f"operator {getpass.getuser()}"


if __name__ == "__main__":
    sys.exit(main())
