"""A signal at any moment of a run, from its first import to its last file."""

from __future__ import annotations

import json
import random
import signal
import time
import tomllib
from pathlib import Path

import h5py
from harness import Command, Lab, Outcome

from gvr_bench.cache.artifacts import ArtifactCache
from gvr_bench.cache.gc import verify

SPEC = [
    *("--dataset", "digits", "--device", "cpu", "--max-cases", "8", "--no-controls"),
    *("--generator", "vae:steps=60,width=4", "--encoder", "conv:steps=40,width=4"),
    *("--head", "linear:steps=60", "--explainer", "gvr:steps=20", "--explainer", "saliency"),
    *("--metrics", "validity", "--metrics", "truth"),
]
PARTS = (  # stages that are missing when a run begins, where to interrupt it
    ("generator", "encoder", "latents", "head", "prediction", "cases", "explanations", "scores"),
    ("explanations", "scores"),
    (),
)
RESUME_EVERY = 10  # injections after which a run is carried on to its end


def stop_at_any_moment(lab: Lab, outcome: Outcome, rng: random.Random) -> None:
    """Send SIGINT or SIGTERM at a random moment, and look at all that is left."""
    small = lab.named("moments", SPEC)
    number = rng.choice([signal.SIGINT, signal.SIGTERM])
    cache, out = small.partial_cache(*rng.choice(PARTS)), small.new_folder("run")
    command = small.start(cache, out)
    if rng.random() < 0.4:  # while the folder is written
        command.wait_for(out.is_dir)
        time.sleep(rng.uniform(0, 0.4 * small.seconds))
    else:
        time.sleep(rng.uniform(0, small.seconds))
    command.process.send_signal(number)
    code = command.end()
    outcome.injections += 1
    outcome.expect(code in (0, 128 + number, -number), f"exit {code} after {number.name}")
    check_output(command, outcome)
    for fault in [*faults_of(out), *(str(f) for f in verify(ArtifactCache(cache))[1])]:
        outcome.expect(False, fault)
    if outcome.injections % RESUME_EVERY == 0:
        small.finish(cache, out, outcome)
    small.remove(cache, out)


def check_output(command: Command, outcome: Outcome) -> None:
    """Expect no traceback but of Python itself, which answers while it starts."""
    text = "\n".join(command.lines)
    ours = "Traceback" in text and ("/gvr_bench/" in text or "frozen" not in text)
    outcome.expect(not ours, f"a traceback: {text[-2000:]}")
    outcome.expect("Segmentation" not in text, "a segmentation fault")


def faults_of(run: Path) -> list[str]:
    """Say which files of a run's folder are not whole."""
    faults = []
    for path in sorted(run.rglob("*")) if run.is_dir() else ():
        try:
            if path.name.endswith(".partial"):
                raise ValueError("left behind")
            read_whole(path)
        except (OSError, ValueError) as error:
            faults.append(f"{path.name}: {error}")
    return faults


def read_whole(path: Path) -> None:
    """Read a file of a run's folder to its end. Raises `OSError` or `ValueError`."""
    match path.suffix:
        case ".json":
            json.loads(path.read_text())
        case ".jsonl":
            for line in path.read_text().splitlines():
                json.loads(line)
        case ".toml":
            tomllib.loads(path.read_text())
        case ".html":
            if not path.read_text().rstrip().endswith("</html>"):
                raise ValueError("cut short")
        case ".h5":
            with h5py.File(path) as file:
                file.visititems(lambda _, item: item[()] if hasattr(item, "shape") else None)
