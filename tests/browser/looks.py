"""How a widget looks in JupyterLab: contrast, collisions, and a quiet console."""

from __future__ import annotations

import re

from tests.browser.lab import Notebook
from tests.browser.reviewing import wait_for

# JupyterLab's own: the websocket of a kernel that restarts; its splash screen, which two changes
# of the theme within 200 ms remove twice.
NOT_OURS = re.compile(r"^warning: Connection lost, reconnecting|'removeChild' .*\n.*jlab_core")

# WCAG 2.1: the ratio of relative luminances of each piece of text and the page behind it.
CONTRASTS = """name => {
    const numbers = c => c.match(/[\\d.]+/g).map(Number);
    const parts = c => c.startsWith('color(')  // what color-mix() makes, from 0 to 1
        ? numbers(c).map((v, i) => i < 3 ? 255 * v : v) : numbers(c);
    const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
        .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = e => {
        for (; e; e = e.parentElement) {
            const c = parts(getComputedStyle(e).backgroundColor);
            if (c.length === 3 || c[3] === 1) return c;
        }
    };
    const root = [...document.querySelectorAll(`[data-testid=${name}]`)].at(-1);
    const own = e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    const off = e => e.closest(':disabled, [aria-disabled=true]');
    return [...root.querySelectorAll('*')]
        .filter(e => own(e) && !off(e) && e.checkVisibility({visibilityProperty: true}))
        .map(e => {
            const [a, b] = [light(parts(getComputedStyle(e).color)), light(behind(e))];
            return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.textContent.trim()];
        });
}"""

# Pairs of texts outside of what scrolls that lie over each other, and what sticks out.
COLLISIONS = """name => {
    const root = [...document.querySelectorAll(`[data-testid=${name}]`)].at(-1);
    const outer = root.getBoundingClientRect();
    const seen = e => e.checkVisibility({visibilityProperty: true})
        && !e.closest('.cm-editor, .cm-mergeView, pre');
    const rows = [];
    const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const node = texts.currentNode, range = document.createRange();
        if (!node.textContent.trim() || !seen(node.parentElement)) continue;
        range.selectNodeContents(node);
        for (const box of range.getClientRects()) rows.push([node, box]);
    }
    const found = [];
    for (const [a, p] of rows)
        for (const [b, q] of rows) {
            const wide = Math.min(p.right, q.right) - Math.max(p.left, q.left);
            const high = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
            if (a !== b && wide > 1 && high > 3) found.push([a.textContent, b.textContent]);
        }
    for (const e of [...root.querySelectorAll('button, input, li, label')].filter(seen)) {
        const box = e.getBoundingClientRect();
        if (box.left < outer.left || box.right > outer.right) found.push(['out', e.textContent]);
    }
    return found;
}"""


def check_looks(notebook: Notebook, name: str, widget: str = "review") -> None:
    """Assert that all texts stand out and nothing lies over anything, and take pictures.

    In the dark and in the light theme, which stays. `name` is that of the pictures.
    """
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        notebook.theme(theme)
        # A theme's colours come a moment after its name.
        wait_for(lambda: not faint(notebook, widget), or_tell=lambda: faint(notebook, widget))
        assert notebook.page.evaluate(CONTRASTS, widget)
        path = notebook.folder / f"{name}-{theme.split()[1].lower()}.png"
        notebook.page.get_by_test_id(widget).last.screenshot(path=path)
    assert notebook.page.evaluate(COLLISIONS, widget) == []


def faint(notebook: Notebook, widget: str) -> list[tuple[float, str]]:
    contrasts = notebook.page.evaluate(CONTRASTS, widget)
    return [(round(ratio, 1), text) for ratio, text in contrasts if ratio < 3]


def check_quiet(notebook: Notebook) -> None:
    """Assert that the browser's console has no error or warning of the widget."""
    said = [line for line in notebook.console if not line.startswith(("debug: ", "log: "))]
    ours = [line for line in said if not NOT_OURS.search(line)]
    assert not ours, ours
