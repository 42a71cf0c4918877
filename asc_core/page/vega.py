"""Vega, which draws charts in a browser, out of an installed package: no page of a run asks a network for it."""

from functools import cache


@cache
def vega() -> str:
    """Vega, Vega-Lite and what puts them into a page (`vegaEmbed`), as one script."""
    import vl_convert

    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").replace("</script", "<\\/script")
