"""Identifiers of patients: spelt in several ways, or part of the names of files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

# A prefix, digits, and what a spreadsheet adds to a number: P003, 3, 3.0.
_NUMBERED = re.compile(r"(.*[^\d.])?0*(\d+)(?:\.0+)?")

UNKNOWN = "patients are not known, so that each image counts as one; "


class Patients(NamedTuple):
    """The one spelling of each identifier, and lines on what may not be meant."""

    spelling: dict[str, str]
    cautions: tuple[str, ...]


def unify_patients(identifiers: Iterable[str]) -> Patients:
    """Give identifiers that differ by case, leading zeros or a decimal point alone one spelling.

    It is the first that occurs. Of numbers that occur with a prefix as well, a caution says that
    they count as other patients.
    """
    first: dict[tuple[str, str], str] = {}
    spelling: dict[str, str] = {}
    for identifier in identifiers:
        spelling.setdefault(identifier, first.setdefault(_parts(identifier), identifier))
    return Patients(spelling, (*_several_spellings(spelling), *_prefixes(first)))


def _parts(identifier: str) -> tuple[str, str]:
    """Prefix and number of an identifier, or the identifier and an empty text."""
    match = _NUMBERED.fullmatch(identifier.casefold())
    return (match[1] or "", match[2]) if match else (identifier.casefold(), "")


def _several_spellings(spelling: dict[str, str]) -> Iterable[str]:
    other = {name: unified for name, unified in spelling.items() if name != unified}
    if other:
        name, unified = next(iter(other.items()))
        n = len(set(other.values()))
        yield (
            f"{n:,} patient{'s are' if n > 1 else ' is'} spelt in several ways, as {unified!r} and "
            f"{name!r}, and taken for one each; give patients different identifiers if they are not"
        )


def _prefixes(first: dict[tuple[str, str], str]) -> Iterable[str]:
    numbers: dict[str, list[str]] = {}
    for (_, number), name in first.items():
        if number:
            numbers.setdefault(number, []).append(name)
    pairs = [names for number, names in numbers.items() if len(names) > 1 and ("", number) in first]
    if pairs:
        yield (
            f"{len(pairs):,} numbers of patients occur with a prefix and without, as "
            f"{' and '.join(map(repr, pairs[0][:2]))}, and count as different patients; give each "
            "patient one identifier in the table if they are not"
        )


def patient_of_file(name: str, separator: str) -> str:
    """What comes before a sign in a file's name, or the whole path where it does not occur."""
    first, sign, _ = name.rpartition("/")[2].partition(separator)
    return first if sign and first else name


def shared_beginnings(names: Iterable[str]) -> str:
    """Say that beginnings of names with a number occur several times, empty if they do not."""
    names = list(names)
    for separator in "_-":
        shared = Counter(patient_of_file(name, separator) for name in names)
        several = {
            first: n
            for first, n in shared.items()
            if n > 1 and any(sign.isdigit() for sign in first)
        }
        if len(several) > 1:
            first = next(iter(several))
            return (
                f"{UNKNOWN}{sum(several.values()):,} of {len(names):,} names begin alike, such as "
                f"{several[first]} with {first + separator!r}; if that is the patient, add "
                f"patient_separator={separator} to the settings"
            )
    return ""
