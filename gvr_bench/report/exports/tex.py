"""Words as LaTeX that every engine and font encoding prints."""

from __future__ import annotations

import re
import unicodedata

from gvr_bench.report.formatting import clean

_SIGNS = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "`": r"\`{}", '"': "''",
    # After the end of a row these would be its options.
    "[": "{[}", "]": "{]}", "*": "{*}",
    "·": r"$\cdot$", "×": r"$\times$", "−": "$-$", "±": r"$\pm$", "÷": r"$\div$", "√": r"$\surd$",
    "≤": r"$\leq$", "≥": r"$\geq$", "≠": r"$\neq$", "≈": r"$\approx$", "∞": r"$\infty$",
    "∑": r"$\sum$", "∏": r"$\prod$", "∫": r"$\int$", "∂": r"$\partial$", "∇": r"$\nabla$",
    "∈": r"$\in$", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "→": r"$\rightarrow$",
    "←": r"$\leftarrow$", "↔": r"$\leftrightarrow$", "†": r"$\dagger$", "‡": r"$\ddagger$",
    "°": r"$^\circ$", "•": r"$\bullet$", "∕": "/", "–": "--", "—": "---", "‐": "-", "‑": "-",
    "…": r"\ldots{}", "‘": "`", "’": "'", "“": "``", "”": "''", "„": "''", "«": "''", "»": "''",
    "§": r"\S{}", "¶": r"\P{}", "©": r"\copyright{}", "£": r"\pounds{}", "µ": r"$\mu$",
    "ß": r"\ss{}", "æ": r"\ae{}", "Æ": r"\AE{}", "œ": r"\oe{}", "Œ": r"\OE{}", "ø": r"\o{}",
    "Ø": r"\O{}", "ł": r"\l{}", "Ł": r"\L{}", "ı": r"\i{}", "đ": "d", "Đ": "D", "ð": "d",
} | {sign: "\\" + sign for sign in "&%$#_{}"}  # fmt: skip

_SIGNS |= {
    chr(number): "$o$" if name == "omicron" else rf"$\{name}$"
    for number in (*range(0x3B1, 0x3C2), *range(0x3C3, 0x3CA))
    for name in [unicodedata.name(chr(number)).split()[-1].lower().replace("lamda", "lambda")]
}
_SIGNS |= {
    sign: rf"$\{unicodedata.name(sign).split()[-1].capitalize().replace('Lamda', 'Lambda')}$"
    for sign in "ΓΔΘΛΞΠΣΥΦΨΩ"
}
_RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-", strict=True))
_SIGNS |= {raised: f"$^{{{sign}}}$" for raised, sign in _RAISED.items()}
_ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u",
    "\u0307": ".", "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0327": "c",
    "\u0323": "d",
}  # fmt: skip


def tex(words: str) -> str:
    """One line of `words` that LaTeX takes for text, in ASCII: accents and signs are commands."""
    written = "".join(map(_written, legible(words)))
    return re.sub("-(?=-)", "-{}", written) if "--" in words else written


def legible(words: str) -> str:
    """One line of `words` with letters that `tex` knows; others by number, as `[U+05D0]`."""
    return "".join(map(_known, unicodedata.normalize("NFC", clean(words))))


def _known(sign: str) -> str:
    if sign in _SIGNS or " " <= sign <= "~":
        return sign
    if unicodedata.category(sign) in ("Cf", "Cc") or "\ufe00" <= sign <= "\ufe0f":
        return ""
    base = unicodedata.normalize("NFKD", sign)
    if base[0].isascii() and all(map(unicodedata.combining, base[1:])):
        return sign
    return f"[U+{ord(sign):04X}]"


def _written(sign: str) -> str:
    base = unicodedata.normalize("NFKD", sign) if sign not in _SIGNS else sign
    letter = _SIGNS.get(base[0], base[0])
    for mark in base[1:]:
        if mark in _ACCENTS:
            letter = rf"\{_ACCENTS[mark]}{{{letter}}}"
    return letter
