"""Interactive pages: the state of a visitor, the views on it, and the server.

`serve` opens the dashboard in a browser, `dashboard` gives the same views to a notebook, and `explore`
needs nothing but ipywidgets. A `Session` holds what one visitor has chosen; a `Source` the digis and the
sweep, which all share; views only read them, and `pixlab.plots` draws.
"""

from pixlab.dashboards.app import dashboard, serve, start
from pixlab.dashboards.explorers import Explorer, explore

__all__ = ["Explorer", "dashboard", "explore", "serve", "start"]
