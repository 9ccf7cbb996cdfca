"""Every mistake of a plugin's author is one line that names the plugin and says what to write."""

from __future__ import annotations

import pytest
from tiny import ROWS, Packages, command, records_of
from typer.testing import CliRunner

from gvr_bench.cli.main import app
from gvr_bench.core.errors import PluginError

IN_A_RUN = {
    "nothing": ("return x.sum(1)", "returned Tensor, not an Explanation; end with: return gvr."),
    "array": (
        "return gvr.Explanation(x.numpy())",
        "attribution is ndarray, not a tensor; use torch.as_",
    ),
    "channels": (
        "return gvr.Explanation(attribution=x)",
        "attribution has shape (2, 1, 32, 32), not (2, 32, 32); return one map per image, "
        "e.g. attribution.sum(",
    ),
    "double": (
        "return gvr.Explanation(attribution=x.sum(1).double())",
        "attribution is float64, not float32; end with attribution.to(torch.float32)",
    ),
    "infinite": (
        "return gvr.Explanation(attribution=x.sum(1) / 0)",
        "attribution contains NaN or infinity; look",
    ),
    "weights": (
        "next(model.head.parameters()).add_(1); return gvr.Explanation(attribution=x.sum(1))",
        "changed the weights head.1.weight; work on a copy, e.g. copy.deepcopy(model.encoder)",
    ),
    "mode": (
        "model.encoder.train(); return gvr.Explanation(attribution=x.sum(1))",
        "switched train or eval mode of encoder and ",
    ),
    "gradient": (
        "model.head.requires_grad_(); model(x).sum().backward(); "
        "return gvr.Explanation(attribution=x.sum(1))",
        "left a gradient in head.1.weight, or switched its requires_grad and 1 more; use "
        "torch.auto",
    ),
    "hook": (
        "model.encoder.register_forward_hook(print); return gvr.Explanation(attribution=x.sum(1))",
        "added a hook to encoder, or removed one; remove each handle in a finally",
    ),
    "input": (
        "x.mul_(0); return gvr.Explanation(attribution=x.sum(1))",
        "changed x in place; begin with x = x.detach().clone()",
    ),
    "reason": (
        "return gvr.Explanation(x.sum(1), x, success=x[:, 0, 0, 0] > 9, reason=('',) * len(x))",
        "reason is empty for a failure, or set for a success; give a reason for each",
    ),
    "undeclared": (
        "return gvr.Explanation(x.sum(1) + ctx.reference.outputs.mean())",
        "reads ctx.reference, which only explainers that declare it have; write uses_reference = ",
    ),
    "unpictured": (
        "return gvr.Explanation(x.sum(1), success=x[:, 0, 0, 0] > 9)",
        "success is set and counterfactual is not; set both or neither",
    ),
}


@pytest.fixture(scope="module")
def reasons(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Why each explainer of a run that makes a mistake has no scores."""
    folder = tmp_path_factory.mktemp("mistakes")
    with pytest.MonkeyPatch.context() as patch:
        packages = Packages(folder / "site", patch)
        for name, (body, _) in IN_A_RUN.items():
            packages.explainer(f"made-{name}", name, body)
        found = packages.registry()
        patch.setattr("gvr_bench.registry.registry.installed", lambda: found)
        typed = command(
            "--cache-dir", f"{folder}/cache", "--out", f"{folder}/run", explainer=list(IN_A_RUN)
        )
        result = CliRunner().invoke(app, typed, catch_exceptions=False)
    assert result.exit_code == 1, result.output
    told: dict[str, set[str]] = {}
    for record in records_of(folder / "run"):
        if record["explainer"]:
            told.setdefault(record["explainer"], set()).add(record["reason"])
    return told


@pytest.mark.parametrize(
    ("name", "told"), [(name, told) for name, (_, told) in IN_A_RUN.items()], ids=IN_A_RUN
)
def test_faulty_explainer_reason_has_fix(
    reasons: dict[str, set[str]], name: str, told: str
) -> None:
    (reason,) = reasons[name]
    assert reason.startswith(f"explainer '{name}': {told}")


SETTINGS = "class Settings(gvr.Settings, arbitrary_types_allowed=True):\n        {}"
EXPLAIN = "def explain(self, model, x, target, ctx): ..."
OF_A_CLASS = {
    "a library that is not there": ("import no_such_library", "No module named 'no_such_library'"),
    "a name that is not there": (
        "class Maid(gvr.Explainer): ...",
        "does not load: made_class has no 'Made'; did you mean 'Maid'?",
    ),
    "no class at all": (
        "",
        "does not load: made_class has no 'Made'; it has no gvr.Explainer",
    ),
    "another kind": ("class Made(gvr.Head): ...", "is not a gvr_bench.api.Explainer"),
    "a method too few": (
        "class Made(gvr.Explainer): ...",
        "made_class:Made lacks explain; define it",
    ),
    "an argument too few": (
        "class Made(gvr.Explainer):\n    def explain(self, model, x): ...",
        "made_class:Made.explain takes (self, model, x); "
        "write def explain(self, model, x, target, ctx)",
    ),
    "no method": (
        "class Made(gvr.Explainer):\n    explain = 3",
        "Made.explain is no method; write def explain(self, model, x, target, ctx)",
    ),
    "an __init__ without settings": (
        f"class Made(gvr.Explainer):\n    def __init__(self): ...\n    {EXPLAIN}",
        "made_class:Made.__init__ takes (self); write def __init__(self, settings)",
    ),
    "settings of another family": (
        f"class Made(gvr.Explainer):\n    class Settings: steps = 3\n    {EXPLAIN}",
        "made_class:Made.Settings is not a gvr_bench.api.Settings; write class Settings(gvr.Setti",
    ),
}


@pytest.mark.parametrize(("source", "told"), OF_A_CLASS.values(), ids=OF_A_CLASS)
def test_unusable_class_is_refused_with_fix(packages: Packages, source: str, told: str) -> None:
    install(packages, source)
    with pytest.raises(PluginError) as caught:
        packages.registry().settings("explainer", "made", "quick", {})
    assert str(caught.value).startswith("explainer 'made' from made-up 1.0")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


OF_SETTINGS = {
    "a function": ("f: object = len", "the setting 'f' is builtin_function_or_method, which JSON"),
    "a path in bytes": ("f: bytes = b'\\xff'", "the setting 'f' is bytes, which JSON cannot hold"),
    "a hidden one": (
        "f: int = __import__('pydantic').Field(3, exclude=True)",
        "the setting 'f' has exclude=True and would not be part of the result's key; remove",
    ),
    "one that comes back as another": (
        "f: int | str = __import__('pydantic').Field('3', union_mode='left_to_right')",
        "the setting 'f' is '3' but 3 when read back from JSON; use numbers, text",
    ),
}


@pytest.mark.parametrize(("setting", "told"), OF_SETTINGS.values(), ids=OF_SETTINGS)
def test_unserializable_setting_is_refused(packages: Packages, setting: str, told: str) -> None:
    source = f"class Made(gvr.Explainer):\n    {SETTINGS.format(setting)}\n    {EXPLAIN}"
    install(packages, source)
    with pytest.raises(PluginError) as caught:
        packages.registry().settings("explainer", "made", "quick", {})
    assert str(caught.value).startswith(f"explainer 'made': {told}")


def test_invalid_profile_blames_plugin(packages: Packages) -> None:
    settings = "class Settings(gvr.Settings):\n        steps: int = 3"
    profiles = "profiles = {'quick': {'stops': 1}}"
    install(packages, f"class Made(gvr.Explainer):\n    {settings}\n    {profiles}\n    {EXPLAIN}")
    with pytest.raises(PluginError, match=r"^explainer 'made': its profile 'quick' sets stops=1"):
        packages.registry().settings("explainer", "made", "quick", {})


def test_raising_init_gives_one_line(packages: Packages, use_packages, cli) -> None:
    init = "def __init__(self, settings):\n        raise ValueError('no licence')"
    install(packages, f"class Made(gvr.Explainer):\n    {init}\n    {EXPLAIN}")
    use_packages()
    done = cli(*command("--dry-run", explainer="made"))
    assert done.fault == "error: explainer 'made': ValueError: no licence"


@pytest.mark.parametrize("target", ["made_class", "made_class.Made", ":Made", "made_class:"])
def test_malformed_target_is_shown(packages: Packages, target: str) -> None:
    install(packages, "class Made(gvr.Explainer): ...", target=target)
    with pytest.raises(PluginError) as caught:
        packages.registry().component("explainer", "made")
    assert str(caught.value) == (
        f"explainer 'made' from made-up 1.0 does not load: its target is '{target}'; "
        "write 'module:Class'"
    )


def test_name_clash_names_both_packages(packages: Packages) -> None:
    for distribution in ("first", "second"):
        packages.add(distribution, ROWS.format(
            api=1, kind="explainer", name="twin", target="m:C", needs="()"
        ))  # fmt: skip
    with pytest.raises(PluginError, match=r"between first .*; uninstall one, or rename it"):
        packages.registry().component("explainer", "twin")


def install(packages: Packages, source: str, target: str = "made_class:Made") -> None:
    """Install an explainer whose class is in `made_class`."""
    row = ROWS.format(api=1, kind="explainer", name="made", target=target, needs="()")
    packages.add("made-up", row, made_class=f"import gvr_bench.api as gvr\n\n{source}\n")


def test_installed_plugins_load(registry) -> None:
    for row in registry.rows:
        if not row.problem:
            registry.component(row.plugin.kind, row.plugin.name)
