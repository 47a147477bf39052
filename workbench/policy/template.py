"""What a chat template writes around an answer, found by rendering examples.

A template may open the answer itself (`<think>` in the generation prompt of a thinking model) or
close it (`</answer>` before the end of the turn). The model never writes those letters, but they
are part of its message, and whoever judges the message must see them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.policy.opening import counterparts, header_of, opened_by
from workbench.rewards.time_limit import OutOfTimeError, TimeLimit

Message = Mapping[str, Any]
MARK = "\ue000"
"""A character of Unicode's private use area: stands in for a content while the template is
rendered."""
QUESTION, ANSWER, NEXT = f"{MARK}q{MARK}", f"{MARK}a{MARK}", f"{MARK}n{MARK}"
"""The contents of the example conversation; no template knows them."""

RENDER_SECONDS = 10.0
"""One conversation takes well under a millisecond; a template may loop."""

_OPENING = re.compile(r"<([A-Za-z][\w:-]*)>")
_CLOSING = re.compile(r"</([A-Za-z][\w:-]*)>")
_CLOSING_TAGS = re.compile(r"(\s*</[A-Za-z][\w:-]*>)+\s*")


@dataclass(frozen=True)
class AnswerFrame:
    """What the template adds to the letters that the model writes."""

    opened: str = ""
    """What the generation prompt says of the answer, after the assistant's header: "<think>\\n"."""

    closing_tags: tuple[str, ...] = ()
    """What the template writes between the answer and the end of the turn, or what ends the turn
    itself: ("</answer>",). The model's end token stands in its place."""

    header: str = ""
    """What stands before `opened` to say that the assistant speaks: "<|assistant|>"."""

    @property
    def leaves_open(self) -> bool:
        """Whether a tag of `opened` waits for the model to close it."""
        return any(is_open(tag, self.opened) for tag in _OPENING.findall(self.opened))

    def whole(self, text: str, ended: bool) -> str:
        """The assistant's whole message, of which the model wrote `text`; `ended`: with an end
        token, and not because there was no room for more."""
        text = self._without_header(text)
        if not self._thinks_for_itself(text):
            text = self.opened + text
        if ended:
            for tag in self.closing_tags:
                if is_open(tag.strip("</>"), text):
                    text += tag
        return text

    def _without_header(self, text: str) -> str:
        # A model that was trained on whole turns may begin by saying the prompt's end once more.
        # That is no part of its answer; any other mark of a turn is, and is judged.
        said = text.lstrip()
        if not self.header or not said.startswith(self.header):
            return text
        said = said.removeprefix(self.header).lstrip()
        return said.removeprefix(self.opened.strip())

    def _thinks_for_itself(self, text: str) -> bool:
        # Templates that switch thinking off write an empty thought, closed. It stands for the
        # thought of an answer that has none; where the model writes one all the same, it says no
        # more, and two thoughts in one message would be refused for ever.
        if not self.opened or self.leaves_open:
            return False
        first = _OPENING.search(self.opened)
        return first is not None and text.lstrip().startswith(first.group())

    def own_part(self, message: str) -> str | None:
        """What of a whole message the model has to write, without its end; None where the message
        neither begins with what the template opens nor closes it."""
        own = self._without_opening(message)
        if own is None:
            return None
        for tag in reversed(self.closing_tags):
            own = own.rstrip().removesuffix(tag) if own.rstrip().endswith(tag) else own
        return own

    def _without_opening(self, message: str) -> str | None:
        if message.startswith(self.opened):
            return message.removeprefix(self.opened)
        # White space round the tags varies between people, and says nothing.
        stripped = message.lstrip()
        if self.opened.strip() and stripped.startswith(self.opened.strip()):
            return stripped.removeprefix(self.opened.strip()).lstrip()
        if not self.leaves_open:
            return message
        closes = all(f"</{tag}>" in message for tag in _OPENING.findall(self.opened))
        return message if closes else None


def is_open(name: str, text: str) -> bool:
    """Whether `<name>` was opened in `text` and not closed."""
    return text.count(f"<{name}>") > text.count(f"</{name}>")


def template_forms(tokenizer: Any) -> dict[str, str]:
    """The tokenizer's templates by name: one called "default", several, or none."""
    forms = tokenizer.chat_template
    if isinstance(forms, Mapping):
        return dict(forms)
    # As tokenizer_config.json writes several.
    if isinstance(forms, list):
        return {form["name"]: form["template"] for form in forms}
    return {"default": forms} if forms else {}


def template_of(tokenizer: Any) -> str:
    """The template that a conversation is rendered with: the one called "default", or the only one.

    Raises ValueError where there are several, none of them called "default".
    """
    forms = template_forms(tokenizer)
    name = "default" if "default" in forms or len(forms) != 1 else next(iter(forms))
    if name not in forms:
        raise ValueError(f"there are templates called {', '.join(forms)}, and no 'default'")
    return forms[name]


def render(
    tokenizer: Any,
    messages: Sequence[Message],
    *,
    parts: bool = False,
    prompt: bool = True,
    apart: bool = True,
) -> str:
    """The conversation as text, with the opening of the answer (`prompt`); contents as lists of
    parts where the template wants them so. Raises whatever the template raises, and
    `OutOfTimeError` for one that loops."""
    talk = [m | {"content": _content(m["content"], parts)} for m in map(dict, messages)]

    def rendered() -> str:
        text: str = tokenizer.apply_chat_template(
            talk,
            chat_template=template_of(tokenizer),
            tokenize=False,
            add_generation_prompt=prompt,
        )
        return text

    # Beside, the limit costs 30 microseconds, and every prompt of a task is rendered; in the main
    # thread it costs 500, and ends the loop.
    found: str = TimeLimit(RENDER_SECONDS).call(rendered, apart=apart)
    return found


def _content(text: str, parts: bool) -> Any:
    return [{"type": "text", "text": text}] if parts else text


def wants_parts(tokenizer: Any) -> bool:
    """Whether the template renders contents only where they are lists of parts."""
    return not _shows(tokenizer, parts=False) and _shows(tokenizer, parts=True)


def _shows(tokenizer: Any, parts: bool) -> bool:
    """Whether a question comes through the template whole."""
    try:
        return QUESTION in render(tokenizer, question_for(tokenizer, parts), parts=parts)
    except OutOfTimeError:
        raise
    # A template is a program of somebody else's: it may raise anything. Why it did is told where
    # it is the form that is used in the end.
    except Exception:
        return False


def question_for(tokenizer: Any, parts: bool, system: str | None = None) -> list[dict[str, str]]:
    """A conversation with a question that the template takes: after `system`, where it takes that,
    else alone; some will not do without a system message. Raises what the template raises."""
    alone = [{"role": "user", "content": QUESTION}]
    after = [{"role": "system", "content": "?" if system is None else system}, *alone]
    first, second = (alone, after) if system is None else (after, alone)
    try:
        render(tokenizer, first, parts=parts)
    except OutOfTimeError:
        raise
    except Exception as refusal:
        try:
            render(tokenizer, second, parts=parts)
        # What it says of the first is what a person can do something about.
        except Exception:
            raise refusal from None
        return second
    return first


def answer_frame(tokenizer: Any, *, parts: bool = False, system: str | None = None) -> AnswerFrame:
    """What the template opens and closes in the assistant's name; nothing where there is none.

    `system`: the system message, by which some templates go (SmolLM3's "/no_think").
    """
    if not tokenizer.chat_template:
        return AnswerFrame()
    question = question_for(tokenizer, parts, system)
    prompt = _after_question(render(tokenizer, question, parts=parts), system)
    unasked = _after_question(render(tokenizer, question, parts=parts, prompt=False), system)
    talks = finished_talks(tokenizer, parts, system)
    # Some open the answer unasked; then a question may end as an answer does.
    turn_before = _after_answer(talks) if unasked == prompt else unasked
    heads = [text.partition(ANSWER)[0] for text in talks]
    opened = opened_by(prompt, heads, _own_parts(tokenizer, talks))
    end = turn_end(tokenizer, parts=parts)
    return AnswerFrame(
        opened=opened,
        closing_tags=_closing_tags(tokenizer, _after_answer(talks), end),
        header=header_of(prompt, opened, turn_before),
    )


def _own_parts(tokenizer: Any, talks: Sequence[str]) -> set[str]:
    """The names of the tags of an answer's parts that this template has of its own."""
    if not talks:
        return set()
    tails = [text.partition(ANSWER)[2].partition(NEXT)[0] for text in talks]
    question_tags = "".join(text.partition(NEXT)[2] for text in talks)
    return counterparts(template_of(tokenizer), tails, question_tags)


def turn_end(tokenizer: Any, *, parts: bool = False) -> int | None:
    """The control token that the chat template writes after an answer, such as <|im_end|>; None
    where it writes none. Closing tags may stand before it, or be control tokens themselves.

    A file in GGUF format, and many a base model with a template, name only the end of a text as
    their end token.
    """
    if not tokenizer.chat_template:
        return None
    after = _after_answer(finished_talks(tokenizer, parts))
    tags = _CLOSING_TAGS.match(after)
    closing = tags.group() if tags else ""
    rest = after.removeprefix(closing)
    special = control_ids(tokenizer)
    first = tokenizer(rest, add_special_tokens=False)["input_ids"][:1]
    in_tags = tokenizer(closing, add_special_tokens=False)["input_ids"]
    found = [i for i in [*in_tags, *first] if i in special]
    return found[-1] if found else None


def finished_talks(tokenizer: Any, parts: bool, system: str | None = None) -> list[str]:
    """What follows the question in conversations with an answer, of those that the template takes:
    the answer at the end, and with a question after it (many templates leave the thoughts of
    earlier turns out)."""
    found = []
    question = question_for(tokenizer, parts, system)
    answered = [*question, {"role": "assistant", "content": ANSWER}]
    for talk in (answered, [*answered, {"role": "user", "content": NEXT}]):
        try:
            text = render(tokenizer, talk, parts=parts, prompt=False)
        except OutOfTimeError:
            raise
        # Some templates take a single question only. Then there is no answer to compare with.
        except Exception:
            continue
        found.append(_after_question(text, system))
    return [text for text in found if ANSWER in text]


def _after_question(text: str, system: str | None) -> str:
    """What follows the question; without the system message, which some templates put behind it."""
    after = text.partition(QUESTION)[2]
    return after.partition(system)[2] if system and system in after else after


def _after_answer(talks: Sequence[str]) -> str:
    """What the template writes after an answer that ends the conversation."""
    return next((text.partition(ANSWER)[2] for text in talks if NEXT not in text), "")


def _closing_tags(tokenizer: Any, after: str, end: int | None) -> tuple[str, ...]:
    """The closing tags up to the end of the turn."""
    if end is not None:
        token = tokenizer.convert_ids_to_tokens(end)
        start, found, _ = after.partition(token)
        after = start + found
    # "</s>" closes a text, and no "<s>" of an answer.
    return tuple(tag.group() for tag in _CLOSING.finditer(after) if tag.group(1) != "s")


def control_ids(tokenizer: Any) -> set[int]:
    """The ids of all tokens that the tokenizer calls special."""
    added = tokenizer.added_tokens_decoder.items()
    return {*tokenizer.all_special_ids, *(i for i, token in added if token.special)}
