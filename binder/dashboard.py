"""The one page that jupyter-panel-proxy serves on Binder, at `?urlpath=panel/dashboard`."""

from pixlab.dashboards import dashboard

page = dashboard()
page.servable(title="pixlab")
