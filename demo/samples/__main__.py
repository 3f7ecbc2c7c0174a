"""Makes an archive of a made-up person, to try an import with, and lists what the samples hold."""

import argparse
import sys
from pathlib import Path

from demo.samples import archive, people, table
from demo.samples.layouts import LAYOUTS
from demo.samples.people import PEOPLE

MOST = 5000


def main() -> int:
    """Runs the command; returns the exit code."""
    about = "; ".join(f"{person.name} ({person.about})" for person in PEOPLE.values())
    parser = argparse.ArgumentParser(prog="python -m demo.samples", description=__doc__)
    parser.add_argument("person", nargs="?", choices=PEOPLE, metavar="PERSON", help=about)
    parser.add_argument("out", nargs="?", type=Path, metavar="OUT.zip", help="the file to write")
    parser.add_argument(
        "--layout",
        choices=LAYOUTS,
        default=LAYOUTS[-1],
        help=f"how X laid out archives that year (default: {LAYOUTS[-1]})",
    )
    parser.add_argument(
        "--count",
        type=_count,
        default=table.COUNT,
        help=f"how many tweets, at most {MOST} (default: {table.COUNT})",
    )
    parser.add_argument("--seed", type=int, default=7, help="another seed writes other tweets")
    parser.add_argument("--handle", help="the person's handle, if another than usual")
    parser.add_argument(
        "--table",
        action="store_true",
        help="write no file, but list what each person's tweets hold",
    )
    arguments = parser.parse_args()
    if arguments.table:
        print(table.of(arguments.count, arguments.seed), end="")
        return 0
    if arguments.out is None:
        parser.error("name a PERSON and the file to write, OUT.zip")
    person = PEOPLE[arguments.person]
    samples = people.samples(
        person.name,
        arguments.count,
        arguments.seed,
        people.since(arguments.layout, arguments.count),
    )
    owner = person.owner_as(arguments.handle or person.handle)
    try:
        archive.write_samples(arguments.out, owner, samples, arguments.layout)
    except OSError as error:
        print(f"error: {arguments.out}: cannot be written ({error.strerror})", file=sys.stderr)
        return 1
    print(f"{arguments.out}: {len(samples)} tweets of @{owner.handle} (user id {owner.user_id})")
    return 0


def _count(text: str) -> int:
    count = int(text)
    if not 1 <= count <= MOST:
        raise argparse.ArgumentTypeError(f"{count} is not between 1 and {MOST}")
    return count


if __name__ == "__main__":
    sys.exit(main())
