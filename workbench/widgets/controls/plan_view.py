"""`PlanView`: will it fit? The memory plan of a run with the settings that decide over it as
controls. No weights are read.

    PlanView("Qwen2.5-0.5B", device="T4")

Moving a control makes the plan anew, which takes a second or two; the button times a few layers on
this machine, which takes some seconds more. The plan itself is `view.plan`.
"""

from __future__ import annotations

import html
import warnings
from collections.abc import Sequence
from typing import Any

import ipywidgets as widgets

from workbench.config import ConfigWarning, GRPOConfig
from workbench.config.engines import ENGINE_FACTS
from workbench.widgets.base.lab import Lab, table
from workbench.widgets.base.style import NEGATIVE, POSITIVE
from workbench.widgets.controls.number_box import NumberBox

CHOICES = (
    "this machine",
    "T4",
    "L4",
    "A100-40",
    "A100-80",
    "H100",
    "H200",
    "24GB",
    "16GB",
    "12GB",
    "8GB",
)
MICRO = (("by tokens", None), *((str(n), n) for n in (1, 2, 4, 8, 16, 32, 64)))
RANKS = (
    ("none: all weights", 0),
    ("LoRA, rank 8", 8),
    ("LoRA, rank 16", 16),
    ("LoRA, rank 32", 32),
    ("LoRA, rank 64", 64),
)
NUMBERS = (
    ("prompts_per_step", 1, 64),
    ("num_generations", 2, 64),
    ("max_prompt_length", 16, 4096),
    ("max_completion_length", 8, 4096),
)
TIME_IT = "time a step here"
WIDE = {"description_width": "150px"}


class PlanView(Lab):
    """policy: a name as `load_policy` takes it, or a published shape's; its config alone is read.
    config: where the controls start. device: as `workbench plan --gpu` takes it, None = this
    machine."""

    heading = "Memory plan"
    lead = (
        "Memory by part in the three phases of a step; what counts is the largest phase, not the "
        "sum. Reckoned from the model's config: "
        "its forward and backward are run without any numbers in it."
    )

    def __init__(
        self,
        policy: str = "Qwen2.5-0.5B",
        *,
        config: GRPOConfig | None = None,
        device: str | None = None,
    ) -> None:
        self.config = config if config is not None else _usual(str(policy))
        self.plan: Any = None
        self._trial = False
        self._make_policy_controls(str(policy), device)
        self._make_rollout_controls()
        self.numbers = {
            name: NumberBox(
                name,
                low,
                high,
                getattr(self.config, name) or 512,
                self.update,
                whole=True,
                label_width="170px",
            )
            for name, low, high in NUMBERS
        }
        for control in self._watched():
            control.observe(lambda change: self.update(), "value")
        super().__init__()

    def _make_policy_controls(self, policy: str, device: str | None) -> None:
        """The left column: the model, where it runs and in what form; a trial of it."""
        config = self.config
        self.policy = widgets.Text(
            value=policy,
            description="policy",
            continuous_update=False,
            style=WIDE,
            layout={"width": "400px"},
        )
        own_device = [device] if device and device not in CHOICES else []
        self.device = self._choice("device", [*CHOICES, *own_device], device or CHOICES[0])
        self.rank = self._choice("lora_rank", _with(config.lora_rank, RANKS), config.lora_rank)
        self.quantization = self._choice(
            "quantization", ["none", "nf4", "int8"], config.quantization
        )
        self.dtype = self._choice("dtype", ["auto", "float32", "bfloat16", "float16"], config.dtype)
        self.timing = widgets.Button(
            description=TIME_IT,
            tooltip="Run a few layers with random weights on this machine, for some seconds",
            layout={"width": "150px", "margin": "2px 0 2px 158px"},
        )
        self.timing.on_click(lambda _: self.time_it())

    def _make_rollout_controls(self) -> None:
        """The right column: how the completions are sampled and trained on."""
        config = self.config
        self.optim = self._choice("optim", ["adamw", "adamw_8bit"], config.optim)
        self.rollout = self._choice("rollout_engine", list(ENGINE_FACTS), config.rollout_engine)
        self.micro = self._choice(
            "micro_batch_size", _with(config.micro_batch_size, MICRO), config.micro_batch_size
        )
        self.checkpointing = widgets.Checkbox(
            value=config.gradient_checkpointing,
            description="gradient_checkpointing",
            indent=False,
            layout={"width": "auto", "margin": "2px 0 2px 158px"},
        )

    def _watched(self) -> Sequence[widgets.Widget]:
        """What makes the plan anew when it is moved; the boxes of numbers say so themselves."""
        return [
            self.policy,
            self.device,
            self.rank,
            self.quantization,
            self.dtype,
            self.optim,
            self.rollout,
            self.micro,
            self.checkpointing,
        ]

    def _choice(self, name: str, options: Sequence[Any], value: Any) -> widgets.Dropdown:
        values = [option[1] if isinstance(option, tuple) else option for option in options]
        return widgets.Dropdown(
            options=options, index=values.index(value), description=name, style=WIDE
        )  # by index: a page shows value=None as blank

    def controls(self) -> Sequence[widgets.Widget]:
        left = [self.policy, self.device, self.rank, self.quantization, self.dtype, self.timing]
        right = [self.optim, self.rollout, self.micro, self.checkpointing]
        return [
            widgets.HBox(
                [
                    widgets.VBox(left),
                    widgets.VBox(right),
                    widgets.VBox([n.widget for n in self.numbers.values()]),
                ],
                layout={"flex_flow": "row wrap"},
            )
        ]

    def time_it(self) -> None:
        """Make the plan anew with a trial on this machine, whose seconds stay until a control is
        moved."""
        self._trial, self.timing.disabled, self.timing.description = True, True, "timing ..."
        try:
            self.update()
        finally:
            self._trial, self.timing.disabled, self.timing.description = False, False, TIME_IT

    def wanted(self) -> GRPOConfig:
        """The config that the controls describe. Raises `ConfigError`."""
        rank = self.rank.value
        own = (
            {}
            if rank
            else dict(
                lora_alpha=None, use_rslora=False, use_dora=False, lora_target_modules="all-linear"
            )
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConfigWarning)  # about learning, which nobody does here
            return self.config.replace(
                lora_rank=rank,
                quantization=self.quantization.value,
                dtype=self.dtype.value,
                optim=self.optim.value,
                rollout_engine=self.rollout.value,
                micro_batch_size=self.micro.value,
                gradient_checkpointing=self.checkpointing.value,
                **own,
                **{name: box.value for name, box in self.numbers.items()},
            )

    def refresh(self) -> tuple[str, str]:
        from workbench.plan import device_named, plan, shape_of
        from workbench.plan.report import (
            advice_words,
            headline,
            method_words,
            rows,
            seconds_words,
            verdict,
        )
        from workbench.trial import with_trial

        config = self.wanted()
        chosen = None if self.device.value == CHOICES[0] else self.device.value
        device = device_named(chosen)
        self.timing.layout.display = None if device.measured else "none"
        made = plan(config, shape_of(self.policy.value.strip()), device)
        if self._trial:
            made = with_trial(made)
        self.plan = made
        cells = [
            [html.escape(label), *(html.escape(cell) for cell in values)]
            for label, values in rows(made)
        ]
        parts = [
            f"<p class='wb-dim'>{html.escape(headline(made))}</p>",
            _bars(made),
            table(["", *(p.name for p in made.phases)], cells),
        ]
        said = [words for words in (method_words(made), seconds_words(made)) if words]
        parts += [f"<p>{html.escape(words)}</p>" for words in said]
        if made.advice:
            lines = "".join(f"<li>{html.escape(text)}</li>" for text in advice_words(made))
            parts.append(
                "<p>What to change, strongest first (each alone, with the peak that it gives):</p>"
                f"<ol>{lines}</ol>"
            )
        parts += [f"<p class='wb-dim'>{html.escape(note)}</p>" for note in made.notes]
        return verdict(made), "".join(parts)


def _with(value: Any, usual: Sequence[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """The usual choices, and the config's own where it is none of them."""
    own = [] if value in dict(usual).values() else [(str(value), value)]
    return [*usual, *own]


def _usual(policy: str) -> GRPOConfig:
    """Where the controls start without a config: the default run for the embedded policy, an
    adapter for any other."""
    return (
        GRPOConfig()
        if policy == "embedded"
        else GRPOConfig.preset("real", lora_rank=16, max_prompt_length=256)
    )


def _bars(plan: Any) -> str:
    """A bar for each phase, against the device's memory."""
    from workbench.plan.report import size

    full = max(plan.peak, plan.device.memory or 0.0)
    rows = []
    for phase in plan.phases:
        fits = plan.device.memory is None or phase.bytes <= plan.device.memory
        colour = POSITIVE if fits else NEGATIVE
        share = f"{100 * phase.bytes / full:.1f}%"
        style = f"display:inline-block;height:12px;width:{share};background:{colour}"
        bar = f"<span style='{style}'></span>"
        rows.append(
            "<div style='display:flex;gap:8px;align-items:center'><span style='width:70px'>"
            f"{html.escape(phase.name)}</span>"
            f"<span aria-hidden='true' style='flex:1;border:1px solid var(--wb-line)'>{bar}</span>"
            "<span class='wb-number' style='width:160px'>"
            f"{size(phase.bytes)}{'' if fits else ', too much'}</span></div>"
        )
    return "".join(rows)
