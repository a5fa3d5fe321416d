"""The documentation: ``sphinx-build -W -b html docs docs/_build/html``.

Nothing is fetched while it is built, nor by the pages when they are read. Notebooks are executed,
and one that fails ends the build; ``-D nb_execution_mode=cache`` keeps what ran already.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from myst_nb.core import render

import pixlab

HERE = Path(__file__).parent
sys.path.append(str(HERE / "_ext"))

project = "pixlab"
author = "the pixlab developers"
copyright = "the pixlab developers, BSD-3-Clause licence"
version = release = pixlab.__version__

extensions = [
    "myst_nb",
    "numpydoc",
    "rooms",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_click",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build", "_ext", "**/.ipynb_checkpoints"]
nitpicky = True

# -- text and notebooks ---------------------------------------------------------------------
myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_execution_show_tb = True
nb_merge_streams = True
# Jupyter's own ways to load a figure; the same script is there for pages too
suppress_warnings = ["mystnb.unknown_mime_type"]
nb_ipywidgets_js: dict[str, dict[str, str]] = {}  # they would come from elsewhere
copybutton_exclude = ".linenos, .gp, .go"

# -- API reference --------------------------------------------------------------------------
default_role = "obj"
autodoc_typehints = "none"  # the docstrings say more
autosummary_generate = True
toc_object_entries_show_parents = "hide"
autosummary_ignore_module_all = False
numpydoc_show_class_members = False  # the templates list them
numpydoc_xref_param_type = False

# -- pages ----------------------------------------------------------------------------------
html_theme = "pydata_sphinx_theme"
html_title = "pixlab"
html_logo = "_static/logo.svg"
html_favicon = "_static/logo.svg"
templates_path = ["_templates"]
html_static_path = ["_static"]
html_css_files = ["pixlab.css"]
html_js_files = ["figures.js"]
html_show_sourcelink = False
html_sidebars = {"index": [], "how-small": [], "changelog": []}
html_context = {"default_mode": "auto"}
html_theme_options = {
    "github_url": "https://github.com/pixlab-hep/pixlab",
    "logo": {"text": "pixlab", "alt_text": "pixlab: home"},
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}

# -- links ----------------------------------------------------------------------------------
linkcheck_ignore = [r"http://127\.0\.0\.1", r"https://github\.com/pixlab-hep/"]
linkcheck_timeout = 15
linkcheck_workers = 4


def _plain_code(app: Any, env: Any, node: Any, content: Any) -> Any:
    """Single backticks in a docstring: a link where there is such a name, else code."""
    if node.get("reftype") == "obj" and node.get("refdomain") == "py":
        return nodes.literal("", node.astext())
    return None


def _escape(app: Any, context: Any, lines: list[str]) -> None:
    """Help texts are plain: a star in a pattern of names is a star."""
    lines[:] = [line.replace("*", r"\*") for line in lines]


def _join_streams(outputs: list[Any]) -> list[Any]:
    """All that a cell prints as one text: what a shell prints comes in pieces that end anywhere.

    MyST-NB's own function, for which this one stands in, ends a line behind each piece.
    """
    joined: dict[str, Any] = {}
    kept = []
    for output in outputs:
        if output["output_type"] != "stream":
            kept.append(output)
        elif output["name"] in joined:
            joined[output["name"]]["text"] += output["text"]
        else:
            joined[output["name"]] = output
            kept.append(output)
    return kept


def _bring_styles(app: Any, exception: Exception | None) -> None:
    """Style sheets of figures, which Panel would fetch from its own site, from these pages instead."""
    if exception is not None or app.builder.format != "html":
        return
    import panel

    away = re.compile(r"https://cdn\.holoviz\.org/panel/[^/\"]+/dist/([\w./-]+)(\?v=[\w.]+)?")
    there, kept = Path(panel.__file__).parent / "dist", Path(app.outdir) / "_static" / "panel"
    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        files = {found[1] for found in away.finditer(text)}
        for file in files:
            (kept / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(there / file, kept / file)
        if files:
            up = "../" * (len(page.relative_to(app.outdir).parts) - 1)
            page.write_text(away.sub(rf"{up}_static/panel/\1", text), encoding="utf-8")


def setup(app: Any) -> None:
    """Hooks of this project alone."""
    render.coalesce_streams = _join_streams
    app.connect("missing-reference", _plain_code)
    app.connect("sphinx-click-process-description", _escape)
    app.connect("build-finished", _bring_styles)
