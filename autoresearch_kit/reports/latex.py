"""Text of any origin as LaTeX that sets it and obeys nothing in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from autoresearch_kit import records, render

SPELT = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    **{sign: f"\\{sign}" for sign in "{}$&#_%"},
    "→": r"$\rightarrow$",
    "←": r"$\leftarrow$",
    "×": r"$\times$",
    "±": r"$\pm$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "≈": r"$\approx$",
    "−": "$-$",
    "–": r"\textendash{}",
    "—": r"\textemdash{}",
    "…": r"\ldots{}",
    "α": r"$\alpha$",
    "β": r"$\beta$",
    "γ": r"$\gamma$",
    "δ": r"$\delta$",
    "ε": r"$\epsilon$",
    "η": r"$\eta$",
    "λ": r"$\lambda$",
    "μ": r"$\mu$",
    "µ": r"$\mu$",
    "σ": r"$\sigma$",
    "τ": r"$\tau$",
    "θ": r"$\theta$",
    "Δ": r"$\Delta$",
    "√": r"$\surd$",
}


def escape(words: object, most: int = 500) -> str:
    """Return `words` on one line as LaTeX without commands, at most `most` characters of it.

    Every engine sets ASCII, accented letters, the usual signs and some Greek; another character
    becomes its code in brackets, since pdfLaTeX would stop at it.
    """
    line = render.visible(records.clean(str(words), most)).replace("->", "→")
    told = "".join(SPELT.get(c) or (c if _is_plain(c) else f"[U+{ord(c):04X}]") for c in line)
    # Two of these in a row would become one other character.
    for sign in "-,'":
        told = re.sub(f"{sign}(?={sign})", f"{sign}{{}}", told)
    return told


def _is_plain(character: str) -> bool:
    # Latin-1 and Latin Extended-A, which utf8 input has known since 2018.
    return character.isprintable() and (character.isascii() or 0xA1 <= ord(character) <= 0x17F)


def table(columns: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a ``tabular`` with the rules of booktabs, of cells that are LaTeX already."""
    lines = [f"\\begin{{tabular}}{{{columns}}}", "\\toprule"]
    lines += [f"{' & '.join(header)} \\\\", "\\midrule"]
    lines += [f"{' & '.join(cells)} \\\\" for cells in rows]
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"])
