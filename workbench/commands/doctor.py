"""`workbench doctor`: what is installed, and what of the workbench will work on this machine."""

from __future__ import annotations

import os
import shutil
import warnings
from dataclasses import asdict, dataclass
from importlib import metadata, resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from rich.console import Group
from rich.table import Table

from grpo_workbench import CLASH, REMEDY, lies_beside
from workbench.commands.printing import (
    STYLES,
    line_of,
    say_json,
    say_paragraphs,
    say_wrapped,
    terminal,
)
from workbench.config.engines import ENGINE_FACTS, Package
from workbench.doctor.finding import SIGNS
from workbench.doctor.report import paragraphs

SEVERITY_OF = {"ok": "good", "note": "note", "problem": "problem"}
"""A status of the machine -> the severity whose look it has."""


@dataclass(frozen=True)
class Finding:
    """One line of the report. `status` is ok, note or problem; `remedy` says what to do about a
    problem."""

    what: str
    status: str
    detail: str
    remedy: str = ""


def doctor_command(as_json: bool) -> None:
    """See `workbench doctor --help`. Exit code 1 when something needed is missing."""
    findings = examine()
    if as_json:
        say_json({"findings": [asdict(f) for f in findings]})
    else:
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        for f in findings:
            told = [line_of(f.detail)]
            if f.remedy:
                told.append(line_of(f"-> {f.remedy}"))
            severity = SEVERITY_OF[f.status]
            status = f"{SIGNS[severity]} {f.status}"
            table.add_row(line_of(status, STYLES[severity]), line_of(f.what), Group(*told))
        terminal().print(table)
    if any(f.status == "problem" for f in findings):
        raise SystemExit(1)


def run_command(run: Path) -> None:
    """See `workbench doctor --help`. Exit code 1 when the run has a problem or its record is
    damaged."""
    from workbench.doctor import diagnose
    from workbench.rewards.watchdog import WATCH_AFTER, WATCH_FILE, stuck_at
    from workbench.runs import Run, RunWarning

    opened = Run.open(run)
    damage = opened.damage()
    for said in damage:
        say_wrapped(f"DAMAGED: the record {said}")
    if at := stuck_at(opened.path.parent / WATCH_FILE):
        say_wrapped(
            f"A call of a reward function had not returned after {WATCH_AFTER:g} s. It was in "
            f"{', called from '.join(at)}. Where the notebook answers nothing any more, C code "
            "holds Python's interpreter there, most often a regular expression that backtracks: "
            "nothing in that process can end it. Restart the kernel and go on from the last "
            "checkpoint (resume=True); mend the expression, or use the package regex with a "
            "timeout."
        )
    with warnings.catch_warnings():
        # It was said above, in full.
        warnings.simplefilter("ignore", RunWarning)
        say_paragraphs(paragraphs(opened))
        found = diagnose(opened)
    if damage or any(f.severity == "problem" for f in found):
        raise SystemExit(1)


def examine() -> list[Finding]:
    """Everything that the report says."""
    return [*_namesake(), *_packages(), *_machine(), _embedded(), *_optional(), *_jupyter()]


def _namesake() -> list[Finding]:
    """PyPI's distribution `workbench`, where it lies beside this package."""
    package = str(resources.files("workbench"))
    return [Finding("workbench", "problem", CLASH, REMEDY)] if lies_beside(package) else []


def _packages() -> list[Finding]:
    """Each requirement of the distribution against what is installed."""
    found = []
    for text in metadata.requires("grpo-workbench") or []:
        need = Requirement(text)
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        found.append(_package(need))
    return found


def _package(need: Requirement) -> Finding:
    try:
        version = metadata.version(need.name)
    except metadata.PackageNotFoundError:
        return Finding(need.name, "problem", "not installed", f"pip install '{need}'")
    if not need.specifier.contains(version, prereleases=True):
        return Finding(
            need.name, "problem", f"{version}, wanted {need.specifier}", f"pip install '{need}'"
        )
    return Finding(need.name, "ok", version)


def _machine() -> list[Finding]:
    if find_spec("torch") is None:
        return []
    return [_processor(), _memory(), _disk(), *_gpus()]


def _processor() -> Finding:
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    threads = torch.get_num_threads()
    return Finding("CPU", "ok", f"{cores} cores, torch uses {threads} threads{load}")


def _memory() -> Finding:
    """What a run can get: of the machine, and of the container whose limit ends it silently."""
    import torch

    from workbench.policy.container_memory import container_memory
    from workbench.policy.free_memory import available_bytes

    free = available_bytes(torch.device("cpu"))
    if free is None:
        return Finding("memory", "note", "how much is free is not known here")
    status = "ok" if free > 4e9 else "note"
    said = f"{free / 1e9:.1f} GB free"
    container = container_memory()
    if container is not None:
        said += f"; the container's limit is {container.limit / 1e9:.1f} GB"
    return Finding("memory", status, said)


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    return Finding("disk", "ok" if free > 5 else "note", f"{free:.0f} GB free in this folder")


def _gpus() -> list[Finding]:
    import torch

    if not torch.cuda.is_available() and torch.backends.mps.is_available():
        return [_apple()]
    if not torch.cuda.is_available():
        none = "none that torch can use: the embedded policy and small models run on the CPU"
        return [Finding("GPU", "note", none)]
    return [_gpu(i) for i in range(torch.cuda.device_count())]


def _apple() -> Finding:
    from workbench.libraries.devices import VARIABLE

    return Finding(
        "GPU",
        "note",
        "Apple's, which torch calls mps: policies are loaded there. Float32, no quantisation, no "
        "vLLM; nobody has tried the workbench on a real one",
        f"{VARIABLE}=cpu computes on the CPU",
    )


def _gpu(i: int) -> Finding:
    import torch

    properties = torch.cuda.get_device_properties(i)
    # Emulated bfloat16 is slower than float16, so that it counts as none.
    has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
    bf16 = "bf16" if has_bfloat16 else "no bf16: fp16 only"
    gib = properties.total_memory / 2**30
    return Finding(f"GPU {i}", "ok", f"{properties.name}, {gib:.0f} GiB, {bf16}")


def _embedded() -> Finding:
    weights = resources.files("workbench") / "assets" / "embedded" / "model.safetensors"
    if weights.is_file():
        return Finding("embedded policy", "ok", "there: `workbench train` needs no network")
    return Finding(
        "embedded policy",
        "problem",
        "its weights are missing from the installation",
        "reinstall grpo-workbench",
    )


def _optional() -> list[Finding]:
    extras = (
        ("gguf", "policies from .gguf files", "pip install gguf"),
        ("trl", "comparison with TRL in the tests", "pip install 'grpo-workbench[test]'"),
    )
    engines = [facts.package for facts in ENGINE_FACTS.values() if facts.package is not None]
    return [_engine_package(package) for package in engines] + [
        Finding(name, "ok", metadata.version(name))
        if find_spec(name)
        else Finding(name, "note", f"not installed: no {use}", how)
        for name, use, how in extras
    ]


def _engine_package(package: Package) -> Finding:
    """What a rollout engine needs. vLLM's distribution for machines without a GPU has another
    name."""
    module = package.module
    name = next(iter(metadata.packages_distributions().get(module, [])), None)
    if name is None:
        return Finding(
            module,
            "note",
            f"not installed: {package.without}",
            package.install,
        )
    version = metadata.version(name)
    kind = "runs on the CPU" if name.endswith("cpu") else "needs a GPU"
    if not version.startswith(package.tried + "."):
        return Finding(
            module, "note", f"{version}, tried with {package.tried} only; {kind}", package.install
        )
    return Finding(module, "ok", f"{version}, {kind}")


def _jupyter() -> list[Finding]:
    """Kernel and JupyterLab must agree on the widgets' versions when they live in different
    environments."""
    versions: dict[str, Any] = {}
    for name in ("ipykernel", "ipywidgets", "anywidget", "jupyterlab_widgets"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            return [
                Finding("widgets", "problem", f"{name} is not installed", f"pip install {name}")
            ]
    text = ", ".join(f"{n} {v}" for n, v in versions.items())
    return [
        Finding(
            "widgets",
            "ok",
            f"{text}; a JupyterLab in another environment needs the same anywidget minor version",
        )
    ]
