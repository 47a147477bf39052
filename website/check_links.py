"""Looks through the built site: every internal link leads somewhere, and no page asks another host
for anything.

    python -m website.check_links build/site
"""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

FETCHING = {
    "audio": ("src",),
    "embed": ("src",),
    "iframe": ("src",),
    "img": ("src", "srcset"),
    "link": ("href",),
    "object": ("data",),
    "script": ("src",),
    "source": ("src", "srcset"),
    "video": ("src", "poster"),
}
"""What a browser fetches by itself when it opens a page."""
NAMES_ONLY = {"canonical", "license", "next", "prev"}
"""Kinds of `<link>` that name an address and fetch nothing."""
OF_COMPLETIONS = {"think", "answer"}
"""Tags of our completions: as elements of a page they would be swallowed."""
_IN_STYLE = re.compile(r"@import\s+|url\(\s*['\"]?(?:https?:)?//", re.I)


class Links(HTMLParser):
    """The addresses and anchors of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.followed: list[str] = []
        self.fetched: list[str] = []
        self.anchors: set[str] = set()
        self.swallowed: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what it links to and what it is called."""
        self.swallowed |= {tag} & OF_COMPLETIONS
        given = {name: value for name, value in attrs if value is not None}
        self.anchors.update(given[name] for name in ("id", "name") if name in given)
        if tag == "a" and "href" in given:
            self.followed.append(given["href"])
        if tag == "link" and set(given.get("rel", "").split()) & NAMES_ONLY:
            return
        self.fetched += [given[name] for name in FETCHING.get(tag, ()) if name in given]


def problems(site: Path) -> list[str]:
    """What is wrong, a line each; empty where all is well."""
    pages = {path.resolve(): _read(path) for path in sorted(site.rglob("*.html"))}
    found = [f"{style.relative_to(site)}: fetches from another host" for style in _foreign(site)]
    for path, links in pages.items():
        where = path.relative_to(site.resolve())
        found += [
            f"{where}: fetches {address[:100]!r} from another host"
            for address in links.fetched
            if urlsplit(address).scheme not in ("", "data") or address.startswith("//")
        ]
        found += [f"{where}: <{tag}> is swallowed: put it into code" for tag in links.swallowed]
        for address in [*links.followed, *links.fetched]:
            wrong = _wrong(address, path, site.resolve(), pages)
            if wrong:
                found.append(f"{where}: {address[:100]!r} {wrong}")
    return found


def _read(path: Path) -> Links:
    links = Links()
    links.feed(path.read_text(encoding="utf-8"))
    return links


def _foreign(site: Path) -> list[Path]:
    return [p for p in sorted(site.rglob("*.css")) if _IN_STYLE.search(p.read_text("utf-8"))]


def _wrong(address: str, page: Path, site: Path, pages: dict[Path, Links]) -> str:
    """What is wrong with a link inside of the site; '' for a good one or one that leads out."""
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        return ""
    # A page for addresses that do not exist is shown at any of them.
    base = site if parts.path.startswith("/") else page.parent
    file = (base / unquote(parts.path).lstrip("/")).resolve() if parts.path else page
    file = file / "index.html" if file.is_dir() else file
    if not file.is_file():
        return "leads nowhere"
    anchor = unquote(parts.fragment)
    if anchor and file in pages and anchor not in pages[file].anchors:
        return "names an anchor that is not there"
    return ""


def main() -> None:
    """Print what is wrong; exit code 1 where something is."""
    found = problems(Path(sys.argv[1]))
    print("\n".join(found) or "every internal link leads somewhere; nothing comes from elsewhere")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
