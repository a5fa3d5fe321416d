"""The one page that jupyter-panel-proxy serves on Binder, at `?urlpath=panel/dashboard`."""

import panel as pn

from pixlab.dashboards.opening import open_sources
from pixlab.dashboards.page import page as whole_page
from pixlab.dashboards.page import prepare

prepare()
# this script runs for each visitor, who share what is looked at
sources, problems = pn.state.as_cached("pixlab sources", open_sources)
page = whole_page(sources, problems)
page.servable(title="pixlab")
