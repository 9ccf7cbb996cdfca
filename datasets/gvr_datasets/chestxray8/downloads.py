"""Addresses, sizes and digests of the files of the NIH release.

- Addresses: of the archives those in the NIH's `batch_download_zips.py`; of the text files the
  numbers that they have in the NIH's folder, https://nihcc.app.box.com/v/ChestXray-NIHCC.
- Sizes: as the server tells them (`Content-Range`) and as the folder lists them.
- Digests of the archives: MD5, the only ones that the NIH publishes, in `FAQ_CHESTXRAY.pdf`,
  question 7; they tell a damaged file, and no more.
- Digests of the text files: SHA-256, on which independent copies agree (for the boxes the one in
  torchxrayvision 1.5.7; for the others several public records of the official files).
- Images: those that decode, counted per archive; together they are the 112,120 of the release.
"""

from __future__ import annotations

import gvr_bench.api as gvr

_ARCHIVES = "https://nihcc.box.com/shared/static/{}.gz"
_TEXTS = (
    "https://nihcc.app.box.com/index.php?rm=box_download_shared_file"
    "&vanity_name=ChestXray-NIHCC&file_id=f_{}"
)
_MEMBERS = r"images/\d{8}_\d{3}\.png"
_HEADERS = 1024  # bytes of an archive for each image, at most, that are not of the image
_LARGEST = 2**24  # bytes of one image; 1024 x 1024 grey pixels take a tenth of it

_IMAGES = (  # bytes, images, MD5, address
    (2_008_470_987, 4_999, "fe8ed0a6961412fddcbb3603c11b3698", "vfk49d74nhbxq3nqjg0900w5nvkorp5c"),
    (3_952_623_504, 10_000, "ab07a2d7cbe6f65ddd97b4ed7bde10bf", "i28rlmbvmfjbl8p2n3ril0pptcmcu9d1"),
    (3_929_234_850, 10_000, "2301d03bde4c246388bad3876965d574", "f1t00wrtdk94satdfb9olcolqx20z2jp"),
    (3_838_903_983, 10_000, "9f1b7f5aae01b13f4bc8e2c44a4b8ef6", "0aowwzs5lhjrceb3qp67ahp0rd1l1etg"),
    (3_935_496_531, 10_000, "1861f3cd0ef7734df8104f2b0309023b", "v5e3goj22zr6h8tzualxfsqlqaygfbsn"),
    (3_986_301_172, 10_000, "456b53a8b351afd92a35bc41444c58c8", "asi7ikud9jwnkrnkj99jnpfkjdes7l6l"),
    (4_016_328_426, 10_000, "1075121ea20a137b87f290d6a4a5965e", "jn1b4mw4n6lnh74ovmcjb8y48h8xj07n"),
    (4_018_347_353, 10_000, "b61f34cec3aa69f295fbb593cbd9d443", "tvpxmn7qyrgl0w8wfh9kqfjskv6nmm1j"),
    (4_111_327_929, 10_000, "442a3caa61ae9b64e61c561294d1e183", "upyy3ml7qdumlgk2rfcvlb9k6gvqq2pj"),
    (4_181_556_296, 10_000, "09ec81c4c31e32858ad8cf965c494b74", "l6nilvfa9cg3s28tqv1qc1olm3gnz54p"),
    (4_187_084_020, 10_000, "499aefc67207a5a97692424cf5dbeed5", "hhq8fkdgvcari67vfhs7ppg2w6ni4jze"),
    (2_914_187_733, 7_121, "dc9fda1757c2de0032b63347a7d2895c", "ioqwiy20ihqwyr8pf4c24eazhh281pbu"),
)  # fmt: skip


def _text(name: str, number: int, size: int, digest: str, *instead: str) -> gvr.Remote:
    # Older editions of the table are many, so that none of their digests says anything.
    others = dict.fromkeys(instead, "")
    return gvr.Remote(name, (_TEXTS.format(number),), size, f"sha256:{digest}", instead=others)


def _images(number: int, size: int, count: int, digest: str, address: str) -> gvr.Remote:
    # PNG does not compress: what is unpacked takes about what the archive does.
    holds = gvr.Archive(_MEMBERS, count, size + _HEADERS * count, _LARGEST)
    name, url = f"images_{number:03d}.tar.gz", _ARCHIVES.format(address)
    return gvr.Remote(name, (url,), size, f"md5:{digest}", archive=holds)


RELEASE = (
    _text(
        "Data_Entry_2017_v2020.csv",
        219760887468,
        9_003_496,
        "c69a6daca3549af707ca9cacbdf9f9a7b6a9188e8c61157df653520bb72d8eb1",
        "Data_Entry_2017.csv",
    ),
    _text(
        "BBox_List_2017.csv",
        219760940956,
        92_416,
        "0bbfea9d4c4e9771481b3023b1bc9f0df9dea924453b12986beb29b0c4d0c95b",
    ),
    _text(
        "train_val_list.txt",
        256056636701,
        1_470_907,
        "61fbe896321c1c1c8b75f3e4f3a08e4fef6486d95ef8a667c31d4d60dca6cb81",
    ),
    _text(
        "test_list.txt",
        256055473534,
        435_131,
        "38ca5ef7f756092946f57c1a59faca882ed589a1ab1f72590b45dc06c6d5e1cc",
    ),
    *(_images(number, *facts) for number, facts in enumerate(_IMAGES, start=1)),
)
