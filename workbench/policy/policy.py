"""A policy: a Hugging Face causal LM with its tokenizer, and what the rest of the workbench asks of
the pair."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from workbench.errors import WorkbenchError
from workbench.libraries.hf_peft import has_adapter, plain_model
from workbench.policy.template import (
    MARK,
    AnswerFrame,
    answer_frame,
    render,
    wants_parts,
)
from workbench.policy.vocabulary import rows_said_by, too_many_tokens

Message = dict[str, str]


_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class PolicyError(WorkbenchError, ValueError):
    """A policy that cannot be loaded or used: says what was wrong and what to do."""


@dataclass
class Policy:
    """Model, tokenizer and the token ids that end or pad a completion.

    `source` is what `load_policy` was given, so that a run can name its policy.
    """

    model: Any
    tokenizer: Any
    source: str
    eos_token_ids: tuple[int, ...]
    pad_token_id: int
    gradient_checkpointing: bool = False
    _known_template: tuple[Any, bool, dict[str | None, AnswerFrame]] | None = field(
        default=None, init=False, repr=False, compare=False
    )
    """The chat template that was looked at last, whether it wants contents as parts, and what it
    adds to an answer after each system message."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = next(self.model.parameters()).device
        return device

    @property
    def has_adapter(self) -> bool:
        """True when a LoRA adapter is trained and the base weights stand still."""
        return has_adapter(self.model)

    @property
    def quantization(self) -> str:
        """How the base is kept: 'none', 'nf4', 'int8', or 'fp4' where its files were stored so."""
        base = plain_model(self.model)
        if getattr(base, "is_loaded_in_8bit", False):
            return "int8"
        stored = getattr(
            base.config, "quantization_config", None
        )  # none for a .gguf file that was quantised in memory
        return (
            getattr(stored, "bnb_4bit_quant_type", "nf4")
            if getattr(base, "is_loaded_in_4bit", False)
            else "none"
        )

    @property
    def weight_dtype(self) -> torch.dtype:
        """The number format of the base's unquantised weights, in which its arithmetic is done."""
        dtype: torch.dtype = self.model.get_input_embeddings().weight.dtype
        return dtype

    def trainable_parameters(self) -> list[nn.Parameter]:
        """The parameters that the optimizer moves, in a fixed order."""
        return [p for p in self.model.parameters() if p.requires_grad]

    def trainable_state(self) -> dict[str, Tensor]:
        """Name -> tensor of what training changes: the adapter, or all weights. Tied weights appear
        once."""
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    def copy_trainable_state(self) -> dict[str, Tensor]:
        """The same as copies, which training does not move."""
        return {name: p.detach().clone() for name, p in self.trainable_state().items()}

    @contextmanager
    def own_weights_kept(self) -> Iterator[None]:
        """Inside, it may hold other weights: its own are put back, whatever happens."""
        own = self.copy_trainable_state()
        try:
            yield
        finally:
            self.load_trainable_state(own)

    def check_trainable_state(self, state: dict[str, Tensor]) -> None:
        """Raises `PolicyError` when the names or shapes of saved tensors are not those of this
        policy."""
        own = self.trainable_state()
        if own.keys() != state.keys():
            differing = sorted(own.keys() ^ state.keys())
            raise PolicyError(
                f"the saved weights do not belong to policy {self.source!r}: {len(differing)} "
                "names differ, first "
                f"{differing[0]!r}. Use the policy and the LoRA setting that the run was "
                "started with."
            )
        for name, p in own.items():
            if p.shape != state[name].shape:
                raise PolicyError(
                    f"saved weight {name!r} has shape {tuple(state[name].shape)}, policy "
                    f"{self.source!r} has {tuple(p.shape)}. Use the policy and "
                    "the LoRA setting that the run was started with."
                )

    @torch.no_grad()
    def load_trainable_state(self, state: dict[str, Tensor]) -> None:
        """Put saved tensors back. Raises `PolicyError` when names or shapes differ, and then
        changes nothing."""
        self.check_trainable_state(state)
        for name, p in self.trainable_state().items():
            p.copy_(state[name])

    def encode_prompt(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a conversation with the opening of the answer, through the chat template.

        A base model without a template gets the contents as plain paragraphs. Where the template
        refuses a system message (Gemma's), its text opens the first user turn, with an empty line
        after it; a template that leaves it out (the embedded policy's) has its way. Where a content
        spells a control token such as <|end|>, it is encoded as the letters that it is: only the
        template ends turns and opens them.
        """
        messages = self._as_the_template_takes_them(messages)
        if not self.tokenizer.chat_template:
            paragraphs = "\n\n".join(m["content"] for m in messages) + "\n\n"
            return self._encode(paragraphs, add_special_tokens=True, split_special_tokens=True)
        if not any(self._spells_control_token(m["content"]) for m in messages):
            return self._encode(self._render(messages))
        marks = {f"{MARK}{i}{MARK}": m["content"] for i, m in enumerate(messages)}
        text = self._render(
            [m | {"content": mark} for m, mark in zip(messages, marks, strict=True)]
        )
        parts = re.split(f"({'|'.join(marks)})", text)
        return [
            i
            for part in parts
            if part
            for i in self._encode(marks.get(part, part), split_special_tokens=part in marks)
        ]

    def _as_the_template_takes_them(self, messages: Sequence[Message]) -> list[Message]:
        """The messages, with the system's text in the first user turn where the template has no
        place for it."""
        head, rest = list(messages[:1]), list(messages[1:])
        if (
            not head
            or head[0]["role"] != "system"
            or not self.tokenizer.chat_template
            or self.takes_system
        ):
            return head + rest
        if not rest or rest[0]["role"] != "user":
            follows = f"the next turn is of role {rest[0]['role']!r}" if rest else "nothing follows"
            raise PolicyError(
                f"the chat template of policy {self.source!r} takes no system message. Its text "
                f"would open the user turn that follows it, but {follows}. Put the text into a "
                "user message."
            )
        return [rest[0] | {"content": f"{head[0]['content']}\n\n{rest[0]['content']}"}, *rest[1:]]

    @property
    def takes_system(self) -> bool:
        """Whether the chat template renders a conversation with a system message, or refuses it."""
        try:
            self._render([{"role": "system", "content": "?"}, {"role": "user", "content": "?"}])
        except PolicyError:
            return False
        return True

    def _template(self) -> tuple[bool, dict[str | None, AnswerFrame]]:
        """Whether the template wants contents as parts, and what is known of the frames of its
        answers; looked at anew when somebody has set another one."""
        template = self.tokenizer.chat_template
        if self._known_template is None or self._known_template[0] != template:
            parts = bool(template) and wants_parts(self.tokenizer)
            self._known_template = template, parts, {}
        return self._known_template[1:]

    def _frame(self, messages: Sequence[Message]) -> AnswerFrame:
        """What the template adds to an answer to `messages`."""
        first = messages[0] if messages else {"role": "user"}
        system = first["content"] if first["role"] == "system" else None
        parts, frames = self._template()
        if system not in frames:
            try:
                frames[system] = answer_frame(self.tokenizer, parts=parts, system=system)
            # A template is a program of somebody else's: it may raise anything.
            except Exception as e:
                # Of the example that has to be rendered: a question.
                roles = ["user"] if system is None else ["system", "user"]
                raise self._template_error(e, roles) from e
        return frames[system]

    def opened(self, messages: Sequence[Message] = ()) -> str:
        """What the chat template's generation prompt says of the answer to `messages` before the
        model does, such as `<think>\\n`; '' for most."""
        return self._frame(messages).opened

    def _render(self, messages: Sequence[Message]) -> str:
        parts, _ = self._template()
        try:
            return render(self.tokenizer, messages, parts=parts)
        except Exception as e:
            raise self._template_error(e, [message["role"] for message in messages]) from e

    def _template_error(self, error: Exception, roles: Sequence[str]) -> PolicyError:
        # Pairs of neighbours of one role: usually the reason, and seldom in the template's words.
        twice = [role for role, following in pairwise(roles) if role == following]
        hint = ""
        if twice:
            hint = (
                f" Two turns of role {twice[0]!r} in a row are refused by many templates: join "
                "them in the data."
            )
        return PolicyError(
            f"the chat template of policy {self.source!r} cannot render the conversation: "
            f"{type(error).__name__}: {error}. Its roles are {', '.join(roles)}.{hint} Give "
            "turns that the template takes, or set policy.tokenizer.chat_template to a template "
            "that takes these."
        )

    def _encode(self, text: str, **options: Any) -> list[int]:
        options = {"add_special_tokens": False} | options
        try:
            ids: list[int] = self.tokenizer(text, **options)["input_ids"]
        except TypeError as e:
            if (half := _LONE_SURROGATE.search(text)) is None:
                raise
            raise PolicyError(
                f"a text holds half a surrogate pair (U+{ord(half.group()):04X}), which no "
                f"tokenizer takes: {text[max(half.start() - 30, 0) : half.end() + 30]!r}. Leave "
                "it out of the question or the system prompt."
            ) from e
        # Tokens may have been added since the policy was loaded, when this was compared.
        wrong = too_many_tokens(self.tokenizer, ids, rows_said_by(self.model.config))
        if wrong:
            raise PolicyError(f"policy {self.source!r}: {wrong}")
        return ids

    def _spells_control_token(self, text: str) -> bool:
        return any(token in text for token in self.tokenizer.all_special_tokens)

    def encode_completion(self, text: str, messages: Sequence[Message] = ()) -> list[int]:
        """Token ids of an answer to `messages` with its end token, as they follow the prompt: what
        the chat template has opened is left out, whether `text` repeats it or not.

        Raises `PolicyError` for a text that does not fit behind it.
        """
        frame = self._frame(messages)
        own = frame.own_part(text)
        if own is None:
            raise PolicyError(
                f"the completion {text[:60]!r} does not follow the prompt of policy "
                f"{self.source!r}, whose chat template has opened {frame.opened!r}. Begin it with "
                "that, or close it in the text."
            )
        return [*self._encode(own), self.eos_token_ids[0]]

    def decode(self, ids: Sequence[int], messages: Sequence[Message] = ()) -> str:
        """The text of a completion of `messages` as a judge sees it: the assistant's whole message.

        What the chat template opened in the prompt stands before what the model wrote (see
        `opened`), and a closing tag of the template's whose place the end token takes stands after
        it. The end token, the padding behind it and the template's header where the model says it
        once more are left out; every other token stays, special or not.
        """
        ended = any(token in self.eos_token_ids for token in ids)
        return self._frame(messages).whole(self.text_of(ids), ended=ended)

    def text_of(self, ids: Sequence[int]) -> str:
        """The text of these tokens alone, up to an end token; special tokens stay."""
        end = next((i for i, token in enumerate(ids) if token in self.eos_token_ids), None)
        text: str = self.tokenizer.decode(
            list(ids)[:end], skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return text

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """The text of each token by itself, special tokens included."""
        return [self.tokenizer.decode([i], clean_up_tokenization_spaces=False) for i in ids]
