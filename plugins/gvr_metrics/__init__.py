"""Metrics of other libraries, by their names there."""

from collections.abc import Iterator

from gvr_bench.api import Plugin, hookimpl


@hookimpl
def gvr_plugins() -> Iterator[Plugin]:
    yield Plugin(
        api=1,
        kind="metric",
        name="captum",
        target="gvr_metrics.of_captum:CaptumMetric",
        summary="infidelity and sensitivity_max as captum computes them",
    )
    yield Plugin(
        api=1,
        kind="metric",
        name="quantus",
        target="gvr_metrics.of_quantus:QuantusMetric",
        summary="a metric of Quantus by the name of its class",
    )
