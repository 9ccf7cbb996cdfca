"""Discovery: whatever is wrong with one plugin is a row, and the others work."""

from __future__ import annotations

import pytest
from tiny import ROWS, Packages

from gvr_bench.core.errors import PluginError, UsageError
from gvr_bench.registry.registry import Registry

HOOK = "import gvr_bench.api as gvr\n\n@gvr.hookimpl\ndef gvr_plugins():\n    "


def row(name: str, kind: str = "explainer", api: int = 1, needs: str = "()", target: str = "m:C"):
    return ROWS.format(api=api, kind=kind, name=name, target=target, needs=needs)


def reason(packages: Packages) -> str:
    """Why the one made-up package is broken; the real ones must be as they were."""
    found = packages.registry()
    assert {"gvr", "saliency", "random"} <= set(found.names("explainer"))
    (broken,) = found.broken
    assert broken.distribution == "rotten 1.0"
    assert "\n" not in broken.problem
    return broken.problem


def problem(found: Registry, name: str) -> str:
    (one,) = [r for r in found.rows if r.plugin.name == name]
    return one.problem


def test_import_error_is_shown(packages: Packages) -> None:
    packages.add("rotten", "import no_such_library")
    assert reason(packages) == "ModuleNotFoundError: No module named 'no_such_library'"


def test_syntax_error_is_shown(packages: Packages) -> None:
    packages.add("rotten", "def gvr_plugins(:")
    assert reason(packages).startswith("SyntaxError")


def test_system_exit_is_caught(packages: Packages) -> None:
    packages.add("rotten", "raise SystemExit('no licence')")
    assert reason(packages) == "SystemExit: no licence"


def test_misspelt_hook_gets_suggestion(packages: Packages) -> None:
    packages.add("rotten", HOOK.replace("gvr_plugins", "gvr_plugin") + "return []")
    assert reason(packages) == "unknown hook 'gvr_plugin'; did you mean 'gvr_plugins'?"


def test_unmarked_hook_is_refused(packages: Packages) -> None:
    packages.add("rotten", "def gvr_plugins():\n    return []")
    assert "no hook implementation" in reason(packages)
    assert "gvr_plugins" in reason(packages)


def test_unknown_hook_argument_is_refused(packages: Packages) -> None:
    source = HOOK.replace("gvr_plugins()", "gvr_stage_finished(colour)") + "pass"
    packages.add("rotten", source)
    assert "gvr_stage_finished" in reason(packages)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("return 7", "TypeError"),
        ("yield 'saliency'", "yielded 'saliency', not a Plugin"),
        ("raise OSError('no such disk')", "OSError: no such disk"),
        ("yield gvr.Plugin(1, 'explainer', ['a'], 'm:C', 's')", "whose name is not text"),
        ("yield gvr.Plugin(1, 'explainer', 'a', None, 's')", "whose target is not text"),
        ("yield gvr.Plugin(1, 'explainer', 'a', 'm:C', 's', 'captum')", "whose needs is not a"),
        ("yield gvr.Plugin(1, 'explainer')", "TypeError"),
    ],
)
def test_invalid_plugin_objects_are_shown(packages: Packages, body: str, why: str) -> None:
    packages.add("rotten", HOOK + body)
    assert why in reason(packages)


def test_other_api_version_is_named(packages: Packages) -> None:
    packages.add("future", row("later", api=2))
    found = packages.registry()
    assert problem(found, "later") == "written for plugin API 2; this is 1"
    assert "later" not in found.names("explainer")
    with pytest.raises(PluginError, match=r"^explainer 'later' from future 1\.0: written for"):
        found.component("explainer", "later")


def test_unknown_kind_gets_suggestion(packages: Packages) -> None:
    packages.add("kinds", row("thing", kind="explaner"))
    assert problem(packages.registry(), "thing").endswith("did you mean 'explainer'?")


@pytest.mark.parametrize("module", ["no_such_library", "no_such_library.part", "json.no_such_part"])
def test_missing_library_has_install_command(packages: Packages, module: str) -> None:
    packages.add("needy", row("needs", needs=f"('json', '{module}')"))
    found = packages.registry()
    assert problem(found, "needs") == f"needs {module}: pip install {module}"
    assert "saliency" in found.names("explainer")


def test_name_clash_disables_both(packages: Packages) -> None:
    packages.add("first", row("twin"))
    packages.add("second", row("twin"))
    found = packages.registry()
    clash = "name clash between first 1.0 and second 1.0; uninstall one, or rename it"
    both = [(r.distribution, r.problem) for r in found.rows if r.plugin.name == "twin"]
    assert both == [("first 1.0", clash), ("second 1.0", clash)]
    with pytest.raises(PluginError, match="name clash between first"):
        found.component("explainer", "twin")
    assert "saliency" in found.names("explainer")


def test_kinds_may_share_a_name(packages: Packages) -> None:
    packages.add("first", row("twin"))
    packages.add("second", row("twin", kind="head"))
    assert {r.problem for r in packages.registry().rows} == {""}


@pytest.mark.parametrize(
    ("module", "why"),
    [
        ("import no_such_library", "does not load: ModuleNotFoundError"),
        ("raise SystemExit(3)", "does not load: SystemExit: 3"),
        ("Other = 1", "does not load: made_class has no 'Made'"),
        ("Made = 3", "is not a gvr_bench.api.Explainer"),
        ("import gvr_bench.api as g\nclass Made(g.Head): ...", "is not a gvr_bench.api.Explainer"),
        ("import gvr_bench.api as g\nclass Made(g.Explainer): ...", "lacks explain"),
    ],
)
def test_unusable_class_is_named(packages: Packages, module: str, why: str) -> None:
    packages.add("made-up", row("made", target="made_class:Made"), made_class=module)
    found = packages.registry()
    assert problem(found, "made") == ""
    with pytest.raises(PluginError) as caught:
        found.component("explainer", "made")
    assert str(caught.value).startswith("explainer 'made' from made-up 1.0")
    assert why in str(caught.value)


def test_unknown_name_gets_suggestion(registry: Registry) -> None:
    with pytest.raises(
        UsageError, match=r"^unknown explainer 'salency'; did you mean 'saliency'\?"
    ):
        registry.component("explainer", "salency")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"iteration": "3"}, "has no setting 'iteration'; did you mean 'iterations'?"),
        ({"iterations": "0"}, "iterations='0': Input should be greater than or equal to 1"),
        ({"iterations": "many"}, "iterations='many': Input should be a valid integer"),
        ({"penalty": "nan"}, "penalty='nan': Input should be"),
    ],
)
def test_invalid_setting_is_named(registry: Registry, given: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        registry.settings("generator", "wgan-gp", "quick", given)
    assert str(caught.value).startswith("generator 'wgan-gp'")
    assert message in str(caught.value)


def test_component_without_settings_refuses_them(registry: Registry) -> None:
    with pytest.raises(UsageError, match="'edge' has no setting 'width'; it has no settings"):
        registry.settings("explainer", "edge", "quick", {"width": "3"})


def test_overrides_beat_profile_beats_default(registry: Registry) -> None:
    def settings(profile: str, **given: str) -> tuple[int, int]:
        made = registry.settings("generator", "wgan-gp", profile, given)[1].model_dump()
        return made["iterations"], made["critic_steps"]

    assert settings("paper") == (200_000, 4)
    assert settings("quick")[0] < 200_000
    assert settings("quick", iterations="7", critic_steps="2") == (7, 2)


def test_raising_listener_is_a_warning(packages: Packages) -> None:
    source = HOOK.replace("gvr_plugins()", "gvr_stage_finished(kind, seconds)")
    packages.add("noisy", source + "raise RuntimeError(f'{kind} took {seconds}')")
    packages.add("quiet", source + "heard.append((kind, seconds))\n\nheard = []")
    found = packages.registry()
    assert found.notify("gvr_stage_finished", {"kind": "head", "seconds": 1.5}) == [
        "noisy:noisy: gvr_stage_finished: RuntimeError: head took 1.5"
    ]
    quiet = found.hooks.get_plugin("quiet:quiet")
    assert quiet.heard == [("head", 1.5)]
