"""What `.ci/release` holds a release against.

`contents REPOSITORY FOLDER`: sdist and wheel hold what is tracked, and the README's links lead out.
`trial`: in a fresh environment, an empty folder and without the repository, the wheel trains,
exports, shows every recorded run without torch, and opens JupyterLab on a copy of the course.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

WORKBENCH = Path(sys.executable).with_name("workbench")
TOKEN = "trial"
SECONDS_TO_START = 120


def contents(repository: Path, folder: Path) -> None:
    """Raises where a file is missing, or one lies there that nobody tracks."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=repository, capture_output=True, text=True, check=True
    )
    tracked = set(listed.stdout.split("\0")) - {""}
    [sdist] = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        files = {name.partition("/")[2] for name in archive.getnames()}
    expect("sdist", files, tracked | {"PKG-INFO"})

    [wheel] = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        [metadata] = [name for name in names if name.endswith(".dist-info/METADATA")]
        description = archive.read(metadata).decode().partition("\n\n")[2]
    expect("wheel", {name for name in names if ".dist-info/" not in name}, in_the_wheel(tracked))

    readme = (repository / "README.md").read_text()
    links = re.findall(r"\]\(([^)]+)\)", description)
    relative = [link for link in links if not re.match(r"https?://|#", link)]
    assert not relative, f"on PyPI these links of the README lead nowhere: {relative}"
    assert len(links) == len(re.findall(r"\]\(([^)]+)\)", readme)) > 20
    ours = [link for link in links if "/grpo-workbench/grpo-workbench/" in link]
    gone = [link for link in ours if not (repository / path_of(link)).exists()]
    assert not gone, f"these links of the README lead to files that are not there: {gone}"
    print(f"sdist {len(files)} files, wheel {len(names)}, {len(ours)} links into the repository")


def in_the_wheel(tracked: set[str]) -> set[str]:
    """The package, and the course, which becomes a part of it."""
    package = {name for name in tracked if name.startswith("workbench/")}
    course = {name for name in tracked if re.fullmatch(r"notebooks/[^/]+\.(ipynb|md)", name)}
    return package | {f"workbench/assets/{name}" for name in course} | {"grpo_workbench.py"}


def path_of(link: str) -> str:
    """The file in the repository that a link into its release leads to."""
    found = re.search(r"/v[\d.]+[^/]*/([^#]*)", link)
    assert found is not None, f"{link} leads to no release"
    return found[1]


def expect(what: str, found: set[str], wanted: set[str]) -> None:
    assert found == wanted, (
        f"{what}: missing {sorted(wanted - found)}, too many {sorted(found - wanted)}"
    )


def trial() -> None:
    import workbench

    prefix = Path(sys.prefix)
    assert Path(workbench.__file__).is_relative_to(prefix), workbench.__file__
    recorded_runs()
    train_and_export()
    lab()


def recorded_runs() -> None:
    """Every run that ships is shown and exported, without torch."""
    from workbench import Dashboard
    from workbench.course.recorded import recorded, recorded_names
    from workbench.widgets.export_html import export_html

    names = recorded_names()
    assert len(names) >= 8
    for name in names:
        Dashboard(recorded(name))
        page = export_html(recorded(name), Path(f"{name}.html")).read_text()
        assert "</html>" in page
    assert "torch" not in sys.modules
    print(f"{len(names)} recorded runs shown and exported, without torch")


def train_and_export() -> None:
    sizes = ["prompts_per_step=4", "num_generations=4", "num_eval_problems=10"]
    settings = [word for size in sizes for word in ("--set", size)]
    run(WORKBENCH, "train", "--steps", 2, "--out", "runs/tried", *settings)
    run(WORKBENCH, "export", "html", "runs/tried", "--out", "tried.html")
    assert "</html>" in Path("tried.html").read_text()
    run(WORKBENCH.with_name("grpo-workbench"), "runs")
    print("trained two steps, exported them, listed them")


def run(*command: object) -> None:
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


def lab() -> None:
    """JupyterLab answers with a notebook of the copy, and what a learner writes stays."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [f"--port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={TOKEN}"]
    log = Path("lab.log")
    with log.open("w") as said:
        server = subprocess.Popen(
            [str(WORKBENCH), "lab", "--no-browser", *options], stdout=said, stderr=said
        )
    try:
        model = json.loads(answer(port, "api/contents/00_start.ipynb", server, log))
        page = answer(port, "lab/tree/00_start.ipynb", server, log)
    finally:
        # The command waits for JupyterLab, which is told to end by itself.
        ask(port, "api/shutdown", method="POST")
        server.wait(60)
    assert model["type"] == "notebook"
    assert "jupyter-config-data" in page
    assert "](../" not in json.dumps(model["content"]), "a link into a repository that is not here"
    assert Path("my-notebooks/GLOSSARY.md").is_file()
    print("workbench lab opened JupyterLab on a copy of the course")


def answer(port: int, path: str, server: subprocess.Popen[bytes], log: Path) -> str:
    """What the server answers, as soon as it does."""
    until = time.monotonic() + SECONDS_TO_START
    while True:
        try:
            return ask(port, path)
        except urllib.error.URLError as error:
            if server.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"no {path}: {error}\n{log.read_text()}") from error
            time.sleep(0.2)


def ask(port: int, path: str, method: str = "GET") -> str:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/{path}",
        headers={"Authorization": f"token {TOKEN}"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return str(response.read().decode())


if __name__ == "__main__":
    if sys.argv[1] == "contents":
        contents(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        trial()
