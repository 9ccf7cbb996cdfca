"""TIFF and DICOM files: shown as a viewer shows them, or named in one line."""

from __future__ import annotations

import io
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import gvr_bench.api as gvr
from gvr_bench.core.types import ImageSpec
from gvr_bench.data import dicom
from gvr_bench.data.image_io import MAX_PIXELS, read_extent, read_picture, read_pictures

pydicom = pytest.importorskip("pydicom", reason="DICOM is an extra: pip install 'gvr-bench[dicom]'")

GREY = np.random.default_rng(3).integers(0, 256, (24, 20), np.uint8)
COLOUR = np.random.default_rng(4).integers(0, 256, (24, 20, 3), np.uint8)
FUZZ = settings(
    max_examples=150,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
BASELINE, LOSSLESS, JPEG2000 = (f"1.2.840.10008.1.2.4.{n}" for n in (50, 70, 90))


def dataset(pixels: np.ndarray, syntax: str = EXPLICIT, **fields: object) -> pydicom.Dataset:
    """A DICOM data set of one picture, with fields replaced or, for None, removed."""
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    meta.MediaStorageSOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    bits = 8 * pixels.itemsize
    standard: dict[str, object] = {
        "SOPClassUID": meta.MediaStorageSOPClassUID,
        "SOPInstanceUID": "1.2.3",
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "SamplesPerPixel": 1 if pixels.ndim == 2 else 3,
        "PhotometricInterpretation": "MONOCHROME2" if pixels.ndim == 2 else "RGB",
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        "PixelData": pixels.tobytes(),
    }
    if pixels.ndim == 3:
        standard["PlanarConfiguration"] = 0
    ds = pydicom.Dataset()
    ds.file_meta = meta
    for name, value in (standard | fields).items():
        if value is not None:
            setattr(ds, name, value)
    return ds


def write(path: Path, pixels: np.ndarray, syntax: str = EXPLICIT, **fields: object) -> Path:
    dataset(pixels, syntax, **fields).save_as(path, enforce_file_format=True)
    return path


def grey(path: Path) -> np.ndarray:
    return read_picture(path, 1)[0]


def fault(path: Path) -> str:
    """The one line that a user reads."""
    with pytest.raises(gvr.DataError) as caught:
        read_picture(path, 1)
    line = str(caught.value)
    assert line.startswith(f"cannot read the image {path}: ")
    assert line.isprintable()
    return line


# DICOM that is refused


@pytest.mark.parametrize("edge", [8193, 65535])
def test_huge_dicom_header_is_refused(tmp_path: Path, edge: int) -> None:
    path = write(tmp_path / "bomb.dcm", GREY, Rows=edge, Columns=edge)
    assert f"{edge:,} x {edge:,} pixels, too many" in fault(path)
    with pytest.raises(gvr.DataError):
        read_extent(path)


@pytest.mark.parametrize(("syntax", "kind"), [(BASELINE, "JPEG"), (JPEG2000, "JPEG2000")])
def test_compressed_picture_must_fit_header(tmp_path: Path, syntax: str, kind: str) -> None:
    packed = io.BytesIO()
    Image.fromarray(np.zeros((300, 400), np.uint8)).save(packed, format=kind)
    path = write(
        tmp_path / "a.dcm", GREY, syntax, PixelData=pydicom.encaps.encapsulate([packed.getvalue()])
    )
    assert "400 x 300" in fault(path)


def test_deflated_dicom_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", np.zeros((4000, 4000), np.uint8), "1.2.840.10008.1.2.1.99")
    assert path.stat().st_size < 100_000
    assert "its transfer syntax is Deflated Explicit VR Little Endian" in fault(path)


def test_oversized_dicom_file_is_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(dicom, "MAX_BYTES", 500)
    assert "it has more than 500 bytes" in fault(write(tmp_path / "a.dcm", GREY))
    assert dicom.MAX_BYTES < 4 * MAX_PIXELS


def test_rle_bomb_is_refused(tmp_path: Path, monkeypatch) -> None:
    ds = dataset(GREY)
    ds.compress(pydicom.uid.RLELossless)
    ds.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    monkeypatch.setattr(dicom, "MAX_RUN_BYTES", 100)
    assert "its run lengths have more than 100 bytes" in fault(tmp_path / "a.dcm")


def test_multi_frame_dicom_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", GREY, NumberOfFrames=7, PixelData=GREY.tobytes() * 7)
    assert "it has 7 frames" in fault(path)


def test_dicom_without_picture_is_refused(tmp_path: Path) -> None:
    assert "DICOM without a picture" in fault(write(tmp_path / "a.dcm", GREY, PixelData=None))


@pytest.mark.parametrize("name", ["Rows", "Columns", "SamplesPerPixel", "BitsStored"])
def test_missing_header_number_is_named(tmp_path: Path, name: str) -> None:
    assert f"{name}=None" in fault(write(tmp_path / "a.dcm", GREY, **{name: None}))


def test_wrong_header_type_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", GREY)
    rows = struct.pack("<HH2sHH", 0x28, 0x10, b"US", 2, 24)
    text = struct.pack("<HH2sH2s", 0x28, 0x10, b"LO", 2, b"xx")
    content = path.read_bytes()
    assert content.count(rows) == 1
    path.write_bytes(content.replace(rows, text))
    assert "Rows='xx'" in fault(path)


@pytest.mark.parametrize("kind", ["PALETTE COLOR", "YBR_PARTIAL_420", "ARGB", None])
def test_unknown_colours_are_refused(tmp_path: Path, kind: str | None) -> None:
    path = write(tmp_path / "a.dcm", GREY, PhotometricInterpretation=kind)
    assert f"its colours are {kind}" in fault(path)


def test_pixels_of_32_bits_are_refused(tmp_path: Path) -> None:
    assert "1 x 32 bits per pixel" in fault(write(tmp_path / "a.dcm", GREY.astype("<u4")))


@pytest.mark.parametrize("stored", [0, 9])
def test_impossible_bit_depth_is_refused(tmp_path: Path, stored: int) -> None:
    path = write(tmp_path / "a.dcm", GREY, BitsStored=stored)
    assert f"{stored} of 8 bits are used" in fault(path)


@pytest.mark.parametrize(
    "looks",
    [{"RescaleSlope": 0, "RescaleIntercept": 5}, {"WindowCenter": 9, "WindowWidth": 0}],
)
def test_empty_window_is_refused(tmp_path: Path, looks: dict[str, int]) -> None:
    fault(write(tmp_path / "a.dcm", GREY, **looks))


def test_missing_decoder_names_its_package(tmp_path: Path) -> None:
    if pydicom.pixels.get_decoder(LOSSLESS).is_available:
        pytest.skip("this machine can decode it")
    data = pydicom.encaps.encapsulate([b"\xff\xd8\xff"])
    path = write(tmp_path / "a.dcm", GREY, LOSSLESS, PixelData=data)
    line = fault(path)
    assert "it is compressed as JPEG Lossless" in line
    assert line.endswith("pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg")


def test_missing_pydicom_names_its_package(tmp_path: Path, monkeypatch) -> None:
    files = [write(tmp_path / "a.dcm", GREY)]
    monkeypatch.setitem(sys.modules, "pydicom.pixels.utils", None)
    assert fault(files[0]).endswith("needs pydicom: pip install 'gvr-bench[dicom]'")
    with pytest.raises(gvr.DataError) as caught:
        read_pictures(files, ImageSpec(1, 8))
    assert caught.value.unreadable == {}  # not one of the few that may be left out


@pytest.mark.parametrize("length", [132, 200, 400, 700])
def test_a_truncated_dicom_is_named(tmp_path: Path, length: int) -> None:
    path = write(tmp_path / "a.dcm", GREY)
    path.write_bytes(path.read_bytes()[:length])
    assert fault(path).endswith("; replace the file")


def test_nested_sequences_end_in_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", GREY)
    start = path.read_bytes().index(struct.pack("<HH2s", 0x28, 0x02, b"US"))
    deep = struct.pack("<HH2sHI", 0x20, 0x9222, b"SQ", 0, 0xFFFFFFFF)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    path.write_bytes(path.read_bytes()[:start] + (deep + item) * 20_000)
    fault(path)


# DICOM as a viewer shows it


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_bytes_are_shown_as_they_are(tmp_path: Path, syntax: str) -> None:
    np.testing.assert_array_equal(grey(write(tmp_path / "scan.png", GREY, syntax)), GREY)


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", GREY, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(grey(path), 255 - GREY)


def test_stored_bits_replace_missing_window(tmp_path: Path) -> None:
    wide = GREY.astype("<u2")
    np.testing.assert_array_equal(grey(write(tmp_path / "a.dcm", wide * 257)), GREY)
    ramp = np.arange(4096, dtype="<u2").reshape(64, 64)
    shown = grey(write(tmp_path / "b.dcm", ramp, BitsStored=12, HighBit=11))
    np.testing.assert_array_equal(shown, np.rint(ramp / 4095 * 255))


def test_first_window_shows_hounsfield_units(tmp_path: Path) -> None:
    stored = np.array([[-3000, 64, 864, 1064, 1464, 3000]], "<i2")
    path = write(
        tmp_path / "a.dcm", stored, RescaleSlope=1, RescaleIntercept=-1024,
        WindowCenter=[40, -600], WindowWidth=[401, 1500],
    )  # fmt: skip
    units = np.array([-4024, -960, -160, 40, 440, 1976])
    expected = np.rint(((units - 39.5) / 400 + 0.5).clip(0, 1) * 255)
    np.testing.assert_array_equal(grey(path)[0], expected)


def test_negative_slope_inverts_picture(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", GREY, RescaleSlope=-1, RescaleIntercept=255)
    np.testing.assert_array_equal(grey(path), 255 - GREY)
    path = write(
        tmp_path / "b.dcm", GREY, RescaleSlope=-1, RescaleIntercept=255, WindowCenter=128,
        WindowWidth=256,
    )  # fmt: skip
    np.testing.assert_array_equal(grey(path), 255 - GREY)


def test_grey_table_precedes_window(tmp_path: Path) -> None:
    table = pydicom.Dataset()
    table.LUTDescriptor = [256, 0, 16]
    table.LUTData = [257 * (255 - level) for level in range(256)]
    ds = dataset(GREY, WindowCenter=1, WindowWidth=2, VOILUTSequence=[table])
    ds["VOILUTSequence"][0]["LUTData"].VR = "US"
    ds["VOILUTSequence"][0]["LUTDescriptor"].VR = "US"
    ds.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    np.testing.assert_array_equal(grey(tmp_path / "a.dcm"), 255 - GREY)


def test_an_empty_window_is_none(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", GREY, WindowCenter="", WindowWidth="", RescaleSlope="")
    np.testing.assert_array_equal(grey(path), GREY)


# Headers that change what is shown


DEEP = np.linspace(0, 4095, 24 * 20).round().astype("<u2").reshape(24, 20)  # 12 bits
SHOWN = np.rint(DEEP / 4095 * 255).astype(int)
TWELVE = {"BitsStored": 12, "HighBit": 11}
BORDER = np.arange(20) < 5


@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("signed", [False, True])
def test_padding_is_black(tmp_path: Path, kind: str, signed: bool) -> None:
    stored = DEEP.astype("<i2") - 2048 if signed else DEEP
    padding = -2048 if signed else 0
    path = write(
        tmp_path / "a.dcm", np.where(BORDER, padding, stored).astype(stored.dtype),
        PhotometricInterpretation=kind, PixelPaddingValue=padding, **TWELVE,
    )  # fmt: skip
    expected = 255 - SHOWN if kind == "MONOCHROME1" else SHOWN
    expected = np.where(BORDER | (DEEP == 0), 0, expected)
    assert np.abs(grey(path).astype(int) - expected).max() <= 1


def test_padding_range_is_black(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.dcm", DEEP, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=100,
        PixelPaddingRangeLimit=0, **TWELVE,
    )  # fmt: skip
    np.testing.assert_array_equal(grey(path) == 0, (DEEP <= 100) | (DEEP > 4086))


def test_padding_in_wrong_sign_is_found(tmp_path: Path) -> None:
    stored = np.where(BORDER, -2000, DEEP.astype("<i2")).astype("<i2")
    ds = dataset(stored)
    ds.add_new("PixelPaddingValue", "US", 65536 - 2000)
    ds.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    assert not grey(tmp_path / "a.dcm")[:, BORDER].any()
    assert grey(tmp_path / "a.dcm")[:, ~BORDER].any()


@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_inverse_presentation_inverts_once(tmp_path: Path, kind: str) -> None:
    path = write(
        tmp_path / "a.dcm", DEEP, PhotometricInterpretation=kind, PresentationLUTShape="INVERSE",
        **TWELVE,
    )  # fmt: skip
    np.testing.assert_array_equal(grey(path), 255 - SHOWN)


def test_identity_presentation_changes_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", DEEP, PresentationLUTShape="IDENTITY", **TWELVE)
    np.testing.assert_array_equal(grey(path), SHOWN)


@pytest.mark.parametrize("high", [11, 13, 15])
@pytest.mark.parametrize("signed", [False, True])
def test_stored_bits_lie_below_high_bit(tmp_path: Path, high: int, signed: bool) -> None:
    stored = DEEP.astype("<i2") - 2048 if signed else DEEP
    moved = (stored.view("<u2") << (high - 11)) | 1 if high > 11 else stored
    moved = moved.astype("<u2") if high > 11 else moved
    fields = {"BitsStored": 12, "HighBit": high, "PixelRepresentation": int(signed)}
    np.testing.assert_array_equal(grey(write(tmp_path / "a.dcm", moved, **fields)), SHOWN)


@pytest.mark.parametrize("window", [{}, {"WindowCenter": 2048, "WindowWidth": 4096}])
def test_overlay_in_unused_bits_is_not_shown(tmp_path: Path, window: dict[str, int]) -> None:
    path = write(
        tmp_path / "a.dcm",
        DEEP | np.where(BORDER, 0x8000, 0).astype(DEEP.dtype),
        **TWELVE,
        **window,
    )
    assert np.abs(grey(path).astype(int) - SHOWN).max() <= 1


@pytest.mark.parametrize(
    "header",
    [
        {"WindowCenter": 2048},
        {"RescaleIntercept": -1024},
        {"WindowCenter": [2048, 500], "WindowWidth": [4096, 100]},
        {"PixelData": DEEP.tobytes() + bytes(64)},
    ],
    ids=["centre alone", "intercept alone", "second window", "trailing bytes"],
)
def test_header_that_shows_the_same(tmp_path: Path, header: dict[str, object]) -> None:
    path = write(tmp_path / "a.dcm", DEEP, **TWELVE, **header)
    assert np.abs(grey(path).astype(int) - SHOWN).max() <= 1


def test_sigmoid_window_is_applied(tmp_path: Path) -> None:
    window = {"WindowCenter": 2048, "WindowWidth": 1500, "VOILUTFunction": "SIGMOID"}
    path = write(tmp_path / "a.dcm", DEEP, **TWELVE, **window)
    expected = 255 / (1 + np.exp(-4 * (DEEP.astype(float) - 2048) / 1500))
    assert np.abs(grey(path) - expected).max() <= 1


def test_colour_planes_may_follow_each_other(tmp_path: Path) -> None:
    planes = COLOUR.transpose(2, 0, 1).tobytes()
    path = write(tmp_path / "a.dcm", COLOUR, PlanarConfiguration=1, PixelData=planes)
    np.testing.assert_array_equal(read_picture(path, 3), COLOUR.transpose(2, 0, 1))


def test_short_pixel_data_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", DEEP, PixelData=DEEP.tobytes()[:-128], **TWELVE)
    assert "bytes of pixel data is less than expected" in fault(path)


def test_unknown_presentation_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", DEEP, PresentationLUTShape="LIN OD", **TWELVE)
    assert "its PresentationLUTShape is LIN OD" in fault(path)


def test_impossible_high_bit_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", DEEP, BitsStored=12, HighBit=7)
    assert "HighBit=7 of 12 stored bits" in fault(path)


def test_oblong_pixels_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", DEEP, PixelAspectRatio=[2, 1], **TWELVE)
    assert "its pixels are 2 high and 1 wide; resample it" in fault(path)


@pytest.mark.parametrize("implicit", [False, True])
def test_dicom_without_preamble_is_read(tmp_path: Path, implicit: bool) -> None:
    ds = dataset(DEEP, **TWELVE)
    del ds.file_meta
    ds.save_as(tmp_path / "a", implicit_vr=implicit, little_endian=True)
    np.testing.assert_array_equal(grey(tmp_path / "a"), SHOWN)


def test_file_meta_without_preamble_is_read(tmp_path: Path) -> None:
    content = write(tmp_path / "a.dcm", DEEP, **TWELVE).read_bytes()
    (tmp_path / "b.dcm").write_bytes(content[132:])
    np.testing.assert_array_equal(grey(tmp_path / "b.dcm"), SHOWN)


def test_deflated_dicom_without_preamble_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", np.zeros((4000, 4000), np.uint8), "1.2.840.10008.1.2.1.99")
    path.write_bytes(path.read_bytes()[132:])
    assert "its transfer syntax is Deflated Explicit VR Little Endian" in fault(path)


def test_bits_replace_missing_window(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", DEEP)  # its header says 16
    np.testing.assert_array_equal(read_picture(path, 1, bits=12)[0], SHOWN)


def test_colours_become_three_channels_or_grey(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", COLOUR)
    np.testing.assert_array_equal(read_picture(path, 3), COLOUR.transpose(2, 0, 1))
    np.testing.assert_array_equal(grey(path), np.asarray(Image.fromarray(COLOUR).convert("L")))


def test_luminance_and_chroma_become_colours(tmp_path: Path) -> None:
    ybr = np.asarray(Image.fromarray(COLOUR).convert("YCbCr"))
    path = write(tmp_path / "a.dcm", ybr, PhotometricInterpretation="YBR_FULL")
    assert np.abs(read_picture(path, 3).transpose(1, 2, 0).astype(int) - COLOUR).max() <= 3


def test_run_lengths_are_unpacked(tmp_path: Path) -> None:
    ds = dataset(GREY)
    ds.compress(pydicom.uid.RLELossless)
    ds.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    np.testing.assert_array_equal(grey(tmp_path / "a.dcm"), GREY)


def test_a_jpeg_inside_is_unpacked(tmp_path: Path) -> None:
    packed = io.BytesIO()
    Image.fromarray(GREY).save(packed, format="JPEG", quality=100)
    data = pydicom.encaps.encapsulate([packed.getvalue()])
    path = write(tmp_path / "a.dcm", GREY, BASELINE, PixelData=data)
    assert np.abs(grey(path).astype(int) - GREY).max() <= 12


def test_dicom_extent_is_width_height(tmp_path: Path) -> None:
    assert read_extent(write(tmp_path / "a.dcm", GREY)) == (20, 24)


# TIFF


def tiff(path: Path, pixels: np.ndarray, **options: object) -> Path:
    Image.fromarray(pixels).save(path, format="TIFF", **options)
    return path


def test_multi_page_tiff_is_refused(tmp_path: Path) -> None:
    path = tiff(tmp_path / "a.tif", GREY, save_all=True, append_images=[Image.fromarray(GREY)])
    assert "several pages" in fault(path)


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_signed_or_float_tiff_is_refused(tmp_path: Path, kind: type) -> None:
    assert "32-bit" in fault(tiff(tmp_path / "a.tif", GREY.astype(kind)))


@pytest.mark.parametrize("edge", [8193, 2**31 - 1])
def test_huge_tiff_header_is_refused(tmp_path: Path, edge: int) -> None:
    path = tiff(tmp_path / "bomb.tif", GREY)
    content = bytearray(path.read_bytes())
    (entries,) = struct.unpack_from("<I", content, 4)
    (n,) = struct.unpack_from("<H", content, entries)
    for at in range(entries + 2, entries + 2 + 12 * n, 12):
        if struct.unpack_from("<H", content, at)[0] in (256, 257):
            struct.pack_into("<HII", content, at + 2, 4, 1, edge)
    path.write_bytes(content)
    assert "pixels" in fault(path)


@pytest.mark.parametrize("length", [4, 8, 100, 400])
def test_truncated_tiff_is_named(tmp_path: Path, length: int, recwarn) -> None:
    path = tiff(tmp_path / "a.tif", GREY)
    path.write_bytes(path.read_bytes()[:length])
    fault(path)
    assert [str(warning.message) for warning in recwarn] == []


PACKINGS = [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"]


@pytest.mark.parametrize("packed", PACKINGS)
@pytest.mark.parametrize("wide", [False, True])
def test_tiff_of_8_and_16_bits(tmp_path: Path, packed: str | None, wide: bool) -> None:
    pixels = GREY.astype(np.uint16) * 257 if wide else GREY
    np.testing.assert_array_equal(grey(tiff(tmp_path / "a.png", pixels, compression=packed)), GREY)


@pytest.mark.parametrize("wide", [False, True])
def test_white_is_zero_tiff_is_inverted(tmp_path: Path, wide: bool) -> None:
    pixels = GREY.astype(np.uint16) * 257 if wide else GREY
    path = tiff(tmp_path / "a.tif", pixels)
    content = path.read_bytes()
    tag = struct.pack("<HHIH", 262, 3, 1, 1)
    assert content.count(tag) == 1
    path.write_bytes(content.replace(tag, struct.pack("<HHIH", 262, 3, 1, 0)))
    np.testing.assert_array_equal(grey(path), 255 - GREY)


def test_a_tiff_of_colours_is_read(tmp_path: Path) -> None:
    path = tiff(tmp_path / "a.tif", COLOUR)
    np.testing.assert_array_equal(read_picture(path, 3), COLOUR.transpose(2, 0, 1))


# Anything at all


@FUZZ
@given(data=st.data())
def test_fuzzed_dicom_reads_or_fails(tmp_path: Path, data) -> None:
    path = tmp_path / "fuzzed"
    kind = data.draw(st.sampled_from(["tiff", "lzw", "dicom", "window"]))
    if kind == "dicom":
        write(path, GREY)
    elif kind == "window":
        write(path, GREY.astype("<u2"), RescaleSlope=2, RescaleIntercept=1, WindowCenter=9,
              WindowWidth=90)  # fmt: skip
    else:
        tiff(path, GREY, compression="tiff_lzw" if kind == "lzw" else None)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        assert read_picture(path, 1).dtype == np.uint8
    except gvr.DataError as error:
        assert str(error).isprintable()  # noqa: PT017
