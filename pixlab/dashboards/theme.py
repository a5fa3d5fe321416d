"""`ThemedPage`: light or dark as the address says, as was chosen before, or as the system is."""

from __future__ import annotations

from typing import Any

import panel_material_ui as pmui
import param
from bokeh.models import CustomJS
from panel.io.resources import BASE_TEMPLATE

__all__ = ["ThemedPage"]

_KEPT = "pixlab-theme"  # where the browser keeps a choice that differs from the system

# Before anything is drawn, so that no light page flashes up: components read the address
_AT_ONCE = f"""
(() => {{
    const address = new URL(location.href);
    if (["light", "dark"].includes(address.searchParams.get("theme"))) return;
    let kept = null;
    try {{ kept = localStorage.getItem("{_KEPT}"); }} catch {{ /* a browser that keeps nothing */ }}
    const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    if ((kept ?? system) == "light") return;
    address.searchParams.set("theme", "dark");
    history.replaceState(history.state, "", address);
    document.documentElement.style.colorScheme = "dark";
}})();
"""

_FOLLOW = f"""
const system = matchMedia("(prefers-color-scheme: dark)");
const keep = () => {{
    const {{dark_theme, dark_system}} = page.data;
    try {{
        if (dark_theme == dark_system) localStorage.removeItem("{_KEPT}");
        else localStorage.setItem("{_KEPT}", dark_theme ? "dark" : "light");
    }} catch {{ /* a browser that keeps nothing */ }}
}};
document.documentElement.style.colorScheme = ""; // from here on components have colours
page.data.dark_system = system.matches;
page.data.properties.dark_theme.change.connect(keep);
system.addEventListener("change", () => {{
    const follows = page.data.dark_theme == page.data.dark_system;
    page.data.dark_system = system.matches;
    if (follows) page.data.dark_theme = system.matches;
    keep();
}});
"""


class ThemedPage(pmui.Page):
    """A page whose first colours are those of the system, unless its address says otherwise.

    The choice of another with the page's button is kept by the browser for later visits.
    """

    dark_system = param.Boolean(default=False, doc="Whether the visitor's system is dark.")

    _template_text = (
        "{% extends 'base.html' %}{% block preamble %}{{ super() }}<script>"
        + _AT_ONCE
        + "</script>{% endblock %}"
    )

    def __init__(self, **params: Any) -> None:
        template = BASE_TEMPLATE.environment.from_string(self._template_text)
        super().__init__(template=template, **params)

    def server_doc(self, *args: Any, **kwargs: Any) -> Any:
        """The document, which tells once it is drawn what the system is."""
        doc = super().server_doc(*args, **kwargs)
        follow = CustomJS(args={"page": doc.roots[0]}, code=_FOLLOW)
        doc.js_on_event("document_ready", follow)
        return doc
