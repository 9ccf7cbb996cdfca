"""The split of each patient, and image sizes by profile."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Set

import gvr_bench.api as gvr

SIZES: Mapping[str, Mapping[str, int]] = {
    "quick": {"size": 32},
    "standard": {"size": 64},
    "paper": {"size": 128},
}


def split_patients(
    patients: Iterable[str], seed: int, *, test: float | Set[str], validation: float
) -> dict[str, str]:
    """Return the split of each patient.

    `test` is a share of the patients or names those to test on; `validation` is a share of the
    rest. Patients are ordered by a hash, so the order they come in plays no role. Raises
    `DataError` where a split would be empty.
    """
    ordered = sorted(
        set(patients), key=lambda patient: hashlib.sha256(f"{seed} {patient}".encode()).digest()
    )
    if isinstance(test, float):
        test = set(ordered[: _share(test, len(ordered))])
    rest = [patient for patient in ordered if patient not in test]
    validated = set(rest[: _share(validation, len(rest))])
    if not test or len(rest) < 2:
        raise gvr.DataError(
            f"{len(test)} patient(s) to test on and {len(rest)} for the rest are too few: train, "
            "validation and test need images of at least one patient each"
        )
    return {
        patient: "test" if patient in test else "validation" if patient in validated else "train"
        for patient in ordered
    }


def _share(share: float, n: int) -> int:
    """At least one, and at least one left."""
    return min(max(round(share * n), 1), n - 1)
