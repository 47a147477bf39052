"""What a run leaves at its end: RUN/adapter where an adapter was trained, and RUN/policy, whole,
where there is room for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def save_trained(policy: Any, out: Path) -> tuple[Path, str]:
    """Write the adapter, where there is one, to `out`/adapter, and the whole policy to `out`/policy
    where there is room for it.

    Returns the folder that holds the result, and what to say where the whole policy was not written
    (else ""). The adapter comes first: it is small, so that what was learnt is on the disk before
    anything large is tried.
    """
    from workbench.policy.save import no_room_to_save, save_policy

    whole = out / "policy"
    adapter = out / "adapter"
    if policy.has_adapter:
        save_policy(policy, adapter, adapter_only=True)
    lacking = no_room_to_save(policy, whole)
    if lacking is None:
        save_policy(policy, whole)
        return whole, ""
    if whole.exists():
        lacking += f" (what lies there is of an earlier save: {whole})"
    if policy.has_adapter:
        return adapter, _merge_later(policy, adapter, whole, lacking)
    return out / "checkpoints", (
        f"notice: the policy was not written to {whole}: {lacking}. Its weights are in the newest "
        f"of {out / 'checkpoints'}. Make room, then: workbench train --resume --out {out}"
    )


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
