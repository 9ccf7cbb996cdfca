"""The stage that explains the cases."""

from __future__ import annotations

from itertools import chain
from typing import cast

import numpy as np
import torch
from torch import Tensor

from gvr_bench.cache.hdf5 import put_rows, write_arrays, writing_arrays
from gvr_bench.core.components import Explainer
from gvr_bench.core.errors import PluginError
from gvr_bench.core.types import Explanation, Model, Query
from gvr_bench.data.stored_images import to_bytes, to_float
from gvr_bench.pipeline.stage_context import Bench, cases_query, load_model
from gvr_bench.pipeline.steps.cost import Cost, measuring
from gvr_bench.pipeline.steps.shards import Arrays, Work, batches, count_cases, in_parts, joined
from gvr_bench.registry.explainer_contract import Seal, answer_breaches

SHOWN = 500  # cases that a report shows, at most
FILM = ("path", "path_prediction")


def compute_explanations(bench: Bench) -> None:
    """Explain every case, and ask the model again about each counterfactual."""
    films = []
    with writing_arrays(bench.out("explanations.h5")) as file:  # part by part, for memory
        total = count_cases(bench.store, bench.stage)
        for rows, arrays in in_parts(bench, explaining):
            films.append({name: arrays.pop(name) for name in FILM if name in arrays})
            put_rows(file, arrays, rows.start, total)
    shown = [part for part in films if part]
    if shown:
        write_arrays(bench.out("films.h5"), joined(shown))


def explaining(bench: Bench) -> Work:
    """Load the model, and explain two cases so that what comes first is not timed."""
    explainer = cast(Explainer, bench.stage.component)
    model = load_model(bench)
    explain(explainer, model, *asked_cases(bench, slice(0, 2)), bench)

    def work(rows: slice) -> Arrays:
        made, films = [], []
        for batch in batches(bench, rows):
            x, query = asked_cases(bench, batch)
            with measuring(model, bench.ctx.device) as cost:
                answer = explain(explainer, model, x, query, bench)
            made.append(gather(model, x, query, answer) | per_image(cost, len(x)))
            if answer.path is not None and batch.start < SHOWN:
                films.append(film(model, answer.path[: SHOWN - batch.start], query))
        return joined(made) | (joined(films) if films else {})

    return work


def asked_cases(bench: Bench, rows: slice) -> tuple[Tensor, Query]:
    """Read cases: images (N, C, H, W), and what is asked of each."""
    cases = bench.arrays("cases", "image", "source", "target", rows=rows)
    query = cases_query(bench, bench.dataset().task, cases["source"], cases["target"])
    return to_float(torch.from_numpy(cases["image"]).to(bench.ctx.device)), query


def explain(
    explainer: Explainer, model: Model, x: Tensor, query: Query, bench: Bench
) -> Explanation:
    """Call the plugin and hold it to its contract. Raises `PluginError` with the mend."""
    seal = Seal(model, x, query)
    made = explainer.explain(model, x, query, bench.ctx)
    for breach in chain(answer_breaches(made, x), seal.breaches()):
        raise PluginError(f"explainer '{bench.stage.name}': {breach}")
    return made


@torch.no_grad()
def gather(model: Model, x: Tensor, query: Query, made: Explanation) -> Arrays:
    """Collect a batch's arrays: the explanation, and the model's word before and after it."""
    start = model.encoder(x)
    reconstruction, before = model.generator(start), model.head(start)
    arrays: dict[str, Tensor | None] = {
        "heat": made.heat,
        "start": start,
        "reconstruction": reconstruction,
        "prediction": query.select(query.activate(before)),
        "asked": query.asked(before),
        "counterfactual": made.counterfactual,
        "latent": made.latent,
        "steps": made.steps,
        "found": made.found,
    }
    if made.counterfactual is not None:
        again = model(made.counterfactual)
        after = again if made.latent is None else model.head(made.latent)
        arrays |= {
            "prediction_after": query.select(query.activate(after)),
            "prediction_reencoded": query.select(query.activate(again)),
            "flipped": query.flipped(after),
            "stayed": query.asked(after),
            "reencoded_flipped": query.flipped(again),
        }
    known = {k: v.detach().cpu().contiguous().numpy() for k, v in arrays.items() if v is not None}
    if made.reason is not None:
        known["reason"] = np.asarray(made.reason, np.str_)
    return known


@torch.no_grad()
def film(model: Model, path: Tensor, query: Query) -> Arrays:
    """Show the way of latents (N, P, D): `path` (N, P, C, H, W) uint8, `path_prediction` (N, P)."""
    n = len(path)
    pictures, predictions = [], []
    for z in path.unbind(1):
        pictures.append(to_bytes(model.generator(z)))
        predictions.append(query[:n].select(query.activate(model.head(z))))
    return {
        "path": torch.stack(pictures, 1).cpu().numpy(),
        "path_prediction": torch.stack(predictions, 1).cpu().numpy(),
    }


def per_image(cost: Cost, n: int) -> Arrays:
    """Share a batch's time and passes among its n images; memory is that of the whole batch."""
    shares = {"seconds": cost.seconds / n, "evaluations": cost.evaluations / n}
    if cost.memory is not None:
        shares["memory"] = cost.memory
    return {name: np.full(n, value) for name, value in shares.items()}
