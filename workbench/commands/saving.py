"""What a run leaves at its end: RUN/adapter where an adapter was trained, and RUN/policy, whole,
where there is room for it; and what is kept of a run that ends in an error."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any


def save_trained(policy: Any, out: Path) -> tuple[Path, str]:
    """Write the adapter, where there is one, to `out`/adapter, and the whole policy to `out`/policy
    where there is room for it.

    Returns the folder that holds the result, and what to say where the whole policy was not written
    (else ""). The adapter comes first: it is small, so that what was learnt is on the disk before
    anything large is tried.
    """
    from workbench.policy.save import no_room_to_save

    whole = out / "policy"
    adapter = out / "adapter"
    if policy.has_adapter and (lacking := _written(policy, adapter, adapter_only=True)):
        return out / "checkpoints", _write_later(out, adapter, lacking)
    lacking = no_room_to_save(policy, whole) or _written(policy, whole)
    if lacking is None:
        return whole, ""
    if whole.exists():
        lacking += f" (what lies there is of an earlier save: {whole})"
    if policy.has_adapter:
        return adapter, _merge_later(policy, adapter, whole, lacking)
    return out / "checkpoints", _write_later(out, whole, lacking)


def _written(policy: Any, folder: Path, adapter_only: bool = False) -> str | None:
    """Write the policy to `folder`, whole or not at all; why it could not be, or None."""
    from safetensors import SafetensorError

    from workbench.policy.save import save_policy, whole_bytes
    from workbench.runs.whole_folder import whole_folder, why_not_written

    try:
        with whole_folder(folder) as draft:
            save_policy(policy, draft, adapter_only=adapter_only)
    except (OSError, SafetensorError) as error:
        adapter_bytes = sum(tensor.nbytes for tensor in policy.trainable_state().values())
        size = adapter_bytes if adapter_only else whole_bytes(policy)
        return why_not_written(error, folder.parent, size)
    return None


def _write_later(out: Path, folder: Path, lacking: str) -> str:
    """Where the weights are while `folder` could not be written."""
    command = shlex.join(["workbench", "train", "--resume", "--out", str(out)])
    return (
        f"notice: the policy was not written to {folder}: {lacking}. Its weights are in the newest "
        f"of {out / 'checkpoints'}. Make room, then: {command}"
    )


def keep_what_is_whole(
    trainer: Any, error: BaseException, out: Path, command: Callable[[Path], str]
) -> None:
    """After an error of the training: a checkpoint where no update was broken off, and the reason
    in the record. Where the record is gone, all that memory holds goes into a folder beside it.

    What was done, and what could not be, is added to the error; `command` is how a run in a folder
    is resumed.
    """
    from workbench.runs import RunRecordError
    from workbench.training.checkpoints import CheckpointError

    try:
        words = _kept(trainer, error, out, command)
    except (RunRecordError, CheckpointError) as second:
        # The first error is the one to be told; what could not be kept is told with it.
        words = f"Besides, what was whole could not be kept: {second}"
    if words:
        error.add_note(words)


def _kept(trainer: Any, error: BaseException, out: Path, command: Callable[[Path], str]) -> str:
    """Do it; what was done, in words."""
    from workbench.runs.store.writer import RecordGoneError
    from workbench.training.checkpoints import SaveError
    from workbench.training.session.branching import free_folder

    try:
        trainer.run.check_in_place()
    except RecordGoneError:
        # This process ends, and what it holds with it.
        saved = trainer.save_copy(free_folder(out.with_name(f"{out.name}-saved")))
        trainer.run.close()
        return f"What memory held was written to {saved}. Go on: {command(saved)}"
    # Where the disk has refused a checkpoint, it would refuse it again.
    refused = isinstance(error, SaveError)
    if not trainer.dirty and not refused:
        trainer.save()
    trainer.run.finish("failed", f"{type(error).__name__}: {error}")
    return f"Go on when there is room: {command(out)}" if refused else ""


def _merge_later(policy: Any, adapter: Path, whole: Path, lacking: str) -> str:
    """How to use the adapter as it is, and how to merge it on a machine with room: on the numbers
    that it was trained on."""
    kind = policy.quantization
    flag, option = (
        ("", "") if kind == "none" else (f" --quantization {kind}", f", quantization={kind!r}")
    )
    load = (
        f"load_policy({str(adapter)!r}{option}, "
        f"dtype={str(policy.weight_dtype).removeprefix('torch.')!r}, device='cpu', trainable=False)"
    )
    return (
        f"notice: the adapter is in {adapter}, but not merged into {whole}: {lacking}. It "
        f"evaluates as it is: workbench eval --policy {adapter}{flag}. To merge it where there is "
        f"room, with load_policy and save_policy of workbench.policy: save_policy({load}, "
        f"{str(whole)!r})"
    )
