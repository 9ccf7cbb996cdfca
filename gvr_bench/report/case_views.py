"""Cases as a page shows them: tiles with pictures, captions and what happened."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from gvr_bench.report import pictures
from gvr_bench.report.cases import Combination, Explained
from gvr_bench.report.glossary import is_control
from gvr_bench.report.pictures import Float

_FEW = 320
_LARGE, _SMALL = 192, 96


UNSEEN = "the model does not see this finding: nothing to explain, and not scored"


@dataclass(frozen=True)
class Tile:
    """One picture; `kind` is `image` or `difference`, which has no background of its own."""

    source: str
    alt: str
    caption: str
    kind: str = "image"


@dataclass(frozen=True)
class Strip:
    """Tiles that belong together, with a line on what happened and whether it went well."""

    title: str
    tiles: tuple[Tile, ...]
    line: str = ""
    good: bool = True
    small: bool = False


@dataclass(frozen=True)
class CaseView:
    """One case: who it is, what was predicted, its pictures."""

    title: str
    patient: str
    label: str
    prediction: str
    strips: tuple[Strip, ...]


@dataclass(frozen=True)
class CombinationView:
    """The cases of one model, with the scales that their colours share."""

    title: str
    cases: tuple[CaseView, ...]
    total: int
    asked: str
    scale: str
    counterfactuals: bool
    mask: bool
    absent: tuple[str, ...]
    samples: tuple[Tile, ...]
    crisp: bool


def view(combination: Combination, images: int) -> CombinationView:
    """Draw one combination; `images` is how many the whole page will hold, which sets the size."""
    edge = _LARGE if images <= _FEW else max(_SMALL, min(_LARGE, combination.size))
    c = combination
    scale = change_scale(c)
    drawn = _Drawing(c, edge, scale, {e.name: heat_scale(e, scale) for e in shown(c)})
    return CombinationView(
        title=f"{c.model}, seed {c.seed}",
        cases=tuple(drawn.case(i) for i in range(len(c))),
        total=c.total,
        asked=_asked(c),
        scale=f"{scale:.2g}",
        counterfactuals=any(e.counterfactual is not None for e in c.explainers),
        mask=c.mask is not None and bool(c.mask.any()),
        absent=absent(c),
        samples=_samples(c, min(edge, 128)),
        crisp=pictures.is_crisp(c.size),
    )


def images_in(combinations: Iterable[Combination]) -> int:
    """About how many pictures the cases take."""
    return sum(
        len(c) * (3 + sum(1 if e.counterfactual is None else 3 for e in c.explainers))
        for c in combinations
    )


def absent(c: Combination) -> tuple[str, ...]:
    """The explainers without a map, and why there is none."""
    return tuple(
        f"{e.name}: {e.status}: {e.reason or 'no reason given'}"
        for e in c.explainers
        if e.heat is None
    )


def shown(c: Combination) -> list[Explained]:
    """Those that make counterfactuals, then attribution maps, then controls; failed ones not.

    Among themselves they keep the order in which they were asked for.
    """
    usable = [e for e in c.explainers if e.heat is not None]
    return sorted(usable, key=lambda e: (is_control(e.name), e.counterfactual is None))


def change_scale(c: Combination) -> float:
    """One scale for all that is measured in intensity: the true change, where it is known."""
    if c.true_change is not None and np.any(c.true_change):
        return pictures.symmetric_scale(c.true_change)
    changes = [_change(c, e) for e in c.explainers if e.counterfactual is not None and len(c)]
    return pictures.symmetric_scale(np.stack(changes)) if changes else 1.0


def heat_scale(explainer: Explained, change: float) -> float:
    """What full colour is in a map: `change` for changes of intensity, else its own."""
    if explainer.counterfactual is not None or explainer.heat is None:
        return change
    return pictures.symmetric_scale(explainer.heat)


def _change(c: Combination, explainer: Explained) -> Float:
    """Reconstruction - counterfactual on [-1, 1], mean over channels: (k, H, W)."""
    assert explainer.counterfactual is not None
    assert c.reconstruction is not None
    before = c.reconstruction.astype(np.float32)
    after = explainer.counterfactual.astype(np.float32)
    return np.asarray((before - after).mean(axis=1) / 127.5, dtype=np.float32)


@dataclass(frozen=True)
class _Drawing:
    """What all cases of a combination share."""

    c: Combination
    edge: int
    scale: float
    heat_scales: dict[str, float]

    def case(self, i: int) -> CaseView:
        c = self.c
        explainers = shown(c)
        moving = [e for e in explainers if e.counterfactual is not None]
        maps = [e for e in explainers if e.counterfactual is None and not is_control(e.name)]
        controls = [e for e in explainers if e.counterfactual is None and is_control(e.name)]
        strips = [Strip("image", self._image(i))]
        strips += [self._moved(e, i) for e in moving]
        strips += [
            Strip(title, tuple(self._heat(e, i, e.name) for e in group), small=True)
            for title, group in (("attribution maps", maps), ("controls", controls))
            if group
        ]
        return CaseView(
            title=c.sample_id[i],
            patient="" if c.patient_id[i] == c.sample_id[i] else c.patient_id[i],
            label=label_of(c, i),
            prediction=f"{named(c, i)}{predicted(c, i)}",
            strips=tuple(strips),
        )

    def _image(self, i: int) -> tuple[Tile, ...]:
        c, name = self.c, self.c.sample_id[i]
        tiles = [Tile(pictures.plain(c.input[i], self.edge), f"Input image {name}", "input")]
        if c.reconstruction is not None:
            picture = pictures.plain(c.reconstruction[i], self.edge)
            alt = f"Image {name} as the generator makes it from its latent"
            tiles.append(Tile(picture, alt, "reconstruction"))
        tiles += known(c, i, self.scale, self.edge)
        return tuple(tiles)

    def _heat(self, e: Explained, i: int, caption: str) -> Tile:
        assert e.heat is not None
        scale = self.heat_scales[e.name]
        picture = pictures.overlay(self.c.input[i], e.heat[i], scale, self.edge)
        return Tile(picture, f"Heat of {e.name} over image {self.c.sample_id[i]}", caption)

    def _moved(self, e: Explained, i: int) -> Strip:
        assert e.counterfactual is not None
        name = self.c.sample_id[i]
        tiles = (
            self._heat(e, i, "rationale over the input"),
            Tile(
                pictures.plain(e.counterfactual[i], self.edge),
                f"Counterfactual of image {name} by {e.name}",
                "counterfactual",
            ),
            Tile(
                pictures.difference(_change(self.c, e)[i], self.scale, self.edge),
                f"Reconstruction of {name} minus its counterfactual by {e.name}",
                "difference",
                "difference",
            ),
        )
        if self.c.asked is not None and not self.c.asked[i]:
            return Strip(e.name, tiles, UNSEEN, good=True)
        found = e.found is None or bool(e.found[i])
        return Strip(e.name, tiles, self._outcome(e, i, found), found)

    def _outcome(self, e: Explained, i: int, found: bool) -> str:
        c = self.c
        path = [predicted(c, i)]
        if e.after is not None and math.isfinite(e.after[i]):
            path.append(amount(c, e.after[i]))
        line = " → ".join(path)
        if e.reencoded is not None and math.isfinite(e.reencoded[i]):
            line += f", re-encoded {amount(c, e.reencoded[i])}"
        if e.steps is not None:
            line += f" · {e.steps[i]} steps"
        why = e.reasons[i] if e.reasons is not None else ""
        return line if found else f"{line} · not found: {why or 'no reason given'}"


def known(c: Combination, i: int, scale: float, edge: int) -> list[Tile]:
    """What is known to be true of case `i`, as no tile or one; full colour is `scale`."""
    change = None if c.true_change is None else c.true_change[i]
    mask = None if c.mask is None or not c.mask[i].any() else c.mask[i]
    words = [
        "true change" if change is not None else "",
        "outline of the finding" if mask is not None else "",
    ]
    caption = " and ".join(word for word in words if word)
    if not caption:
        return []
    picture = pictures.outlined(c.input[i], change, mask, scale, edge)
    return [Tile(picture, f"{caption} on image {c.sample_id[i]}".capitalize(), caption)]


def _samples(c: Combination, edge: int) -> tuple[Tile, ...]:
    if c.samples is None:
        return ()
    return tuple(
        Tile(pictures.plain(image, edge), f"Generated image {number}", "")
        for number, image in enumerate(c.samples, start=1)
    )


def amount(c: Combination, value: float) -> str:
    """A prediction with its unit, or as a probability."""
    known_unit = c.unit if c.kind == "regression" and math.isfinite(value) else ""
    return f"{bare(c, value)} {known_unit}".strip()


def bare(c: Combination, value: float) -> str:
    """A prediction without its unit."""
    if not math.isfinite(value):
        return "–"
    if c.kind != "regression":
        return f"{value:.2f}"
    size = abs(value)
    return f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def predicted(c: Combination, i: int) -> str:
    """What the model says of case `i` before anything is changed."""
    return "–" if c.prediction is None else amount(c, c.prediction[i])


def named(c: Combination, i: int) -> str:
    """Which output it is, where there are several."""
    return f"{c.outputs[int(c.source[i])]} " if len(c.outputs) > 1 else ""


def label_of(c: Combination, i: int) -> str:
    """The label of case `i` in words or with its unit."""
    value = float(c.label[i])
    if not math.isfinite(value):
        return "not labelled"
    if c.kind == "regression":
        return amount(c, value)
    if c.kind == "multiclass":
        return c.outputs[int(value)]
    return f"{c.outputs[int(c.source[i])]} {'present' if value >= 0.5 else 'absent'}"


def _asked(c: Combination) -> str:
    """What the explainers were asked, as a clause."""
    if c.kind == "multiclass":
        pairs = dict.fromkeys(zip(c.source.tolist(), c.target.tolist(), strict=True))
        return "what turns " + ", ".join(f"{c.outputs[a]} into {c.outputs[b]}" for a, b in pairs)
    names = ", ".join(dict.fromkeys(c.outputs[k] for k in c.source.tolist()))
    if c.threshold is None:
        return f"what lowers the prediction of {names}"
    return f"what brings {names} below {amount(c, c.threshold)}"
