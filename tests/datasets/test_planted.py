"""Findings planted in real images: twins, halves, masks, tags, places, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gvr_datasets.planted.blending import mixed_seamless
from gvr_datasets.planted.checks import measure
from gvr_datasets.planted.dataset import Planted, dark_share
from gvr_datasets.planted.forensics import forensic_scores
from gvr_datasets.planted.place import draw_centre, guess_lungs
from gvr_datasets.twins.selection import with_label
from gvr_datasets.twins.twin import DoesNotFitError
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import roc_auc_score

import gvr_bench.api as gvr
from gvr_bench.testing import assert_passes, check_dataset

SPLITS = ("train", "validation", "test")
PLANTS = ("nodule", "consolidation", "effusion", "foreign-opacity", "shape")
SMALL = {"size": 64, "train": 40, "validation": 10, "test": 10}


class Radiographs:
    """A folder of the phantom's pictures with a table, and masks of the lungs for a share."""

    def __init__(self, root: Path, share: float = 1.0, cells: str = "01") -> None:
        self.root = root
        (root / "masks").mkdir(parents=True)
        pictures = gvr.open_dataset("phantom", SMALL, "quick").split("train").images(np.arange(40))
        lines = ["file,patient,ill,lung_mask"]
        for i, picture in enumerate(pictures):
            Image.fromarray(picture[0]).save(root / f"{i}.png")
            mask = np.zeros((64, 64), np.uint8)
            mask[20:44, 10:24] = 255
            Image.fromarray(mask).save(root / "masks" / f"{i}.png")
            named = f"masks/{i}.png" if i < share * 40 else ""
            lines.append(f"{i}.png,p{i // 2},{cells[i % len(cells)]},{named}")
        (root / "table.csv").write_text("\n".join(lines) + "\n")

    def cover(self, rows: range, share: float) -> None:
        """Make masks that cover nearly the whole image."""
        for i in rows:
            mask = np.full((64, 64), 255, np.uint8)
            mask[: round((1 - share) * 64)] = 0
            Image.fromarray(mask).save(self.root / "masks" / f"{i}.png")

    def planted(self, **settings: object) -> Planted:
        base = {"size": 64, "test": 0.3, "validation": 0.2, **settings.pop("base", {})}
        chosen = {"dataset": "folder", "base": base, "skip": 0.5, "copies": 2, **settings}
        return Planted(Planted.Settings(**chosen), self.root)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Planted]:
    """Planted in forty radiographs without masks of lungs, all of them chosen."""
    own = Radiographs(tmp_path_factory.mktemp("radiographs") / "own", share=0)
    return lambda **settings: own.planted(**{"label": "all", **settings})


Plant = Callable[..., Planted]


def everything(split: gvr.Split) -> tuple[np.ndarray, gvr.GroundTruth]:
    index = np.arange(len(split))
    assert split.truth is not None
    return split.images(index), split.truth(index, np.zeros_like(index))


def fitting(data: Planted, name: str) -> tuple[np.ndarray, np.ndarray, gvr.GroundTruth]:
    """Labels, images and truth of the images of a split into which the plant fits."""
    split, index = data.split(name), np.arange(len(data.split(name)))
    try:
        split.images(index)
    except gvr.DataError as error:
        index = np.delete(index, list(error.unreadable))
    assert split.truth is not None
    images, truth = split.images(index), split.truth(index, np.zeros_like(index))
    return split.targets[index, 0] == 1, images, truth


# Twins


@pytest.mark.parametrize("plant", PLANTS)
def test_kit_accepts_every_plant(planted: Plant, plant: str) -> None:
    assert_passes(check_dataset(planted(plant=plant, tag="letter", skip=0.5)))


@pytest.mark.parametrize("plant", PLANTS)
def test_twins_differ_in_the_finding_alone(planted: Plant, plant: str) -> None:
    label, images, truth = fitting(planted(plant=plant), "train")
    assert truth.mask is not None
    assert truth.counterfactual is not None
    assert 0.3 < label.mean() < 0.7
    change = np.abs(images.astype(int) - truth.counterfactual)
    assert not change[~label].any()
    assert not truth.mask[~label].any()
    assert truth.mask[label].any(axis=(1, 2)).all()
    inside = (change[:, 0] * truth.mask)[label].sum() / truth.mask[label].sum()
    outside = (change[:, 0] * ~truth.mask)[label].sum() / (~truth.mask[label]).sum()
    assert inside > 5 > 0.5 > outside


def test_counterfactual_is_the_untouched_image(planted: Plant) -> None:
    data = planted()
    split = data.split("test")
    _, truth = everything(split)
    base = data.base.split("test")
    rows = [base.sample_ids.tolist().index(name) for name in split.sample_ids]
    noise = truth.counterfactual.astype(float) - base.images(np.array(rows))
    assert np.abs(noise).max() <= 5  # grey levels
    assert abs(noise.mean()) < 0.05
    assert 0.5 < noise.std() < 1.0


def test_mask_is_where_the_plant_is_strong(planted: Plant) -> None:
    data = planted(amplitude=0.2)
    selection = data.selection("train")
    (source,) = data.read_sources(selection, np.array([0]))
    plain, unit, mask = data.unit_change(source)
    region = data.region(source)
    darkness = np.maximum(1 - plain[0], 1e-9)
    strength = unit[0] * (1 - np.median(plain[0, region])) / darkness
    np.testing.assert_array_equal(mask, strength > 0.15)
    twin = data.twin(source)
    np.testing.assert_allclose(twin.changed - twin.plain, 0.2 * unit, atol=1e-12)


def test_white_is_not_brightened() -> None:
    pixels = np.array([[[0.2, 0.4, 0.7, 1.0]]])
    region = np.array([[True, True, True, False]])
    np.testing.assert_allclose(dark_share(pixels, region), [[[4 / 3, 1, 0.5, 0]]])
    with pytest.raises(DoesNotFitError, match="its region is white"):
        dark_share(np.ones((1, 2, 2)), np.ones((2, 2), bool))


def test_same_seed_gives_same_images(planted: Plant) -> None:
    first, again, other = (everything(planted(seed=s).split("test"))[0] for s in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


# Which images


def test_exactly_half_have_the_finding(planted: Plant) -> None:
    data = planted()
    for name in SPLITS:
        split = data.split(name)
        assert abs(2 * int(split.targets.sum()) - len(split)) <= 1


def test_every_second_copy_has_the_finding(planted: Plant) -> None:
    split = planted(copies=4).split("train")
    turns = split.targets[:, 0].reshape(-1, 4)
    np.testing.assert_array_equal(turns[:, 0], turns[:, 2])
    np.testing.assert_array_equal(turns[:, 0], 1 - turns[:, 1])
    assert len(set(split.sample_ids)) == len(split)
    sizes = {name: [len(planted(copies=n).split(name)) for n in (1, 4)] for name in SPLITS[1:]}
    assert sizes["validation"][1] == 4 * sizes["validation"][0]
    assert sizes["test"][1] == sizes["test"][0]


def test_copies_differ_in_place(planted: Plant) -> None:
    data = planted(copies=6)
    label, _, truth = fitting(data, "train")
    masks = truth.mask[np.flatnonzero(label)[:3]]
    assert not (masks[0] & masks[1] & masks[2]).any()


def test_patients_stay_in_one_split(planted: Plant) -> None:
    data = planted()
    people = [set(data.split(name).patient_ids) for name in SPLITS]
    assert not people[0] & people[1] | people[0] & people[2] | people[1] & people[2]


@pytest.mark.parametrize(
    ("kind", "extra", "targets", "label", "wanted"),
    [
        ("binary", {}, [[0], [1], [np.nan]], "", [1, 0, 0]),
        ("binary", {}, [[0], [1], [np.nan]], "a", [0, 1, 0]),
        ("binary", {}, [[0], [1], [np.nan]], "all", [1, 1, 1]),
        ("multilabel", {}, [[0, 0], [0, 1], [1, 0]], "", [1, 0, 0]),
        ("multilabel", {}, [[0, 0], [0, 1], [1, 0]], "b", [0, 1, 0]),
        ("multiclass", {"source": 0, "target": 1}, [[0], [1], [1]], "", [0, 1, 1]),
        ("multiclass", {"source": 0, "target": 1}, [[0], [1], [1]], "a", [1, 0, 0]),
        ("regression", {"threshold": 5.0}, [[4], [6], [np.nan]], "", [1, 0, 0]),
    ],
)
def test_label_chooses_the_images(
    kind: str, extra: dict[str, float], targets: list[list[float]], label: str, wanted: list[int]
) -> None:
    outputs = ("a", "b") if kind in ("multilabel", "multiclass") else ("a",)
    task = gvr.Task(kind=kind, outputs=outputs, **extra)
    chosen = with_label(np.array(targets, np.float32), task, label)
    assert chosen.tolist() == [bool(one) for one in wanted]


# Tags


@pytest.mark.parametrize("tag", ["letter", "line", "disc", "gradient"])
def test_tag_is_a_distractor_that_can_be_removed(planted: Plant, tag: str) -> None:
    label, images, truth = fitting(planted(tag=tag, strength=1.0), "test")
    s = truth.structures
    assert s is not None
    assert s.names == ("nodule", "tag")
    np.testing.assert_array_equal(s.present[:, 1], label)
    assert s.distractor[:, 1].all()
    assert s.cause[:, 0].all()
    np.testing.assert_array_equal(truth.distractor, s.mask[:, 1])
    without = s.removed[label, 1, 0].astype(int)
    gain = images[label, 0] - without
    assert gain[s.mask[label, 1]].mean() > 10
    far = ~s.mask[label, 1] & (np.arange(64) > 40)
    assert np.abs(gain[far]).mean() < 1
    # The twin without the finding keeps the tag.
    assert (
        truth.counterfactual[label, 0][s.mask[label, 1]] > without[s.mask[label, 1]]
    ).mean() > 0.8


def test_tag_strength_is_a_probability(planted: Plant) -> None:
    data = planted(tag="disc", strength=0.75, copies=40)
    selection = data.selection("train")
    sources = data.read_sources(selection, np.arange(len(selection.rows)))
    tagged = np.array([data._tag(source) is not None for source in sources])
    assert abs(tagged[selection.positive].mean() - 0.75) < 0.08
    assert abs(tagged[~selection.positive].mean() - 0.25) < 0.08


# The outline as the label


def test_shape_gives_both_classes_a_plant(planted: Plant) -> None:
    data = planted(plant="shape")
    selection = data.selection("train")
    for source in data.read_sources(selection, np.arange(6)):
        plain, unit, _ = data.unit_change(source)
        smooth = plain - source.pixels
        assert smooth.max() > 0.05
        region = data.region(source)
        dark = np.maximum(dark_share(source.pixels, region), 1e-9)
        spiculated = smooth / data.amplitude + unit
        np.testing.assert_allclose(
            (smooth / data.amplitude / dark).sum(), (spiculated / dark).sum()
        )


# Blending


def test_foreign_patch_of_same_gradients_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.uniform(0.2, 0.8, (1, 20, 20))
    patch = np.zeros((20, 20), bool)
    patch[5:12, 6:14] = True
    np.testing.assert_allclose(mixed_seamless(pixels, pixels + 0.1, patch), 0, atol=1e-12)


def test_foreign_structure_arrives_on_flat_ground() -> None:
    """A blob within the patch has all of the gradients, so that it is added as it is."""
    y, x = np.mgrid[:24, :24]
    blob = np.clip(1 - np.hypot(y - 12, x - 12) / 5, 0, None)[None]
    patch = np.hypot(y - 12, x - 12) < 8
    change = mixed_seamless(np.full((1, 24, 24), 0.3), 0.7 + 0.2 * blob, patch)
    np.testing.assert_allclose(change, 0.2 * blob, atol=1e-9)


# Place


def test_lungs_are_guessed_where_they_stand_out() -> None:
    base = gvr.open_dataset("phantom", SMALL, "quick")
    guesses = [guess_lungs(picture / 255) for picture in base.split("train").images(np.arange(30))]
    found = [lungs for lungs in guesses if lungs.any()]
    assert len(found) >= 27
    for lungs in found:
        assert lungs[:, :32].any()
        assert lungs[:, 32:].any()
        assert not lungs[:, 31:33].any()  # the spine


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_flat_image_has_no_lungs(level: float) -> None:
    assert not guess_lungs(np.full((1, 32, 32), level)).any()


def in_digits(**settings: object) -> Planted:
    size = settings.pop("size", 32)
    return Planted(Planted.Settings(dataset="digits", base={"size": size}, **settings))


def test_digits_get_findings_anywhere() -> None:
    assert in_digits().place == "anywhere"


def test_centre_keeps_its_distance() -> None:
    region = np.zeros((40, 40), bool)
    region[10:30, 10:30] = True
    rng = np.random.default_rng(0)
    for _ in range(50):
        row, column = draw_centre(region, 6, rng)
        assert 15 <= row < 25
        assert 15 <= column < 25
    with pytest.raises(DoesNotFitError, match="nowhere 24 pixels wide"):
        draw_centre(region, 12, rng)


def test_findings_lie_in_the_masks(tmp_path: Path) -> None:
    data = Radiographs(tmp_path / "own", cells="01").planted()
    assert data.place == "masks"
    _, truth = everything(data.split("train"))
    rows, columns = np.nonzero(truth.mask.any(axis=0))
    assert rows.min() >= 17
    assert rows.max() < 47
    assert columns.min() >= 8
    assert columns.max() < 26


def test_images_without_mask_use_the_guess(tmp_path: Path) -> None:
    data = Radiographs(tmp_path / "own", share=0.5, cells="01").planted(copies=2, skip=0.5)
    _, _, truth = fitting(data, "train")
    assert truth.mask[:, :, 36:].any()
    split = Radiographs(tmp_path / "other", share=0.5).planted(place="masks").split("train")
    with pytest.raises(gvr.DataError, match="it has no mask of the lungs"):
        everything(split)


def test_folder_of_masks_serves_without_a_column(tmp_path: Path) -> None:
    own = Radiographs(tmp_path / "own", share=0, cells="01")
    assert own.planted().place == "lungs"
    assert own.planted(base={"lung_masks": "masks"}).place == "masks"


def test_images_of_one_label_are_planted_by_half(tmp_path: Path) -> None:
    own = Radiographs(tmp_path / "own", cells="0")
    with pytest.raises(gvr.DataError, match=r"nothing to tell apart.*add task=none"):
        own.planted().split("train")
    for name in SPLITS:
        split = own.planted(base={"task": "none"}, copies=1).split(name)
        assert len(split) > 4
        assert abs(2 * int(split.targets.sum()) - len(split)) <= 1


# Bad input: one line each


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("planted", "name it: planted:digits"),
        ("planted:folde", "unknown dataset 'folde'; did you mean 'folder'"),
        ("planted:folder", "was given no folder to look in"),
        ("planted:phantom,base.sice=3", "has no setting 'sice'; did you mean 'size'"),
        ("planted:phantom,label=TB", "label=TB is none of what the images show; known: BNP, all"),
        ("planted:digits,plant=effusion", "plant=effusion needs lungs: 'digits' has no masks"),
        ("planted:digits,place=masks", "'digits' has no masks of lungs; add the column lung_mask"),
        ("planted:phantom,base.test=1", "of the test split of 'phantom' are without a finding"),
        ("planted:phantom,amplitude=1.5", "amplitude='1.5': Input should be less than or equal"),
    ],
)
def test_bad_input_is_one_line(cli, typed: str, line: str) -> None:
    result = cli("run", "--dataset", typed, "--explainer", "saliency", "--dry-run")
    assert line in result.err.replace("\n", " ")
    assert result.code == 2
    assert len(result.err.splitlines()) == 1


def test_amplitude_that_clips_names_the_largest(planted: Plant) -> None:
    data = planted(amplitude=0.95)
    with pytest.raises(
        gvr.DataError, match=r"amplitude=0.95 clips; at most 0\.\d\d fits"
    ) as caught:
        everything(data.split("test"))
    assert len(caught.value.unreadable) > 3


def test_plant_smaller_than_pixels_does_not_fit() -> None:
    split = in_digits(size=8).split("test")
    with pytest.raises(gvr.DataError, match="pixels at this size; use larger images"):
        everything(split)


# Checks


def noise_images(n: int, size: int = 48) -> NDArray[np.float64]:
    return np.random.default_rng(0).normal(120, 6, (n, 1, size, size))


def area(images: NDArray[np.float64], hidden: NDArray[np.bool_]) -> float:
    """AUROC of the forensic classifier where every second image has the finding."""
    label = np.arange(len(images)) % 2 == 1
    scores = forensic_scores(images.round().astype(np.uint8), hidden, label, 0)
    return float(roc_auc_score(label, scores))


def test_forensic_classifier_finds_traces() -> None:
    """Noise a third as strong as the image's own, or rounding to even levels, gives it away."""
    images, hidden = noise_images(120), np.zeros((120, 48, 48), bool)
    traced = images[1::2] + np.random.default_rng(1).normal(0, 2, images[1::2].shape)
    even = 2 * np.rint(images[1::2] / 2)
    assert abs(area(images, hidden) - 0.5) < 0.15
    for changed in (traced, even):
        images[1::2] = changed
        assert area(images, hidden) > 0.9


def test_forensic_classifier_does_not_see_the_mask() -> None:
    images, hidden = noise_images(120), np.zeros((120, 48, 48), bool)
    images[1::2, :, 20:28, 20:28] = 255
    assert area(images, hidden) > 0.9
    hidden[:, 20:28, 20:28] = True
    assert abs(area(images, hidden) - 0.5) < 0.15


def test_planting_leaves_no_traces(planted: Plant) -> None:
    measured = dict(measure(planted(tag="letter")))
    assert measured["traces outside the mask"].endswith("at chance")
    assert measured["tag"] == "letter: P(tag | nodule) = 0.95, else 0.05"
    line = measured["visible where its place is known"]
    assert "0.25 (this one)" in line
    areas = [float(part.split(": ")[1]) for part in line.split("amplitude ")[1].split(", ")]
    assert areas == sorted(areas)
    assert areas[-1] > 0.9


def test_mask_of_the_whole_image_is_a_caution(tmp_path: Path) -> None:
    own = Radiographs(tmp_path / "own", cells="01")
    own.cover(range(40), 0.98)
    measured = dict(measure(own.planted(copies=1)))
    assert "masks of lungs cover more than 90% of their image (up to 98%)" in measured["caution"]
    first, _, total = measured["caution"].split(" masks")[0].partition(" of ")
    assert first == total


def test_info_prints_the_checks(cli) -> None:
    sizes = "base.size=64,base.train=60,base.validation=20,base.test=30"
    result = cli("datasets", "info", f"planted:phantom,copies=1,skip=0.3,{sizes}")
    assert result.code == 0
    assert "visible where its place is known" in " ".join(result.out.split())


# Real images


def test_real_lungs_are_guessed_well(shared_data) -> None:
    """Guessed without masks, nearly all of it lies in the masks of real radiographs."""
    root = shared_data("shenzhen-cxr")
    base = gvr.open_dataset("folder", {"size": 64, "targets": "tuberculosis"}, "quick", root)
    split = base.split("test")
    index = np.flatnonzero(split.targets[:, 0] == 0)
    assert split.region is not None
    masks, pictures = split.region(index), split.images(index)
    right = []
    for mask, picture in zip(masks, pictures, strict=True):
        lungs = guess_lungs(picture / 255)
        if mask.any() and lungs.any():
            right.append((lungs & mask).sum() / lungs.sum())
    assert len(right) > 0.9 * masks.any(axis=(1, 2)).sum()
    assert np.mean(right) > 0.9


@pytest.mark.slow
def test_real_radiographs_show_no_traces(shared_data) -> None:
    root = shared_data("shenzhen-cxr")
    data = Planted(Planted.Settings(dataset="folder", base={"size": 64}), root)
    measured = dict(measure(data))
    assert measured["traces outside the mask"].endswith("at chance")
    assert measured["place"].startswith("in the mask of the lungs of")
