#!/opt/venv/bin/python -E
"""Stands in for gcsfuse: fills a folder with a read-only copy of a bucket's objects.

`gcsfuse [flags] -o ro BUCKET DIR` reads as the container's service account, so its grants count.
Like the real one, it looks each parent up as an object and goes on only if that is not found. It
does so while it mounts, so a refusal fails the mount; the real one fails the access. Like the real
one, it needs a container that may mount. It cannot show writing, objects that appear after the
mount, the cost of reading, or a bucket that is larger than the machine's memory.
"""

import argparse
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """Reports a wrong command line like gcsfuse."""

    def error(self, message: str) -> NoReturn:
        """Ends with status 1."""
        print(f"gcsfuse: {message}", file=sys.stderr)
        sys.exit(1)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Parses the flags that are stood in for, the bucket and the folder."""
    parser = Parser(prog="gcsfuse", allow_abbrev=False)
    parser.add_argument("-o", action="append", default=[])
    parser.add_argument("--only-dir", default="")
    for name in ("--app-name", "--dir-mode", "--file-mode", "--gid", "--uid", "--enable-hns"):
        parser.add_argument(name)
    for name in ("--log-file", "--log-format", "--log-severity", "--billing-project"):
        parser.add_argument(name)
    for name in ("--foreground", "--implicit-dirs"):
        parser.add_argument(name, action="store_true")
    parser.add_argument("bucket")
    parser.add_argument("folder", type=Path)
    return parser.parse_args(arguments)


def fill(bucket: str, prefix: str, folder: Path) -> int:
    """Copies the objects below the prefix; returns their number."""
    from google.cloud import storage  # pyright: ignore[reportMissingTypeStubs]

    client: Any = storage.Client()
    count = 0
    for blob in client.list_blobs(bucket, prefix=prefix):
        below = blob.name.removeprefix(prefix)
        target = folder / below
        for parent in reversed(Path(below).parents[:-1]):
            if not (folder / parent).is_dir():
                client.bucket(bucket).blob(f"{prefix}{parent}").exists()
                (folder / parent).mkdir()
        if below.endswith("/") or not below:
            target.mkdir(exist_ok=True)
            continue
        blob.download_to_filename(str(target))
        count += 1
    return count


def main(arguments: list[str]) -> int:
    """Mounts and returns the status. With --foreground it waits for a signal."""
    from google.api_core.exceptions import Forbidden, GoogleAPICallError
    from google.auth.exceptions import GoogleAuthError

    options = parse(arguments)
    if "ro" not in ",".join(options.o).split(","):
        print("gcsfuse: only read-only mounts are stood in for: give -o ro", file=sys.stderr)
        return 1
    if not options.folder.is_dir():
        print(f"gcsfuse: {options.folder}: no such directory", file=sys.stderr)
        return 1
    folder = str(options.folder)
    if subprocess.run(["mount", "-t", "tmpfs", "gcsfuse", folder], check=False).returncode != 0:
        print("fusermount3: mount failed: Operation not permitted: the container needs"
              " --privileged, or /dev/fuse and SYS_ADMIN", file=sys.stderr)  # fmt: skip
        return 1
    prefix = f"{options.only_dir.strip('/')}/" if options.only_dir.strip("/") else ""
    try:
        count = fill(options.bucket, prefix, options.folder)
    except Forbidden as error:
        print(f"gcsfuse: Permission denied: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except (GoogleAPICallError, GoogleAuthError) as error:
        print(f"gcsfuse: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
    print(f"gcsfuse: {count} objects of gs://{options.bucket}/{prefix} copied to {folder}")
    if options.foreground:
        signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
