"""A reward model: a language model's body with one number for a head, as transformers'
`AutoModelForSequenceClassification` has it, and its tokenizer."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from workbench.errors import WorkbenchError
from workbench.libraries.devices import default_device
from workbench.libraries.hf_peft import has_adapter
from workbench.libraries.hf_transformers import making_a_model, no_progress_bars
from workbench.rewards.model.data import Message
from workbench.runs.whole_folder import whole_folder

KINDS = ("pairs", "outcome", "process")
"""What a model of the workbench's was trained on: pairs (Bradley-Terry), labels of whole
completions, labels of steps."""
FOREIGN = "foreign"
"""The kind of a model that somebody else has trained."""
NOTE = "reward_model.json"
"""In the model's folder: its kind, and how it was trained and judged."""


class RewardModelError(WorkbenchError, ValueError):
    """A reward model that cannot be made, loaded or asked."""


class PolicyLike(Protocol):
    """What of a policy is asked here; `workbench.policy.Policy` has it."""

    model: Any
    tokenizer: Any
    source: str
    eos_token_ids: tuple[int, ...]
    pad_token_id: int


@dataclass
class RewardModel:
    """Model and tokenizer, and what its number means."""

    model: Any
    """A sequence classifier of transformers with one label."""
    tokenizer: Any
    source: str
    """The folder that it was loaded from, or the policy that it was made of."""
    kind: str
    """One of `KINDS`, or "foreign"."""
    steps_by: str = "auto"
    """What a step is (`workbench.rewards.steps.SPLITS`); of a process model."""
    batch_size: int = 64
    """Completions at a time where it is only asked."""

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        device: torch.device = next(self.model.parameters()).device
        return device

    @property
    def gives_probability(self) -> bool:
        """Whether its answer is the chance of being right; of a model of pairs, and of somebody
        else's, it is the logit itself."""
        return self.kind in ("outcome", "process")

    def text_of(self, messages: Sequence[Message], completion: str) -> str:
        """The conversation with its answer, as the chat template writes it; without a template the
        contents as paragraphs."""
        talk = [*messages, {"role": "assistant", "content": completion}]
        if not self.tokenizer.chat_template:
            return "\n\n".join(turn["content"] for turn in talk)
        try:
            text: str = self.tokenizer.apply_chat_template(talk, tokenize=False)
        # A template is a program of somebody else's: it may raise anything.
        except Exception as error:
            raise RewardModelError(
                f"the chat template of reward model {self.source!r} cannot render the "
                f"conversation: {type(error).__name__}: {error}. Give its tokenizer one that can, "
                "or leave the system message out (--system-prompt '')."
            ) from error
        return text

    def encode(self, messages: Sequence[Message], completion: str) -> list[int]:
        """Token ids of the conversation with its answer."""
        text = self.text_of(messages, completion)
        bare = bool(self.tokenizer.chat_template)
        ids: list[int] = self.tokenizer(text, add_special_tokens=not bare)["input_ids"]
        self._check_length(len(ids))
        return ids

    def encode_steps(
        self, messages: Sequence[Message], completion: str, ends: Sequence[int]
    ) -> tuple[list[int], list[int]]:
        """The same, and the token with which the text up to each of `ends` is whole; the last
        token for the completion's own end."""
        text = self.text_of(messages, completion)
        start = text.rfind(completion)
        if start < 0:
            raise RewardModelError(
                f"the chat template of reward model {self.source!r} does not render the completion "
                f"{completion[:60]!r} as it is, so that its steps cannot be found. Set "
                "another template, tokenizer.chat_template = …, and save the tokenizer."
            )
        bare = bool(self.tokenizer.chat_template)
        encoded = self.tokenizer(text, add_special_tokens=not bare, return_offsets_mapping=True)
        ids: list[int] = encoded["input_ids"]
        self._check_length(len(ids))
        spans: list[tuple[int, int]] = encoded["offset_mapping"]
        whole = len(completion)
        places = [
            self._last(ids) if end >= whole else _token_at(spans, start + end) for end in ends
        ]
        return ids, places

    def _last(self, ids: Sequence[int]) -> int:
        """Where transformers looks for a whole conversation's number: at the last token that does
        not serve as padding, as an end token does in many a model."""
        pad = self.model.config.pad_token_id
        return next((i for i in reversed(range(len(ids))) if ids[i] != pad), len(ids) - 1)

    def _check_length(self, length: int) -> None:
        positions = getattr(self.model.config, "max_position_embeddings", None)
        if positions is not None and length > positions:
            raise RewardModelError(
                f"a conversation of {length} tokens is longer than the {positions} positions of "
                f"reward model {self.source!r}. Lower max_completion_length or leave long problems "
                "out; nothing is cut."
            )

    def logits(self, ids_B: Sequence[Sequence[int]]) -> Tensor:
        """The number that the head gives each conversation, (B,), at its last token; with gradient
        where that is on."""
        padded = self._padded(ids_B)
        logit_B1: Tensor = self.model(**padded).logits
        return logit_B1[:, 0].float()

    def step_logits(
        self, ids_B: Sequence[Sequence[int]], places_B: Sequence[Sequence[int]]
    ) -> Tensor:
        """The number that the head gives at each of these tokens, one conversation's behind the
        other's, (all steps,)."""
        head = getattr(self.model, "score", None)
        if head is None:
            raise RewardModelError(
                f"reward model {self.source!r} ({type(self.model).__name__}) has no head that can "
                "be asked at every token, so that it cannot score steps. Use it for whole "
                "completions."
            )
        body = getattr(self.model, self.model.base_model_prefix)
        hidden_BTH = body(**self._padded(ids_B)).last_hidden_state
        row = [i for i, places in enumerate(places_B) for _ in places]
        place = [place for places in places_B for place in places]
        logit_S1: Tensor = head(hidden_BTH[row, place])
        return logit_S1[:, 0].float()

    def _padded(self, ids_B: Sequence[Sequence[int]]) -> dict[str, Tensor]:
        width = max(map(len, ids_B))
        pad = self.model.config.pad_token_id
        if pad is None and len(ids_B) > 1:
            raise RewardModelError(
                f"reward model {self.source!r} names no padding token, without which transformers "
                "cannot tell where a conversation ends. Set pad_token_id in its config.json."
            )
        ids = [[*row, *([pad or 0] * (width - len(row)))] for row in ids_B]
        mask = [[1] * len(row) + [0] * (width - len(row)) for row in ids_B]
        return {
            "input_ids": torch.tensor(ids, device=self.device),
            "attention_mask": torch.tensor(mask, device=self.device),
        }

    @torch.no_grad()
    def scores(self, messages_B: Sequence[Sequence[Message]], completions: Sequence[str]) -> Tensor:
        """The reward of each completion, (B,), float32 on the CPU: the chance of being right, or
        the logit (see `gives_probability`)."""
        ids_B = [self.encode(m, c) for m, c in zip(messages_B, completions, strict=True)]
        # Those of similar length together, so that little is padded.
        order = sorted(range(len(ids_B)), key=lambda i: len(ids_B[i]))
        scores_B = torch.zeros(len(ids_B))
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            scores_B[rows] = self.logits([ids_B[row] for row in rows]).cpu()
        return scores_B.sigmoid() if self.gives_probability else scores_B

    @torch.no_grad()
    def step_scores(
        self,
        messages_B: Sequence[Sequence[Message]],
        completions: Sequence[str],
        ends_B: Sequence[Sequence[int]],
    ) -> list[list[float]]:
        """The reward of each step, a list for each completion."""
        found: list[list[float]] = []
        rows = list(zip(messages_B, completions, ends_B, strict=True))
        for start in range(0, len(rows), self.batch_size):
            part = [self.encode_steps(*row) for row in rows[start : start + self.batch_size]]
            logits = self.step_logits([ids for ids, _ in part], [places for _, places in part])
            values = (logits.sigmoid() if self.gives_probability else logits).tolist()
            for _, places in part:
                found.append(values[: len(places)])
                values = values[len(places) :]
        return found

    def save(self, folder: str | Path, note: dict[str, Any] | None = None) -> None:
        """Write it where `load_reward_model`, and `AutoModelForSequenceClassification`, find it;
        `note` is kept beside it. A new folder is there whole or not at all."""
        place = Path(folder).absolute()
        if place.is_dir() and any(place.iterdir()):
            # What else lies there is somebody's, and stays.
            self._write(place, note or {})
            return
        with whole_folder(place) as draft:
            self._write(draft, note or {})

    def _write(self, place: Path, note: dict[str, Any]) -> None:
        with no_progress_bars():
            self.model.save_pretrained(place)
        self.tokenizer.save_pretrained(place)
        said = {"kind": self.kind, "steps_by": self.steps_by, "made_of": self.source}
        (place / NOTE).write_text(json.dumps(said | note, indent=2) + "\n")


def _token_at(spans: Sequence[tuple[int, int]], end: int) -> int:
    """The token with which the text up to `end` is whole, from each token's characters."""
    place = next(i for i, (_, there) in enumerate(spans) if there >= end)
    # A letter of several bytes may be several tokens, all of which have its place.
    while place + 1 < len(spans) and spans[place + 1] == spans[place]:
        place += 1
    return place


def reward_model_of(policy: PolicyLike, kind: str, *, seed: int = 0) -> RewardModel:
    """A reward model whose body is a copy of the policy's, an adapter merged, and whose head is
    drawn anew from `seed` (normal, std 1/sqrt(H + 1), as Stiennon et al., arXiv 2009.01325, draw
    theirs). Raises `RewardModelError`."""
    from transformers import AutoModelForSequenceClassification

    if kind not in KINDS:
        raise RewardModelError(f"kind={kind!r} is unknown. Choose one of {', '.join(KINDS)}.")
    causal = policy.model
    if getattr(causal, "is_quantized", False) or has_adapter(causal):
        if getattr(causal, "is_quantized", False):
            raise RewardModelError(
                f"policy {policy.source!r} is quantised, and a reward model trains all weights. "
                "Load it without quantization."
            )
        causal = copy.deepcopy(causal).merge_and_unload()
    config = copy.deepcopy(causal.config)
    config.num_labels = 1
    config.pad_token_id = policy.pad_token_id
    try:
        with making_a_model():
            model = AutoModelForSequenceClassification.from_config(config)
    except ValueError as error:
        raise RewardModelError(
            f"policy {policy.source!r} is a {type(causal).__name__}, of which transformers has no "
            "sequence classifier. Make the reward model of another policy."
        ) from error
    if getattr(model, "score", None) is None:
        raise RewardModelError(
            f"policy {policy.source!r}: the sequence classifier of a {type(causal).__name__} has "
            "no head of one layer. Make the reward model of another policy."
        )
    body = getattr(model, model.base_model_prefix)
    body.load_state_dict(getattr(causal, causal.base_model_prefix).state_dict())
    generator = torch.Generator().manual_seed(seed)
    weight = model.score.weight
    drawn = torch.randn(weight.shape, generator=generator) / (weight.shape[1] + 1) ** 0.5
    with torch.no_grad():
        weight.copy_(drawn)
    model.to(device=causal.device, dtype=causal.dtype).eval()
    return RewardModel(model, copy.deepcopy(policy.tokenizer), policy.source, kind)


def load_reward_model(
    folder: str | Path, *, device: str | torch.device | None = None
) -> RewardModel:
    """The reward model in `folder`: one of the workbench's, or any sequence classifier of
    transformers with one label. Raises `RewardModelError`."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    place = Path(folder).expanduser()
    if not (place / "config.json").is_file():
        raise RewardModelError(
            f"reward model {str(folder)!r}: there is no such folder with a config.json. Give the "
            "folder of a sequence classifier that save_pretrained wrote, or train one: workbench "
            "reward train --out FOLDER."
        )
    said = _note_in(place)
    loaded: Any
    with no_progress_bars(), making_a_model():
        try:
            loaded = AutoModelForSequenceClassification.from_pretrained(
                place, output_loading_info=True, local_files_only=True
            )
            tokenizer = AutoTokenizer.from_pretrained(place, local_files_only=True)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise RewardModelError(
                f"reward model {str(folder)!r} could not be loaded: {error}"
            ) from error
    model, info = loaded
    # A causal language model would get a random head with a warning, and its rewards be noise.
    missing = sorted(info["missing_keys"])
    if missing:
        raise RewardModelError(
            f"reward model {str(folder)!r} has no weights for {', '.join(missing[:3])}: it is not "
            "a sequence classifier, and its rewards would be noise. Train a head first: workbench "
            f"reward train --policy {str(folder)!r}."
        )
    if model.config.num_labels != 1:
        labels = ", ".join(str(label) for label in list(model.config.id2label.values())[:5])
        raise RewardModelError(
            f"reward model {str(folder)!r} has {model.config.num_labels} labels ({labels}): a "
            "reward is one number. Give a model with num_labels=1."
        )
    where = torch.device(device) if device else default_device()
    model.to(where).eval()
    return RewardModel(
        model,
        tokenizer,
        str(place),
        str(said.get("kind", FOREIGN)),
        str(said.get("steps_by", "auto")),
    )


def _note_in(place: Path) -> dict[str, Any]:
    """What the workbench wrote beside a model of its own; empty for another's."""
    file = place / NOTE
    if not file.is_file():
        return {}
    try:
        said = json.loads(file.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise RewardModelError(f"{file} cannot be read: {error}. Save the model again.") from error
    if not isinstance(said, dict) or said.get("kind") not in KINDS:
        raise RewardModelError(f"{file} names no kind ({', '.join(KINDS)}). Save the model again.")
    return said
