"""No file is ever run: what could turn data into code is not called anywhere in the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path
    for folder in ("gvr_bench", "plugins", "datasets")
    for path in (ROOT / folder).rglob("*.py")
)
MODULES = {  # that read objects, run programs or unpack archives
    "pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml", "runpy",
    "code", "codeop", "ctypes", "subprocess", "pty", "tarfile", "zipfile", "xml", "socket",
}  # fmt: skip
CALLS = {
    "eval", "exec", "compile", "__import__", "input", "breakpoint",
    "os.system", "os.popen", "os.execv", "os.spawnv", "os.startfile", "shutil.unpack_archive",
    "archive.extractall", "archive.extract", "tar.extractall",
    "torch.load", "torch.save", "torch.hub.load", "torch.compile",
    "np.load", "np.save", "numpy.load", "np.fromfile", "np.loadtxt",
    "np.genfromtxt", "pd.read_pickle", "extract_vlen",
}  # fmt: skip
KEYWORDS = {"shell", "allow_pickle"}  # true ones
# Where a module is looked up by name: the names are those that installed plugins give.
# The one that loads a user's network calls what the user names, as a program would.
NETWORKS = "plugins/gvr_torch_models/loading.py"
OWN_MODULES = (  # look up the modules of their own package
    "gvr_bench/pipeline/steps/__init__.py",
    "gvr_bench/report/figures/__init__.py",
)
CLUSTER = "gvr_bench/pipeline/executors/ray_cluster.py"  # starts Ray
IMPORTS = {
    "tar.extract": {"gvr_bench/data/fetch.py"},  # with the filter "data"
    "importlib.import_module": {
        "gvr_bench/registry/captum_adapter.py",
        "gvr_bench/registry/validation.py",
        *OWN_MODULES,
        CLUSTER,
        NETWORKS,
    },
    "torch.jit.load": {NETWORKS},
    "torch.export.load": {NETWORKS},
}
DOWNLOAD = {"gvr_bench/data/download.py"}
NETWORK = {"requests": DOWNLOAD, "requests.adapters": DOWNLOAD}
ALLOWED = {
    "ctypes": {"gvr_bench/core/allocator.py"},  # the process's own C library
    "socket": {CLUSTER},
    "subprocess": {CLUSTER, "gvr_bench/pipeline/executors/processes.py"},
    "tarfile": {"gvr_bench/data/fetch.py"},
    "zipfile": {
        "datasets/gvr_datasets/npz.py",
        "datasets/gvr_datasets/region_files.py",  # reads the one member of a table
        NETWORKS,
    },
    "xml.etree.ElementTree": {"gvr_bench/report/figures/svg.py"},  # of SVG that it has just drawn
}


def dotted(node: ast.AST) -> str:
    """`a.b.c` of an expression, or an empty text."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module


def faults(source: str, name: str) -> list[str]:
    """What in a source could run data, by line."""
    tree, faulty = ast.parse(source), []
    for line, module in imported(tree):
        if module.split(".")[0] in MODULES and name not in ALLOWED.get(module, set()):
            faulty.append(f"{name}:{line} imports {module}")
        if module.startswith(("urllib.request", "requests", "httpx")) and name not in NETWORK.get(
            module, set()
        ):
            faulty.append(f"{name}:{line} goes to the network by {module}")
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = dotted(node.func)
        if called in CALLS or (called in IMPORTS and name not in IMPORTS[called]):
            faulty.append(f"{name}:{node.lineno} calls {called}")
        for keyword in node.keywords:
            off = isinstance(keyword.value, ast.Constant) and not keyword.value.value
            if keyword.arg in KEYWORDS and not off:
                faulty.append(f"{name}:{node.lineno} sets {keyword.arg}")
    return faulty


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from joblib import load",
        "import yaml.loader",
        "import torch\ntorch.load('x', weights_only=True)",
        "import numpy as np\nnp.load('x')",
        "import torch\ntorch.jit.load('x')",
        "import torch\ntorch.export.load('x')",
        "f(x, allow_pickle=True)",
        "f(x, shell=flag)",
        "eval('1')",
        "exec(open('x').read())",
        "import subprocess",
        "import importlib\nimportlib.import_module(name)",
        "from urllib.request import urlopen",
        "import os\nos.system('x')",
    ],
)
def test_code_execution_is_noticed(line: str) -> None:
    assert faults(line, "x.py")


def test_harmless_lookalikes_pass() -> None:
    harmless = "net.eval()\nf(x, allow_pickle=False)\nre.compile('x')\nimport codecs\n"
    assert faults(harmless, "x.py") == []


def test_package_never_runs_data() -> None:
    assert len(SOURCES) > 80
    faulty = []
    for path in SOURCES:
        faulty += faults(path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix())
    assert faulty == []
