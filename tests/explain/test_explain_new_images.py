"""New images, explained with the models of a finished run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

import h5py
import numpy as np
import pytest
import tiny
from PIL import Image
from typer.testing import CliRunner

import gvr_bench
from gvr_bench.cli.main import app
from gvr_bench.core.errors import UsageError
from gvr_bench.explain import Trained
from gvr_bench.explain.out_of_distribution import OOD_QUANTILE, ood_warning
from gvr_bench.report.file_names import file_names

GVR = "gvr:steps=30,learning_rate=0.2"
HOSTILE = "<script>alert(1)</script>".replace("/", "∕") + ' "x" שלום 🫁.png'


def make_run(folder: Path, metrics: str = "validity", **choices: str | list[str]) -> Path:
    """Carry out a tiny run, with its cache beside it; return its folder."""
    out = folder / "run"
    typed = tiny.command(
        "--cache-dir", folder / "cache", "--out", out, metrics=[metrics], **choices
    )
    with pytest.MonkeyPatch.context() as monkeypatch:
        tiny.shorten_trainings(monkeypatch)
        done = CliRunner().invoke(app, [str(word) for word in typed], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return out


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that predicts a value; tests must not change it."""
    return make_run(tmp_path_factory.mktemp("phantom"), "oracle", explainer=[GVR, "saliency"])


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that tells classes apart, with two heads; tests must not change it."""
    return make_run(
        tmp_path_factory.mktemp("digits"),
        dataset="digits",
        head=["linear:steps=20", "mlp:steps=20"],
        explainer=[GVR, "grad-cam"],
    )


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with several findings; tests must not change it."""
    data = "phantom:size=32,train=64,validation=16,test=32,task=findings"
    return make_run(tmp_path_factory.mktemp("findings"), dataset=data, explainer=GVR)


def opened(run: Path, **more: Any) -> Trained:
    return gvr_bench.load(run, cache=run.parent / "cache", device="cpu", **more)


@pytest.fixture(scope="module")
def model(phantom: Path) -> Trained:
    return opened(phantom)


def recorded(run: Path, *names: str) -> list[np.ndarray]:
    with h5py.File(run / "cases.h5") as file:
        return [file[f"0/{name}"][:] for name in names]


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def case(phantom: Path, tmp_path: Path) -> Path:
    """The first case of the run as a file."""
    return save(tmp_path / "images/case.png", recorded(phantom, "input")[0][0, 0])


@pytest.fixture
def explain(cli: Any, phantom: Path) -> Callable[..., Any]:
    """Type `gvr-bench explain` with the cache of a run."""

    def type_in(*words: object, run: Path = phantom) -> Any:
        more = ("--run", run, "--cache-dir", run.parent / "cache", "--device", "cpu")
        return cli("explain", *words, *more)

    return type_in


def answers(folder: str = "explained-run") -> Any:
    return json.loads(Path(folder, "explanations.json").read_text(encoding="utf-8"))


# What cannot be done.


def test_missing_run_is_named(cli: Any, case: Path, phantom: Path, tmp_path: Path) -> None:
    nowhere = cli("explain", case, "--run", tmp_path / "nowhere").fault
    assert "there is no run at" in nowhere
    assert "nowhere" in nowhere
    assert "is not the folder of a run" in cli("explain", case, "--run", tmp_path).fault
    file = cli("explain", case, "--run", phantom / "spec.toml").fault
    assert f"name the folder of the run it is in: {phantom}" in file


def test_missing_model_error_has_command(
    cli: Any, case: Path, phantom: Path, tmp_path: Path
) -> None:
    fault = cli("explain", case, "--run", phantom, "--cache-dir", tmp_path / "other").fault
    assert "data phantom is not in the cache" in fault
    assert (
        f"gvr-bench run {phantom}/spec.toml --cache-dir {tmp_path}/other --out {phantom}" in fault
    )
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("harm", ["shorter", "same size"])
def test_damaged_model_is_refused(harm: str, explain: Any, case: Path, phantom: Path) -> None:
    (file,) = (phantom.parent / "cache/head").glob("linear-*/weights.safetensors")
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] if harm == "shorter" else whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        fault = explain(case).fault
    finally:
        file.write_bytes(whole)
    assert "head linear is damaged in" in fault
    assert "compute it again with: gvr-bench run" in fault


def test_model_of_other_version_is_refused(
    explain: Any, case: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gvr_encoders.conv.ConvEncoder.version", "changed")
    assert "used another encoder conv" in explain(case).fault


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--output", "BNPP"), "the model has no output 'BNPP'; did you mean 'BNP'?"),
        (("--target-class", "4"), "this model predicts BNP; leave it out"),
        (("--explainer", "salience"), "unknown explainer 'salience'; did you mean 'saliency'?"),
        (("--explainer", "gvr:step=3"), "no setting 'step'; did you mean 'steps'?"),
        (("--head", "mlp"), "has no head 'mlp'; known: linear"),
        (("--seed", "1"), "has no seed '1'; known: 0"),
    ],
)
def test_unknown_names_are_refused(
    words: tuple[str, ...], says: str, explain: Any, case: Path
) -> None:
    assert says in explain(case, *words).fault


def test_several_models_must_be_selected(explain: Any, digits: Path, case: Path) -> None:
    assert (
        "has 2 models; choose one: --head linear or --head mlp" in explain(case, run=digits).fault
    )


def test_run_folder_is_not_overwritten(explain: Any, case: Path, phantom: Path) -> None:
    before = (phantom / "index.html").read_bytes()
    assert "choose another with --out DIR" in explain(case, "--out", phantom).fault
    assert (phantom / "index.html").read_bytes() == before


def test_unreadable_path_is_named(explain: Any, case: Path, tmp_path: Path) -> None:
    assert f"{tmp_path}/gone.png: No such file" in explain(tmp_path / "gone.png").fault
    assert f"it is a folder; name images, {case.parent}/*.png" in explain(case.parent).fault


def test_decompression_bomb_is_refused(explain: Any, tmp_path: Path) -> None:
    bomb = save(tmp_path / "bomb.png", np.zeros((8, 8), np.uint8))
    header = bytearray(bomb.read_bytes())
    header[16:24] = (9000).to_bytes(4, "big") * 2
    header[29:33] = crc32(bytes(header[12:29])).to_bytes(4, "big")
    bomb.write_bytes(header)
    assert "9,000 x 9,000 pixels, too many" in explain(bomb).fault


def test_unreadable_image_does_not_stop_others(explain: Any, case: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.png"
    cut.write_bytes(case.read_bytes()[:200])
    done = explain(cut, case, "--explainer", "saliency")
    assert done.code == 1
    assert "cut.png" in done.err
    assert "case.png" in done.out
    told = answers()
    assert [one["path"] for one in told["unreadable"]] == [str(cut)]
    assert [one["name"] for one in told["images"]] == ["case.png"]
    assert "Not read: " in Path("explained-run/index.html").read_text(encoding="utf-8")


def test_failing_explainer_does_not_stop_others(
    explain: Any, case: Path, packages: tiny.Packages, use_packages: Callable[[], None]
) -> None:
    packages.explainer("gvr-broken", "broken", "raise ZeroDivisionError('oh')")
    packages.explainer("gvr-picky", "picky", "raise gvr.Unsupported('not for this model')")
    use_packages()
    done = explain(case, *("--explainer", "broken"), *("--explainer", "picky"),
                   *("--explainer", "saliency"))  # fmt: skip
    assert done.code == 1
    told = answers()["images"][0]["explanations"][0]["results"]
    assert [(a["status"], a["reason"]) for a in told] == [
        ("failed", "ZeroDivisionError: oh"),
        ("n/a", "not for this model"),
        ("ok", ""),
    ]


def test_too_many_cases_are_refused(
    explain: Any, case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gvr_bench.explain.folder.MAX_CASES", 1)
    other = save(tmp_path / "other.png", np.asarray(Image.open(case)))
    fault = explain(case, other, "--output", "BNP").fault
    assert "2 outputs to explain; explain at most 1 at a time" in fault


def test_unwritable_folder_is_named(explain: Any, case: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    fault = explain(case, "--out", tmp_path / "file/inside").fault
    assert "choose another folder with --out DIR" in fault


# What is answered.


def test_oracle_of_run_predicts_too(explain: Any, case: Path, phantom: Path) -> None:
    made = "explainers/gvr/oracle_after"
    before, after = recorded(phantom, "oracle", made)
    assert explain(case, "--output", "BNP").code == 0
    (explanation,) = answers()["images"][0]["explanations"]
    assert explanation["oracle"] == pytest.approx(before[0], rel=1e-4)
    assert explanation["results"][0]["oracle_after"] == pytest.approx(after[0], rel=1e-3)


@pytest.mark.parametrize("explainer", ["gvr", "saliency"])
def test_explanations_equal_those_of_run(explainer: str, model: Trained, phantom: Path) -> None:
    made = f"explainers/{explainer}"
    images, attribution, before = recorded(phantom, "input", f"{made}/attribution", "prediction")
    found = model.explain(list(images[:, 0]), explainer=explainer)
    np.testing.assert_allclose([one.attribution for one in found], attribution, atol=1e-5)
    np.testing.assert_allclose([one.prediction for one in found], before, rtol=1e-5)
    if explainer == "gvr":
        after, got, seen = recorded(
            phantom, f"{made}/prediction_after", f"{made}/success", "predicts_source"
        )
        np.testing.assert_allclose([one.prediction_after for one in found], after, rtol=1e-4)
        # There is nothing to flip where the model does not predict the output.
        expected = [
            bool(flipped) if known else None for flipped, known in zip(got, seen, strict=True)
        ]
        assert [one.success for one in found] == expected


def test_batch_does_not_change_explanation(model: Trained, phantom: Path) -> None:
    (images,) = recorded(phantom, "input")
    alone, among = model.explain(images[1]), model.explain(list(images))[1]
    np.testing.assert_allclose(alone.attribution, among.attribution, atol=1e-5)
    assert alone.steps == among.steps


def test_rationale_has_plain_arrays(model: Trained, case: Path, tmp_path: Path) -> None:
    rationale = model.explain(case)
    assert rationale.image.shape == rationale.reconstruction.shape == (1, 32, 32)
    assert rationale.counterfactual is not None
    assert rationale.counterfactual.shape == (1, 32, 32)
    assert (rationale.attribution.shape, rationale.attribution.dtype) == ((32, 32), np.float32)
    np.testing.assert_allclose(
        rationale.attribution, (rationale.reconstruction - rationale.counterfactual)[0], atol=1e-5
    )
    assert (rationale.output, rationale.target_class, rationale.unit) == ("BNP", None, "ng/L")
    assert rationale.prediction == pytest.approx(model.predict(case)["BNP"])
    rationale.save(tmp_path / "rationale.png")
    with Image.open(tmp_path / "rationale.png") as picture:
        assert picture.width > 3 * 512


def test_image_formats_give_equal_explanations(model: Trained, case: Path) -> None:
    pixels = np.asarray(Image.open(case))
    forms = [
        str(case),
        Image.open(case),
        pixels,
        pixels[None],
        pixels[:, :, None],
        np.repeat(pixels[:, :, None], 3, axis=2),
        (pixels / 127.5 - 1).astype(np.float32),
    ]
    first, *rest = model.explain(forms, explainer="saliency")
    for one in rest:
        np.testing.assert_array_equal(one.image, first.image)
        np.testing.assert_allclose(one.attribution, first.attribution, atol=1e-6)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (np.full((8, 8), 0.5), "floats from 0.5 to 0.5; the range is -1"),
        (np.full((8, 8), np.nan), "floats from nan to nan"),
        (np.zeros((8, 8), np.int64), "cannot explain an array of int64"),
        (np.zeros((2, 8, 8, 3), np.uint8), "shape (2, 8, 8, 3); one image is (H, W)"),
        (np.zeros((0, 8), np.uint8), "shape (0, 8)"),
        (Image.new("F", (8, 8)), "has the mode F, which cannot be read; convert it"),
        (7, "cannot explain a int; give a path"),
    ],
)
def test_invalid_arrays_are_refused(wrong: Any, says: str, model: Trained) -> None:
    with pytest.raises(UsageError, match=r"cannot|has the mode") as refused:
        model.explain(wrong)
    assert says in str(refused.value)


def test_colour_photo_is_converted_and_marked(explain: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    photo = save(tmp_path / "photo.jpg", rng.integers(0, 256, (90, 160, 3), np.uint8))
    done = explain(photo, "--output", "BNP", "--explainer", "saliency")
    assert done.code == 0
    assert "unlike the images of the run" in done.out
    assert "unlike the images of the run" in answers()["images"][0]["warning"]
    page = Path("explained-run/index.html").read_text(encoding="utf-8")
    assert "1 of 1 images is unlike the images of the run" in page


def test_own_images_rarely_get_warnings(model: Trained) -> None:
    pixels = model.stage_ctx(model.combination.head_stage).images("test").pixels
    seen = model.predict_batch(pixels.numpy())
    marked = [bool(model.reference.warning(seen, i)) for i in range(len(pixels))]
    assert np.mean(marked) <= 2 / 32
    black = model.predict_batch(np.zeros((1, 1, 32, 32), np.uint8))
    assert model.reference.warning(black, 0)


def test_ood_reference_uses_test_images(model: Trained) -> None:
    pixels = model.stage_ctx(model.combination.head_stage).images("test").pixels.numpy()
    seen = model.predict_batch(pixels)
    rebuilt = np.abs(seen.reconstruction - (pixels / 127.5 - 1)).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(seen.error, rebuilt, rtol=1e-5)
    assert model.reference.images == len(pixels)
    assert model.reference.error == pytest.approx(np.quantile(rebuilt, OOD_QUANTILE), rel=1e-4)
    assert model.reference.distance == pytest.approx(
        np.quantile(seen.distance, OOD_QUANTILE), rel=1e-3
    )
    assert model.reference.distance > 0


@pytest.mark.parametrize(
    ("error", "distance", "says"),
    [
        (0.1, 9.0, ""),
        (0.3, 9.0, "reconstruction error 0.3, usually below 0.2"),
        (0.1, 20.0, "distance of the latent 20, usually below 10"),
        (float("nan"), 9.0, "reconstruction error nan"),
    ],
)
def test_either_limit_gives_warning(error: float, distance: float, says: str) -> None:
    told = ood_warning(error, 0.2, distance, 10.0)
    assert bool(told) == bool(says)
    assert says in told


def test_hostile_names_get_own_files(explain: Any, case: Path, tmp_path: Path) -> None:
    pixels = np.asarray(Image.open(case))
    names = ["a/x.png", "b/x.png", HOSTILE, "new\nline\x1b[31m.png"]
    paths = [save(tmp_path / name, pixels) for name in names]
    done = explain(*paths, "--output", "BNP", "--explainer", "saliency", "--out", "it's")
    assert done.code == 0
    assert "\x1b" not in done.out
    told = answers("it's")["images"]
    drawn = [
        explanation["results"][0]["picture"] for one in told for explanation in one["explanations"]
    ]
    assert len(set(drawn)) == len(paths)
    assert all((Path("it's") / picture).is_file() for picture in drawn)
    assert [one["name"] for one in told[:3]] == [*map(str, paths[:2]), HOSTILE]
    page = Path("it's/index.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_unpredicted_outputs_are_skipped(explain: Any, findings: Path, tmp_path: Path) -> None:
    pixels = recorded(findings, "input")[0][:, 0]
    paths = [save(tmp_path / f"{i}.png", one) for i, one in enumerate(pixels)]
    assert explain(*paths, run=findings).code == 0
    model = opened(findings)
    limits = dict(zip(model.task.outputs, model.decision.threshold, strict=True))
    for one in answers()["images"]:
        seen = {name for name, value in one["predictions"].items() if value >= limits[name]}
        assert {explanation["output"] for explanation in one["explanations"]} == seen
        assert bool(one["note"]) == (not seen)


def test_named_output_is_always_explained(explain: Any, findings: Path, case: Path) -> None:
    names = opened(findings).task.outputs[:2]
    words = [word for name in names for word in ("--output", name)]
    assert explain(case, *words, run=findings).code == 0
    asked = answers()["images"][0]["explanations"]
    assert [one["output"] for one in asked] == list(names)
    pictures = [Path(one["results"][0]["picture"]).parent.name for one in asked]
    assert pictures == [f"case-{name}" for name in file_names(names)]


def test_classes_go_from_predicted_to_target(explain: Any, digits: Path, tmp_path: Path) -> None:
    pixels = recorded(digits, "input")[0][0, 0]
    image = save(tmp_path / "nine.png", pixels)
    model = opened(digits, head="mlp")
    likeliest = sorted(model.predict(image).items(), key=lambda found: -found[1])
    first, second = likeliest[0][0], likeliest[1][0]
    wanted = "4" if first != "4" else second
    assert explain(image, "--head", "mlp", run=digits).code == 0
    (explanation,) = answers()["images"][0]["explanations"]
    assert (explanation["output"], explanation["target_class"], explanation["predicted"]) == (
        first,
        wanted,
        True,
    )
    other = next(name for name in "0123456789" if name not in (first, wanted))
    assert explain(image, "--head", "mlp", "--target-class", other, run=digits).code == 0
    assert answers()["images"][0]["explanations"][0]["target_class"] == other
    assert explain(image, "--head", "mlp", "--output", other, run=digits).code == 0
    (explanation,) = answers()["images"][0]["explanations"]
    assert (explanation["output"], explanation["predicted"]) == (other, False)
    done = explain(image, "--head", "mlp", "--target-class", first, run=digits)
    assert done.code == 0
    assert answers()["images"][0]["explanations"] == []
    assert "is already predicted" in answers()["images"][0]["note"]
    with pytest.raises(UsageError, match="already predicted"):
        model.explain(image, target_class=first)


def test_json_output_equals_file(explain: Any, case: Path) -> None:
    done = explain(case, case, "--output", "BNP", "--json")
    assert done.code == 0
    told = json.loads(done.out)
    assert told == answers()
    (image,) = told["images"]
    assert len(image["sha256"]) == len(told["keys"]["head"]) == 64
    assert [a["explainer"] for a in image["explanations"][0]["results"]] == ["gvr", "saliency"]


def test_arrays_are_written_as_floats(explain: Any, case: Path, model: Trained) -> None:
    assert explain(case, "--output", "BNP").code == 0
    rationale = model.explain(case)
    with h5py.File("explained-run/explanations.h5") as file:
        assert file["name"].asstr()[:].tolist() == ["case.png"]
        np.testing.assert_allclose(
            file["explainers/gvr/attribution"][0], rationale.attribution, atol=1e-6
        )
        np.testing.assert_allclose(
            file["explainers/gvr/counterfactual"][0], rationale.counterfactual, atol=1e-6
        )
        np.testing.assert_allclose(file["image"][0], rationale.image)


def test_page_is_redrawn_from_folder(explain: Any, cli: Any, case: Path) -> None:
    assert explain(case, "--output", "BNP").code == 0
    page = Path("explained-run/index.html")
    before = page.read_bytes()
    page.unlink()
    done = cli("report", "explained-run")
    assert (done.code, page.read_bytes()) == (0, before)
    assert "case.png" in done.out


def test_importing_package_loads_no_torch() -> None:
    code = (
        "import sys, gvr_bench; sys.exit('torch' in sys.modules or 'load' not in gvr_bench.__all__)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
