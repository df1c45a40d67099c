"""An executed notebook as one page of HTML: nothing to load, light and dark, fit for paper."""

from __future__ import annotations

import html
import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbformat import NotebookNode

MARK = "autoresearch-report"
"""The name of the page's entry that says what it is."""

# No script runs and nothing is fetched, whatever a record holds.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

_STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --soft: #59636e; --line: #d1d9e0;
  --paper: #fff; --shade: #f6f8fa; --add: #dafbe1; --cut: #ffebe9; --hue: #0969da; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9198a1; --line: #3d444d;
  --paper: #0d1117; --shade: #161b22; --add: #12361f; --cut: #4a1d1f; --hue: #4493f8; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1.25rem 4rem; max-width: 58rem; color: var(--ink);
  background: var(--paper); font: 16px/1.55 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.8rem; line-height: 1.25; }
h2 { margin-top: 2.5rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line); }
h3 { margin-top: 2rem; line-height: 1.35; }
table { display: block; overflow-x: auto; border: 0; border-collapse: collapse;
  font-size: .9rem; }
img + table, div + table { margin-top: 1rem; }
th, td { padding: .3rem .7rem; border: 1px solid var(--line); text-align: left;
  vertical-align: top; }
th { font-weight: 600; }
th:empty { padding: 0; border: 0; }
th:empty + th { border-left: 1px solid var(--line); }
.dataframe td { text-align: right; font-variant-numeric: tabular-nums; }
pre, code { font: .82rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
code { padding: .1em .3em; border-radius: 4px; background: var(--shade); }
pre { padding: .8rem 1rem; overflow-x: auto; border-radius: 6px; background: var(--shade); }
pre code { padding: 0; }
div.output_text pre { white-space: pre-wrap; }
.gi { background: var(--add); } .gd { background: var(--cut); }
.gu, .gh { color: var(--hue); }
img { display: block; max-width: 100%; height: auto; border-radius: 6px; }
summary { cursor: pointer; color: var(--hue); }
@media print { body { max-width: none; } pre, img, tr { break-inside: avoid; } }
"""


def of(notebook: NotebookNode, title: str, mark: dict[str, Any]) -> str:
    """Return a page with what an executed notebook shows, without its code.

    Parameters
    ----------
    mark
        What `mark_of` shall find in the page.
    """
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(  # type: ignore[no-untyped-call]
        template_name="basic",
        exclude_input=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
    )
    body, _ = exporter.from_notebook_node(notebook)
    told = html.escape(json.dumps(mark))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="{MARK}" content="{told}">\n<title>{html.escape(title)}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def mark_of(text: str) -> dict[str, Any]:
    """Return the mark of a page; empty when it has none.

    Raises
    ------
    ValueError
        When it is damaged.
    """
    found = re.search(rf'<meta name="{MARK}" content="([^"]*)">', text)
    return dict(json.loads(html.unescape(found[1]))) if found else {}
