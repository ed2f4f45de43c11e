"""The documentation site: the pages of the repository, staged with their links, and built.

`make site` (`python -m tests.docs_site`) writes build/site as mkdocs.yml says. Pages are written for
the repository, where their links hold; of links to files that are no page the text stays.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from base64 import b64decode
from pathlib import Path

import nbformat

from tests import docs_names

ROOT = Path(__file__).resolve().parents[1]
AT_ROOT = {"README.md": "index.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}  # fmt: skip
PICTURES = {"image/svg+xml": "svg", "image/png": "png"}


def pages() -> dict[Path, str]:
    """Every page of the repository, and its place in the site."""
    docs = {path: path.name for path in sorted((ROOT / "docs").glob("*.md"))}
    notebooks = {
        path: f"notebooks/{path.stem}.md" for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
    }
    return {ROOT / name: place for name, place in AT_ROOT.items()} | docs | notebooks


def stage(project: Path = ROOT) -> None:
    """Write the pages into build/docs of a project as the site has them, and what stands beside them."""
    folder = project / "build" / "docs"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "notebooks").mkdir(parents=True)
    for source, place in pages().items():
        if source.suffix == ".ipynb":
            text = of_notebook(nbformat.read(source, as_version=4), folder / place)
        else:
            text = source.read_text(encoding="utf-8")
        text = with_directives(text) if source == docs_names.API else text
        (folder / place).write_text(relinked(text, source, place), encoding="utf-8")
    shutil.copytree(ROOT / "docs" / "pictures", folder / "pictures")
    for beside in (ROOT / "docs").iterdir():
        if beside.suffix in (".css", ".js", ".svg"):
            shutil.copy(beside, folder)


def relinked(text: str, source: Path, place: str) -> str:
    """A page with its links as they lead from its place in the site; not those in its programs.

    In the code of a table Python-Markdown takes a backslash before a bar for one, GitHub does not.
    """
    places = pages()

    def link(found: re.Match[str]) -> str:
        said, target, anchor = found.groups()
        path = (source.parent / target).resolve()
        if path in places:
            named = title(path) if Path(said).name == path.name else said
            return f"[{named}]({os.path.relpath(places[path], Path(place).parent)}{anchor or ''})"
        if not target or path.suffix == ".svg" or not path.exists():
            return found[0]
        return said

    outside = re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
    outside[::2] = [
        re.sub(r"(?<!!)\[([^\]\n]*)\]\(([^)#:\s]*)(#[^)\s]*)?\)", link, part)
        for part in outside[::2]
    ]
    text = "".join(outside)
    if source.parent == ROOT:
        text = re.sub(r'((?:srcset|src)=")docs/', r"\1", text)
    return re.sub(r"(?m)^\|.*$", lambda row: re.sub(r"`[^`]*`", unescaped, row[0]), text)


def unescaped(code: re.Match[str]) -> str:
    """Code of a table with its bars as they are."""
    return code[0].replace("\\|", "|")


def title(page: Path) -> str:
    """The heading of a page, which stands where the repository names the file."""
    if page.suffix == ".ipynb":
        return (
            str(nbformat.read(page, as_version=4).cells[0].source).partition("\n")[0].lstrip("# ")
        )
    return page.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")


def with_directives(text: str) -> str:
    """The page of public names, with the docstrings of each section's names after its table."""
    for title, (_, names) in docs_names.SECTIONS.items():
        listed = "\n\n".join(f"::: {docs_names.path(name)}" for name in names)
        text = re.sub(
            rf"(^## {re.escape(title)}\n.*?)(?=^## |\Z)",
            rf"\1\n{listed}\n\n",
            text,
            flags=re.M | re.S,
        )
    return text


def of_notebook(notebook: nbformat.NotebookNode, page: Path) -> str:
    """A notebook as a page; its pictures stand beside it."""
    parts = []
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            continue
        parts.append(f"```python\n{cell.source}\n```")
        for n, output in enumerate(cell.outputs):
            parts.append(_shown(output, page.with_name(f"{page.stem}-{number}-{n}")))
    return "\n\n".join(parts) + "\n"


def _shown(output: nbformat.NotebookNode, beside: Path) -> str:
    """One output of a cell: a picture, a chart or a table in HTML, or text."""
    data = output.get("data", {})
    for kind, suffix in PICTURES.items():
        if kind in data:
            picture = beside.with_suffix(f".{suffix}")
            picture.write_bytes(data[kind].encode() if suffix == "svg" else b64decode(data[kind]))
            return f"![]({picture.name})"
    if "text/html" in data:
        html = bare(data["text/html"])
        return f'<div class="chart">{html}</div>' if "<svg" in html else html
    return f"```text\n{(output.get('text') or data['text/plain']).rstrip()}\n```"


def bare(html: str) -> str:
    """A table of Polars as the others of the site look: no style, no types, no quotes."""
    html = re.sub(r"<style>.*?</style>|<small>.*?</small>", "", html, flags=re.DOTALL)
    html = re.sub(r"<tr>(?:<td>[^<]*</td>)*</tr>(?=</thead>)", "", html)
    html = re.sub(r"<td>&quot;(.*?)&quot;</td>", r"<td>\1</td>", html)
    html = re.sub(
        r"(?<!<tr>)<td>(?=(?:-?[\d.,]+|null)</td>)", '<td style="text-align: right">', html
    )
    return re.sub(r'<table border="1" class="dataframe">', "<table>", html).replace("\n", "")


def build(project: Path = ROOT) -> Path:
    """Build the site of a project that has mkdocs.yml, and return its folder.

    Raises:
        subprocess.CalledProcessError: if a page or an anchor is linked and lacking.
    """
    site = project / "build" / "site"
    shutil.rmtree(site, ignore_errors=True)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    subprocess.run(command, cwd=project, env=environment, check=True)
    return site


if __name__ == "__main__":
    stage()
    build()
