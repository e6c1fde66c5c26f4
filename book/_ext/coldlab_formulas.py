"""Formulas as KaTeX draws them, drawn when the book is built: a page with formulas runs no script for them.

KaTeX 0.19.1 (MIT licence) stands in katex/ as npm has it; V8 (mini-racer) runs it. Every formula is HTML in KaTeX's own
letters, which break into lines on a phone, and beside it, for those who hear the page, MathML. An ePub gets the MathML
alone. A formula that KaTeX cannot read is a warning, and the book is built with warnings as errors.

To renew KaTeX: `npm pack katex`, then its katex.min.js here, its katex.min.css and woff2 fonts in book/static/katex.
"""

import functools
import re
from pathlib import Path

from docutils import nodes
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

LOGGER = logging.getLogger(__name__)
SCRIPT = Path(__file__).parent / "katex" / "katex.min.js"
STYLE = "katex/katex.min.css"  # under book/static
STAYS = tuple(".,;:!?)]’”")  # must not begin a line without its formula
JOINER = "\u2060"


@functools.cache
def engine():
    """KaTeX inside V8, started with the first formula."""
    from py_mini_racer import MiniRacer

    context = MiniRacer()
    context.eval(SCRIPT.read_text(encoding="utf-8"))
    return context


@functools.cache
def draw(tex: str, display: bool = False, output: str = "htmlAndMathml") -> str:
    """TeX as HTML with MathML, or as MathML alone (`output="mathml"`). ValueError if KaTeX cannot read it."""
    from py_mini_racer import JSEvalException

    settings = {"displayMode": display, "output": output, "strict": "error", "throwOnError": True}
    try:
        drawn = engine().call("katex.renderToString", tex, settings)
    except JSEvalException as error:
        reason = next((line for line in str(error).splitlines() if "Error:" in line), str(error))
        raise ValueError(reason.strip()) from None
    # The TeX once more, for programs that take formulas out of pages, the last semicolon of every style, and the 0 of
    # 0.5em: a twentieth of what a page of proofs weighs.
    drawn = re.sub(r"<semantics>(.*)<annotation.*</annotation></semantics>", r"\1", drawn, flags=re.S)
    drawn = re.sub(r"(?<=[:-])0(?=\.\d+em)", "", drawn.replace(';">', '">'))
    # MathML alone takes the bars of a norm for the sign "parallel", with its spaces.
    return drawn.replace('<mo stretchy="false">∥</mo>', '<mo stretchy="false" lspace="0" rspace="0">‖</mo>')


def drawn(translator, node: nodes.Element, tex: str, display: bool) -> str:
    output = "mathml" if translator.builder.name == "epub" else "htmlAndMathml"
    try:
        return draw(tex.strip(), display, output)
    except ValueError as error:
        LOGGER.warning("formula that KaTeX cannot read: %s (%s)", tex.strip(), error, location=node, type="coldlab")
        return translator.encode(tex)


def visit_inline(translator, node: nodes.math) -> None:
    following = node.next_node(descend=False, siblings=True)
    joined = JOINER if isinstance(following, nodes.Text) and following.startswith(STAYS) else ""
    translator.body.append(translator.starttag(node, "span", "", CLASS="math notranslate"))
    translator.body.append(drawn(translator, node, node.astext(), False) + "</span>" + joined)
    raise nodes.SkipNode


def visit_block(translator, node: nodes.math_block) -> None:
    # A wide one scrolls, and the arrow keys have to reach it.
    translator.body.append(translator.starttag(node, "div", CLASS="math notranslate", tabindex="0"))
    if node["number"]:
        translator.body.append(f'<span class="eqno">({get_node_equation_number(translator, node)})')
        translator.add_permalink_ref(node, "Link to this equation")
        translator.body.append("</span>")
    translator.body.append(drawn(translator, node, node.astext(), True) + "</div>\n")
    raise nodes.SkipNode


def add_style(app, pagename, templatename, context, doctree) -> None:
    """The style sheet, on pages with formulas only; it loads the letters that they use."""
    written = doctree is not None and any(doctree.findall(lambda node: isinstance(node, nodes.math | nodes.math_block)))
    if (written and app.builder.name != "epub") or app.builder.name == "singlehtml":
        app.add_css_file(STYLE)


def setup(app):
    app.add_html_math_renderer("katex", (visit_inline, None), (visit_block, None))
    app.connect("config-inited", lambda app, config: setattr(config, "html_math_renderer", "katex"))
    app.connect("html-page-context", add_style)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": False}
