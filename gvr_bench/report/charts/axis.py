"""Axes of the charts: values as places in inline SVG, and round numbers beside them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_STEPS = (1, 2, 5)
_SPANNED = 300  # from which ratio on there are ticks at decades alone

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Tick:
    """A labelled place on an axis."""

    at: float
    label: str


@dataclass(frozen=True)
class Axis:
    """Maps a score onto 0..`length`; `low` and `high` are its ends."""

    low: float
    high: float
    length: float
    log: bool = False

    def place(self, value: float) -> float:
        """Where a value lies, held within the ends."""
        return float(self.places(np.array([value]))[0])

    def places(self, values: NDArray[np.floating]) -> Float:
        """Where values (n,) lie, held within the ends, to a tenth of a unit."""
        low, high = (math.log10(end) if self.log else end for end in (self.low, self.high))
        held = np.clip(np.asarray(values, dtype=np.float64), self.low, self.high)
        at = np.log10(held) if self.log else held
        placed: Float = np.round(self.length * (at - low) / (high - low), 1)
        return placed

    def ticks(self) -> tuple[Tick, ...]:
        """Round values between the ends, at least two."""
        values = [v for v in self._round() if self.low <= v <= self.high * (1 + 1e-9)]
        labels = [f"{value:g}" for value in values]
        if any("e" in label for label in labels):
            labels = [_powered(value) for value in values]
        return tuple(Tick(self.place(v), label) for v, label in zip(values, labels, strict=True))

    def _round(self) -> Iterator[float]:
        if self.log:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            few = self.high / self.low < _SPANNED
            for decade in decades:
                yield from (m * 10.0**decade for m in (_STEPS if few else (1,)))
            return
        rough = (self.high - self.low) / 5
        unit = 10.0 ** math.floor(math.log10(rough))
        step = min((m * unit for m in (*_STEPS, 10)), key=lambda s: abs(s - rough))
        first = math.ceil(self.low / step - 1e-9)
        yield from (round(n * step, 10) for n in range(first, first + 12))


def _powered(value: float) -> str:
    """`10⁻⁵`, `2·10⁶`; 0 stays."""
    if value == 0:
        return "0"
    digits, exponent = f"{value:.0e}".split("e")
    power = "10" + str(int(exponent)).translate(_RAISED)
    return power if digits == "1" else f"{digits}·{power}"


@dataclass(frozen=True)
class Frame:
    """The area between two axes, in units of the SVG, with what stands along them."""

    width: float
    height: float
    x_title: str
    y_title: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


def framed(x: Axis, y: Axis, x_title: str, y_title: str) -> Frame:
    """The frame of two axes; in SVG the lower end of `y` is at its full height."""
    return Frame(x.length, y.length, x_title, y_title, x.ticks(), turned(y.ticks(), y.length))


def turned(ticks: Iterable[Tick], height: float) -> tuple[Tick, ...]:
    """Ticks of an axis that runs upwards, where SVG counts downwards."""
    return tuple(Tick(round(height - tick.at, 1), tick.label) for tick in ticks)
