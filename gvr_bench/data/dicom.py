"""Single pictures from DICOM files, as a viewer first shows them."""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image
    from pydicom import Dataset

MAX_BYTES = 2**28  # of one file; the largest picture that is read has less without compression
MAX_RUN_BYTES = 2**26  # bytes of run lengths, which unpack to 64 times as many at most
_PREAMBLE = 128  # bytes before the letters DICM
_COUNTS = ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored")
_DISPLAY = (
    "ModalityLUTSequence", "RescaleSlope", "RescaleIntercept", "VOILUTSequence", "WindowCenter",
    "WindowWidth", "VOILUTFunction",
)  # fmt: skip
_PIXELS = (
    "PhotometricInterpretation", "PixelRepresentation", "PlanarConfiguration", "NumberOfFrames",
    "PixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths",
)  # fmt: skip
_GREY = ("MONOCHROME1", "MONOCHROME2")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")


class MissingDecoderError(Exception):
    """The package that reads this kind of file is missing; the message says how to install it."""


def is_dicom(file: BinaryIO) -> bool:
    """Whether an open file is DICOM by its magic bytes; rewinds it."""
    letters = file.read(_PREAMBLE + 4)[_PREAMBLE:]
    file.seek(0)
    return letters == b"DICM"


def read_dicom(path: Path, max_pixels: int) -> Image:
    """Read the one picture of a DICOM file of at most `max_pixels`: mode L or RGB.

    Grey values go through the modality's rescaling and the first window, or the table that
    replaces it; without either the range of the stored bits is shown. In `MONOCHROME1` the largest
    value is black. Raises `MissingDecoderError`, and `ValueError` or what pydicom raises for a
    broken file.
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
    pixels = pixel_array(ds, index=0)
    if ds.PhotometricInterpretation in _COLOUR:
        return Image.fromarray(np.ascontiguousarray(pixels), "RGB")
    return Image.fromarray(_grey(pixels, ds))


def _read_header(path: Path) -> Dataset:
    """Read what is needed of a file. Raises `ValueError` before anything is unpacked."""
    import pydicom
    from pydicom.filereader import read_file_meta_info

    # pydicom inflates a deflated data set without a limit.
    syntax = read_file_meta_info(path).get("TransferSyntaxUID")
    if syntax is None or not syntax.is_transfer_syntax or syntax.is_deflated:
        name = "unknown" if syntax is None else syntax.name
        raise ValueError(f"its transfer syntax is {name}, which is not supported")
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES:,} bytes")
    return pydicom.dcmread(
        io.BytesIO(content), specific_tags=["TransferSyntaxUID", *_COUNTS, *_DISPLAY, *_PIXELS]
    )


def _check(ds: Dataset, max_pixels: int) -> None:
    """Refuse, from the header alone, what is too large or is not a single picture."""
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
    for name in _DISPLAY:  # an empty field counts as none
        if name in ds and ds[name].VM == 0:
            del ds[name]
    _check_frame(ds)


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


def _grey(pixels: NDArray[np.integer], ds: Dataset) -> NDArray[np.uint8]:
    """Map stored values (h, w) of 8 or 16 bits to 0..255, through a table of all of them."""
    bits, signed = 8 * pixels.itemsize, pixels.dtype.kind == "i"
    pattern = np.arange(2**bits).astype(f"u{pixels.itemsize}")
    values = pattern.view(f"i{pixels.itemsize}") if signed else pattern
    table = _shown(values.astype(np.int64), signed, ds)
    if ds.PhotometricInterpretation == "MONOCHROME1":
        table = 255 - table
    native = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("="))
    return np.asarray(table[native.view(pattern.dtype)])


def _shown(values: NDArray[np.int64], signed: bool, ds: Dataset) -> NDArray[np.uint8]:
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
        lowest = -(2 ** (ds.BitsStored - 1)) if signed else 0
        used = shown[(values >= lowest) & (values < lowest + 2**ds.BitsStored)]
        low, high = float(used.min()), float(used.max())
    if not np.isfinite(shown).all() or not np.isfinite(high - low) or high == low:
        raise ValueError("its rescaling or window leaves no range of grey")
    return np.asarray(np.rint((shown - low) / (high - low) * 255).clip(0, 255), np.uint8)
