"""Pages of the repository on the site, and links that work in both views.

A link in a document is written for the repository: relative to the document's own folder. On the
site it leads to the same page where the site has it, and else to the file in the public repository.
"""

from __future__ import annotations

import posixpath
import re
import tomllib
import unicodedata
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).parents[1]
REPOSITORY = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]

DOCUMENTS = {
    "README.md": "guide.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/README.md": "benchmarks.md",
    "notebooks/README.md": "course/index.md",
    "notebooks/GLOSSARY.md": "course/glossary.md",
}
"""Documents outside of `docs/`, and where they stand on the site."""

HAND_WRITTEN = "website/pages"
"""Pages that are written for the site alone."""

_LINK = re.compile(r"(\]\()([^)\s]+)(\))")
_INCLUDE = re.compile(r"^\[\[(\S+)(?: § (.+))?\]\]$", re.M)
_LIST_AFTER_TEXT = re.compile(r"^((?![-*] |[|#>\s]|\d+\. ).+)\n(?=(?:[-*]|1\.) )", re.M)
_FENCE = re.compile(r"^(```.*?^```)", re.M | re.S)


class SiteError(Exception):
    """Something that the site cannot be made of: says where and what."""


def documents() -> dict[str, str]:
    """Repository path -> site path of every document that is taken in as it is."""
    pages = {f"docs/{p.name}": f"docs/{p.name}" for p in sorted((ROOT / "docs").glob("*.md"))}
    return DOCUMENTS | pages


def pictures() -> dict[str, str]:
    """Repository path -> site path of every picture of `docs/`."""
    kinds = (".png", ".svg", ".webp")
    found = [p for p in sorted((ROOT / "docs").rglob("*")) if p.suffix in kinds]
    return {(path := p.relative_to(ROOT).as_posix()): path for p in found}


def notebooks() -> dict[str, str]:
    """Repository path -> site path of every notebook."""
    found = sorted((ROOT / "notebooks").glob("*.ipynb"))
    return {f"notebooks/{p.name}": f"course/{p.stem}.md" for p in found}


def on_site() -> dict[str, str]:
    """Repository path -> site path of all that the site takes over."""
    return documents() | pictures() | notebooks()


def linked(text: str, source: str, page: str) -> str:
    """Markdown of the repository's file `source`, with its links as they must be on the site's page
    `page`. Raises `SiteError` for a link to nothing."""
    places = on_site()

    def link(match: re.Match[str]) -> str:
        return match[1] + _target(match[2], source, page, places) + match[3]

    return outside_fences(text, lambda part: _LINK.sub(link, part))


def outside_fences(text: str, change: Callable[[str], str]) -> str:
    """Apply `change` to what stands outside of code blocks."""
    parts = _FENCE.split(text)
    return "".join(part if part.startswith("```") else change(part) for part in parts)


def with_lists(text: str) -> str:
    """Markdown in which a list may follow its sentence without a blank line, as GitHub and Jupyter
    read it."""
    return outside_fences(text, lambda part: _LIST_AFTER_TEXT.sub(r"\1\n\n", part))


def _target(target: str, source: str, page: str, places: dict[str, str]) -> str:
    if re.match(r"[a-z]+:|#", target):
        return target
    path, _, anchor = target.partition("#")
    file = posixpath.normpath(posixpath.join(posixpath.dirname(source), unquote(path)))
    # A page of the site's own; mkdocs looks whether it is there.
    if file.startswith(f"{HAND_WRITTEN}/"):
        return target
    if file in places:
        there = posixpath.relpath(places[file], posixpath.dirname(page) or ".")
        # Jupyter writes a heading's anchor with all its signs.
        anchor = heading_anchor(unquote(anchor)) if file.endswith(".ipynb") else anchor
        return f"{there}#{anchor}" if anchor else there
    return repository_link(file, source) + (f"#{anchor}" if anchor else "")


def heading_anchor(heading: str) -> str:
    """What the site calls a heading in addresses: Markdown's rule, which knows ASCII alone."""
    plain = unicodedata.normalize("NFKD", heading).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())


def repository_link(file: str, source: str) -> str:
    """Where a file or folder stands in the public repository. Raises `SiteError` where there is no
    such file."""
    path = ROOT / file
    if not path.exists() or ".." in Path(file).parts:
        raise SiteError(f"{source} links to {file!r}, which is not in the repository.")
    return f"{REPOSITORY}/{'tree' if path.is_dir() else 'blob'}/main/{file}"


def included(text: str, page: str) -> str:
    """Markdown in which each line `[[FILE]]` or `[[FILE § HEADING]]` is that document, or the part
    of it below that heading ("top": the words below the title)."""

    def taken(match: re.Match[str]) -> str:
        whole = (ROOT / match[1]).read_text(encoding="utf-8")
        part = part_of(whole, match[2], match[1]) if match[2] else whole
        return linked(part, match[1], page)

    return _INCLUDE.sub(taken, text)


def part_of(text: str, heading: str, source: str) -> str:
    """What stands below a heading, up to the next one. Raises `SiteError` where it is not there."""
    parts = re.split(r"^#+ (.*)$", text, flags=re.M)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    sections["top"] = re.sub(r"^!.*\n?", "", parts[2], flags=re.M)
    if heading not in sections:
        raise SiteError(f"{source} has no heading {heading!r} to take in.")
    return sections[heading].strip()
