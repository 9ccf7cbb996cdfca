"""Single pictures from DICOM files, as a viewer first shows them."""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from gvr_bench.core.types import Bytes, Ints

if TYPE_CHECKING:
    from PIL.Image import Image
    from pydicom import Dataset

MAX_BYTES = 2**28  # of one file; the largest picture that is read has less without compression
MAX_RUN_BYTES = 2**26  # bytes of run lengths, which unpack to 64 times as many at most
_PREAMBLE = 128  # bytes before the letters DICM
# Where a data set without preamble begins: its file meta information, or its general group.
_FIRST_GROUPS = (0x0002, 0x0008)
_VRS = {b"UL", b"OB", b"UI", b"CS", b"DA", b"TM", b"SH", b"LO", b"PN", b"ST"}
_MAX_FIRST_BYTES = 2**10  # of the first value of a data set
_COUNTS = ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored")
_DISPLAY = (
    "ModalityLUTSequence", "RescaleSlope", "RescaleIntercept", "VOILUTSequence", "WindowCenter",
    "WindowWidth", "VOILUTFunction", "PresentationLUTShape", "PixelPaddingValue",
    "PixelPaddingRangeLimit", "PixelAspectRatio",
)  # fmt: skip
_PIXELS = (
    "PhotometricInterpretation", "PixelRepresentation", "PlanarConfiguration", "NumberOfFrames",
    "HighBit", "PixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths",
)  # fmt: skip
_SHAPES = ("IDENTITY", "INVERSE")
_GREY = ("MONOCHROME1", "MONOCHROME2")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")


class MissingDecoderError(Exception):
    """The package that reads this kind of file is missing; the message says how to install it."""


def is_dicom(file: BinaryIO) -> bool:
    """Whether an open file is DICOM by its first bytes, with or without preamble; rewinds it."""
    start = file.read(_PREAMBLE + 4)
    file.seek(0)
    return start[_PREAMBLE:] == b"DICM" or _is_data_set(start)


def _is_data_set(start: bytes) -> bool:
    """Whether a file starts with an element of a little-endian data set, explicit or implicit."""
    if len(start) < _PREAMBLE:
        return False
    group, element, length = struct.unpack("<HHI", start[:8])
    if group not in _FIRST_GROUPS or element > _MAX_FIRST_BYTES:
        return False
    return start[4:6] in _VRS or (group == _FIRST_GROUPS[1] and length <= _MAX_FIRST_BYTES)


def read_dicom(path: Path, max_pixels: int, bits: int = 16) -> Image:
    """Read the one picture of a DICOM file of at most `max_pixels`: mode L or RGB.

    Grey values go through the modality's rescaling and the first window, or the table that
    replaces it; without either the range of the stored bits, at most `bits`, is shown. In
    `MONOCHROME1`, or with an inverse presentation, the largest value is black. Padding is black
    always. Raises `MissingDecoderError`, and `ValueError` or what pydicom raises for a broken file.
    """
    from PIL import Image

    try:
        from pydicom.pixels.utils import pixel_array
    except ImportError as error:
        raise MissingDecoderError(
            "it is DICOM, which needs pydicom: pip install 'gvr-bench[dicom]'"
        ) from error
    # It warns about files that it can read; there may be thousands of them.
    warnings.filterwarnings("ignore", module=r"pydicom\b")
    ds = _read_header(path)
    _check(ds, max_pixels)
    # pydicom assumes that the lowest bits are stored.
    pixels = pixel_array(ds, index=0, correct_unused_bits=not _bits_below(ds))
    pixels = _stored(pixels, ds)
    if ds.PhotometricInterpretation in _COLOUR:
        return Image.fromarray(np.ascontiguousarray(pixels), "RGB")
    return Image.fromarray(_grey(pixels, ds, bits))


def _read_header(path: Path) -> Dataset:
    """Read what is needed of a file. Raises `ValueError` before anything is unpacked."""
    import pydicom

    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES:,} bytes")
    bare = content[_PREAMBLE : _PREAMBLE + 4] != b"DICM"
    _check_syntax(content, bare)
    ds = pydicom.dcmread(
        io.BytesIO(content),
        force=bare,
        specific_tags=["TransferSyntaxUID", *_COUNTS, *_DISPLAY, *_PIXELS],
    )
    if "TransferSyntaxUID" not in ds.file_meta:
        implicit = ds.original_encoding[0]
        syntaxes = pydicom.uid.ExplicitVRLittleEndian, pydicom.uid.ImplicitVRLittleEndian
        ds.file_meta.TransferSyntaxUID = syntaxes[bool(implicit)]
    return ds


def _check_syntax(content: bytes, bare: bool) -> None:
    """Refuse a transfer syntax that is unknown, or that pydicom inflates without a limit.

    A file without preamble and file meta information is plain little endian.
    """
    from pydicom.filereader import read_dataset

    file = io.BytesIO(content)
    file.seek(0 if bare else _PREAMBLE + 4)
    meta = read_dataset(file, False, True, stop_when=lambda tag, *_: tag.group > _FIRST_GROUPS[0])
    syntax = meta.get("TransferSyntaxUID")
    if bare and syntax is None:
        return
    if syntax is None or not syntax.is_transfer_syntax or syntax.is_deflated:
        name = "unknown" if syntax is None else syntax.name
        raise ValueError(f"its transfer syntax is {name}, which is not supported")


def _check(ds: Dataset, max_pixels: int) -> None:
    if "PixelData" not in ds:
        raise ValueError("it is DICOM without a picture")
    for name in _COUNTS:
        if not isinstance(ds.get(name), int):
            raise ValueError(f"its header has {name}={ds.get(name)!r}; a number expected")
    if (frames := ds.get("NumberOfFrames") or 1) != 1:
        raise ValueError(f"it has {frames} frames; a single picture is expected")
    if ds.Rows * ds.Columns > max_pixels:
        raise ValueError(f"its header says {ds.Columns:,} x {ds.Rows:,} pixels, too many")
    kind, bits = ds.get("PhotometricInterpretation"), ds.BitsAllocated
    if kind not in _GREY + _COLOUR:
        raise ValueError(f"its colours are {kind}; one of {', '.join(_GREY + _COLOUR)} expected")
    if (ds.SamplesPerPixel, bits) not in ([(1, 8), (1, 16)] if kind in _GREY else [(3, 8)]):
        raise ValueError(
            f"it has {ds.SamplesPerPixel} x {bits} bits per pixel; 1 x 8 or 1 x 16 for grey, or "
            "3 x 8 for colour, expected"
        )
    if not 1 <= ds.BitsStored <= bits:
        raise ValueError(f"its header says that {ds.BitsStored} of {bits} bits are used")
    for name in (*_DISPLAY, "HighBit"):  # an empty field counts as none
        if name in ds and ds[name].VM == 0:
            del ds[name]
    _check_display(ds)
    _check_frame(ds)


def _check_display(ds: Dataset) -> None:
    """Refuse what would be shown otherwise than a viewer shows it."""
    high = ds.get("HighBit", ds.BitsStored - 1)
    if not ds.BitsStored - 1 <= high < ds.BitsAllocated:
        raise ValueError(f"its header says HighBit={high} of {ds.BitsStored} stored bits")
    if (shape := ds.get("PresentationLUTShape", "IDENTITY")) not in _SHAPES:
        raise ValueError(
            f"its PresentationLUTShape is {shape}; one of {', '.join(_SHAPES)} expected"
        )
    down, across = map(int, ds.get("PixelAspectRatio", (1, 1)))
    if down != across:
        raise ValueError(
            f"its pixels are {down} high and {across} wide; resample it to square pixels"
        )


def _check_frame(ds: Dataset) -> None:
    """Refuse a compressed picture of another size than the header announces."""
    from PIL import Image, UnidentifiedImageError
    from pydicom.encaps import get_frame
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import RLELossless

    syntax = ds.file_meta.TransferSyntaxUID
    if not get_decoder(syntax).is_available:
        raise MissingDecoderError(
            f"it is compressed as {syntax.name}, for which no decoder is installed: "
            "pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg"
        )
    if syntax == RLELossless and len(ds.PixelData) > MAX_RUN_BYTES:
        raise ValueError(f"its run lengths have more than {MAX_RUN_BYTES:,} bytes")
    if not syntax.is_compressed or syntax == RLELossless:
        return
    # Formats that Pillow cannot read are left to the decoder that is installed for them.
    with contextlib.suppress(UnidentifiedImageError):
        frame = io.BytesIO(get_frame(ds.PixelData, 0, number_of_frames=1))
        with Image.open(frame, formats=("JPEG", "JPEG2000")) as picture:
            width, height = picture.size
        if (width, height) != (ds.Columns, ds.Rows):
            raise ValueError(
                f"its header says {ds.Columns:,} x {ds.Rows:,} pixels, its compressed picture "
                f"{width:,} x {height:,}"
            )


def _bits_below(ds: Dataset) -> int:
    """Number of unused bits below the stored ones; in a compressed picture there are none."""
    if ds.file_meta.TransferSyntaxUID.is_compressed:
        return 0
    return int(ds.get("HighBit", ds.BitsStored - 1) - ds.BitsStored + 1)


def _stored(pixels: NDArray[Any], ds: Dataset) -> NDArray[Any]:
    """Move stored bits of pixels (h, w) that lie higher to the lowest, signed or not."""
    below = _bits_below(ds)
    if not below:
        return pixels
    # The bits above the stored ones fall off on the left, those below them on the right.
    unused = ds.BitsAllocated - ds.BitsStored
    return np.asarray(np.right_shift(np.left_shift(pixels, unused - below), unused))


def _grey(pixels: NDArray[np.integer], ds: Dataset, max_bits: int) -> Bytes:
    """Map stored values (h, w) of 8 or 16 bits to 0..255, through a table of all of them."""
    bits, signed = 8 * pixels.itemsize, pixels.dtype.kind == "i"
    pattern = np.arange(2**bits).astype(f"u{pixels.itemsize}")
    values = pattern.view(f"i{pixels.itemsize}") if signed else pattern
    table = _shown(values.astype(np.int64), signed, ds, max_bits)
    # Digital radiographs that are MONOCHROME1 say INVERSE as well, and mean the same inversion.
    if ds.PhotometricInterpretation == "MONOCHROME1" or ds.get("PresentationLUTShape") == "INVERSE":
        table = 255 - table
    if "PixelPaddingValue" in ds:
        first = _as_stored(ds.PixelPaddingValue, values.dtype)
        last = _as_stored(ds.get("PixelPaddingRangeLimit", first), values.dtype)
        table[(values >= min(first, last)) & (values <= max(first, last))] = 0
    native = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("="))
    return np.asarray(table[native.view(pattern.dtype)])


def _as_stored(value: int, dtype: np.dtype[Any]) -> int:
    """Read a stored value of a header, whose sign may be lost, as one of the pixels."""
    return int(np.array(int(value) % 2 ** (8 * dtype.itemsize), f"u{dtype.itemsize}").view(dtype))


def _shown(values: Ints, signed: bool, ds: Dataset, max_bits: int) -> Bytes:
    """Brightness 0..255 of stored values (n,), before any inversion."""
    from pydicom.pixels.processing import apply_modality_lut, apply_voi, apply_windowing

    shown = apply_modality_lut(values, ds)
    if "VOILUTSequence" in ds:
        shown = apply_voi(np.rint(shown).astype(np.int64), ds)
        low, high = 0.0, 2.0 ** ds.VOILUTSequence[0].LUTDescriptor[2] - 1
    elif "WindowCenter" in ds and "WindowWidth" in ds:
        # The window maps values far below and above it to its black and white.
        low, high = apply_windowing(np.array([-np.inf, np.inf]), ds)
        shown = apply_windowing(shown, ds)
    else:
        bits = min(ds.BitsStored, max_bits)
        lowest = -(2 ** (bits - 1)) if signed else 0
        used = shown[(values >= lowest) & (values < lowest + 2**bits)]
        low, high = float(used.min()), float(used.max())
    if not np.isfinite(shown).all() or not np.isfinite(high - low) or high == low:
        raise ValueError("its rescaling or window leaves no range of grey")
    return np.asarray(np.rint((shown - low) / (high - low) * 255).clip(0, 255), np.uint8)
