"""One page of HTML that needs no other file: right on a phone, on a desk and printed, in the light and in the dark."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Protocol

CSS = """
:root { color-scheme: light dark; --ground: #fff; --text: #1a202c; --soft: #4a5568; --line: #cbd5e0; --tint: #f7fafc }
@media screen and (prefers-color-scheme: dark) {
  :root { --ground: #141414; --text: #edf2f7; --soft: #a0aec0; --line: #3b4350; --tint: #1e2227 }
  img { filter: invert(0.92) hue-rotate(180deg) }
}
* { box-sizing: border-box }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100% }
body { margin: 0 auto; padding: 1rem; max-width: 76rem; background: var(--ground); color: var(--text);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif }
h1, h2, caption { line-height: 1.25; font-weight: 600; overflow-wrap: anywhere }
h1 { font-size: 1.5rem; margin: 0.5rem 0 0 }
h2 { font-size: 1.2rem; margin: 2rem 0 0.75rem; padding-bottom: 0.25rem; border-bottom: 1px solid var(--line) }
p { margin: 0.25rem 0 0.75rem; color: var(--soft); overflow-wrap: anywhere }
section > div { columns: 30rem 2; column-gap: 2rem }
figure, .wide { margin: 0 0 1.5rem; break-inside: avoid }
figcaption, caption { font-size: 1rem; font-weight: 600; text-align: left; padding-bottom: 0.4rem }
img { display: block; width: 100%; height: auto }
.wide { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 0.9375rem }
th, td { padding: 0.3rem 0.75rem 0.3rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere; font-weight: 400 }
thead th { color: var(--soft); font-size: 0.8125rem; overflow-wrap: normal }
tbody th { color: var(--soft); overflow-wrap: break-word }
.numbers td, .numbers thead th + th { text-align: right; overflow-wrap: normal; padding: 0.3rem 0 0.3rem 0.75rem }
.numbers tbody th { min-width: 5.5rem }
pre { margin: 0 0 1rem; padding: 0.75rem; background: var(--tint); border: 1px solid var(--line);
  border-radius: 0.375rem; white-space: pre-wrap; overflow-wrap: anywhere; font-size: 0.875rem }
@media print {
  @page { margin: 14mm }
  body { padding: 0; max-width: none; font-size: 9.5pt }
  section > div { columns: 2; column-gap: 8mm }
  h2, p { break-after: avoid }
  .wide { overflow: visible }
}
"""


class Block(Protocol):
    """What a section holds."""

    def html(self) -> str:
        """The block as an element of the page, its texts escaped."""


@dataclass(frozen=True)
class Table:
    """A table of the page.

    Attributes:
        title: above it.
        rows: of cells; the first names the row.
        header: of the columns; without one, the second cell tells of the first.
    """

    title: str
    rows: Sequence[Sequence[str]]
    header: Sequence[str] = ()

    def html(self) -> str:
        head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in self.header)
        body = "".join(
            f'<tr><th scope="row">{escape(first)}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in rest)}</tr>\n'
            for first, *rest in self.rows
        )
        return (
            f'<div class="wide"><table{" class=numbers" if head else ""}><caption>{escape(self.title)}</caption>'
            f"{f'<thead><tr>{head}</tr></thead>' if head else ''}<tbody>\n{body}</tbody></table></div>"
        )


@dataclass(frozen=True)
class Picture:
    """A figure of the page: what it is called, and its svg file."""

    title: str
    svg: bytes

    def html(self) -> str:
        title, data = escape(self.title), base64.b64encode(self.svg).decode()
        image = f'<img alt="{title}" src="data:image/svg+xml;base64,{data}">'
        return f"<figure><figcaption>{title}</figcaption>{image}</figure>"


@dataclass(frozen=True)
class Lines:
    """Commands, a line each."""

    lines: Sequence[str]

    def html(self) -> str:
        return f"<pre><code>{escape(chr(10).join(self.lines))}</code></pre>"


@dataclass(frozen=True)
class Section:
    """A part of the page: its heading, a sentence below it or none, and what stands there side by side."""

    title: str
    blocks: Sequence[Block]
    text: str = ""

    def html(self) -> str:
        """The section as an element of the page."""
        text = f"<p>{escape(self.text)}</p>" if self.text else ""
        blocks = "\n".join(block.html() for block in self.blocks)
        return f"<section><h2>{escape(self.title)}</h2>{text}\n<div>\n{blocks}\n</div></section>"


def page(title: str, text: str, sections: Sequence[Section]) -> str:
    """The page. All texts are escaped; the browser is told to load nothing."""
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    body = "\n".join(section.html() for section in sections if section.blocks or section.text)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<style>{CSS}</style>
</head>
<body>
<header><h1>{escape(title)}</h1><p>{escape(text)}</p></header>
<main>
{body}
</main>
</body>
</html>
"""
