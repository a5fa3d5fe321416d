"""Pages of the API reference, one a room, written from what the rooms export.

A public name is in the reference because it is public: no list of names is kept by hand.
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pixlab

# room -> what is said of it in the table of rooms
ROOMS = {
    "digis": "the event container",
    "detectors": "what a raw module id means",
    "premixing": "pile-up laid over another event",
    "clusters": "digis to clusters",
    "coding": "entropy coding",
    "codecs": "ways to compress",
    "networks": "small networks and their training",
    "io": "files of events",
    "samples": "embedded events",
    "simulation": "minimum-bias pile-up",
    "physics": "what compression does to the physics",
    "study": "many settings in one table",
    "plots": "figures",
    "plots.paper": "the same in the style of publications",
    "dashboards": "pages to explore with",
    "errors": "what is raised",
}


def public_names(module: Any) -> list[str]:
    """What a module offers: its ``__all__``."""
    return sorted(getattr(module, "__all__", []), key=str.lower)


def page_of(room: str) -> str:
    """The name of a room's page; autosummary takes what follows a dot for an ending."""
    return room.replace(".", "-")


def _room_page(room: str) -> str:
    """A heading, what the room is for, and its names by kind; each has a page of its own."""
    module = import_module(f"pixlab.{room}")
    title = f"pixlab.{room}"
    text = inspect.getdoc(module) or ""
    parts = [f"{title}\n{'=' * len(title)}\n", text.split("\n\n")[0] + "\n"]
    parts.append(f".. module:: pixlab.{room}\n")
    kinds: dict[str, list[str]] = {"Classes": [], "Functions": [], "Modules": [], "Data": []}
    for name in public_names(module):
        value = getattr(module, name)
        if inspect.ismodule(value):
            kinds["Modules"].append(name)
        elif inspect.isclass(value):
            kinds["Classes"].append(name)
        elif inspect.isroutine(value):
            kinds["Functions"].append(name)
        else:
            kinds["Data"].append(name)
    for kind, names in kinds.items():
        if not names:
            continue
        parts.append(f"{kind}\n{'-' * len(kind)}\n")
        if kind == "Data":
            parts += [_datum(name, getattr(module, name)) for name in names]
        elif kind == "Modules":
            parts += [
                f"* :doc:`pixlab.{room}.{name} </api/{page_of(f'{room}.{name}')}>`\n"
                for name in names
            ]
        else:
            entries = "\n".join(f"   {name}" for name in names)
            parts.append(f".. autosummary::\n   :toctree: generated\n\n{entries}\n")
    if not any(kinds.values()):
        parts.append(_modules_inside(module))
    return "\n".join(parts)


def _datum(name: str, value: Any) -> str:
    """A table of names with its keys, anything else as it prints."""
    if isinstance(value, Mapping):
        shown = "Keys: " + ", ".join(f"``{key}``" for key in value) + "."
    else:
        shown = f"``{' '.join(repr(value).split())}``"
    return f".. py:data:: {name}\n\n   {shown}\n"


def _modules_inside(room: Any) -> str:
    """The modules of a room that exports nothing itself, with their first lines."""
    rows = []
    for found in pkgutil.iter_modules(room.__path__):
        module = import_module(f"{room.__name__}.{found.name}")
        rows.append(f"``{found.name}``\n   {_first_line(module)}\n")
    return "\n".join(rows)


def write_pages(app: Any) -> None:
    """The overview and one page a room, in ``api``, rewritten only where something changed."""
    folder = Path(app.srcdir) / "api"
    folder.mkdir(exist_ok=True)
    rooms = [room for room in ROOMS if find_spec(f"pixlab.{room}")]
    for room in rooms:
        _write(folder / f"{page_of(room)}.rst", _room_page(room))
    _write(folder / "formats.inc", _formats())
    table = "\n".join(
        f"   * - :doc:`pixlab.{r} </api/{page_of(r)}>`\n     - {ROOMS[r]}" for r in rooms
    )
    toctree = "\n".join(f"   {page_of(room)}" for room in rooms)
    names = "\n".join(_public(name) for name in pixlab._EXPORTS)
    _write(
        folder / "index.rst",
        f"""API reference
=============

Everything that most programs need is a name of ``pixlab`` itself:

.. list-table::
   :widths: 30 70
   :class: pixlab-names

{names}
   * - :doc:`pixlab.samples </api/samples>`
     - Small embedded samples.

The code is made of rooms; a room imports only those above it in this table.

.. list-table::
   :widths: 30 70

{table}

.. toctree::
   :hidden:

{toctree}
""",
    )


def _formats() -> str:
    """The table of file formats, from the one that readers are found by."""
    from pixlab.io import FORMATS

    rows = "\n".join(
        f"   * - {form.what}\n     - yes\n     - "
        + (", ".join(f"``{suffix}``" for suffix in form.suffixes) if form.write else "no")
        for form in FORMATS.values()
    )
    head = "   * - format\n     - read\n     - written as"
    return f".. list-table::\n   :header-rows: 1\n   :widths: 50 15 35\n\n{head}\n{rows}\n"


def _public(name: str) -> str:
    """One row of the table of pixlab's own names."""
    value = getattr(pixlab, name)
    text = _first_line(value) if callable(value) else f"What there is: {', '.join(value)}."
    return f"   * - :py:obj:`pixlab.{name} <{pixlab._EXPORTS[name]}.{name}>`\n     - {text}"


def _first_line(value: Any) -> str:
    return (inspect.getdoc(value) or "").split("\n\n")[0].replace("\n", " ")


def _write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def setup(app: Any) -> dict[str, bool]:
    """Before anything is read, so that autosummary finds the pages."""
    app.connect("config-inited", lambda app, config: write_pages(app))
    return {"parallel_read_safe": True}
