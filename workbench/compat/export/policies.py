"""The policy of an exported folder: a name, or a copy of the embedded one."""

from __future__ import annotations

import shutil
from pathlib import Path

from workbench.compat.export.source import ExportFolderError
from workbench.policy.loading.locate import EMBEDDED, adapter_folder

FOLDER = "policy"
"""Where a copy lies."""

FILES = (
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
)
"""Of the embedded policy, what a model of Hugging Face is."""


def put_policy(policy: str, folder: Path) -> tuple[str, str]:
    """What the other trainer loads, from inside `folder`, and a sentence about it. Raises
    `ExportFolderError` for a policy that is no whole model."""
    if policy == "embedded":
        (folder / FOLDER).mkdir()
        for name in FILES:
            shutil.copyfile(EMBEDDED / name, folder / FOLDER / name)
        return FOLDER, "The embedded policy of the workbench, copied."
    place = Path(policy).expanduser()
    if place.suffix == ".gguf" or adapter_folder(place) is not None:
        raise ExportFolderError(
            f"policy {policy!r} is no whole model in floating point. Write one, and name that with "
            "--policy: workbench.save_policy(workbench.load_policy(...), FOLDER)."
        )
    if place.is_dir():
        return str(place.absolute()), "A folder of this machine, which was not copied."
    if place.is_absolute() or policy.startswith(".") or policy.count("/") > 1:
        raise ExportFolderError(
            f"policy {policy!r}: there is no such folder. Name where it lies now: --policy FOLDER."
        )
    return policy, "A model of the Hugging Face Hub."
