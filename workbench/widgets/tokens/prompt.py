"""The prompt of a completion as the policy reads it: its tokens, with the chat template's markers
and the special tokens. Rendered on demand, since only the question is in the record."""

from __future__ import annotations

from typing import Any

from workbench.errors import WorkbenchError
from workbench.widgets.base.source import RunSource
from workbench.widgets.base.style import framed, scrolling
from workbench.widgets.base.text import safe_text
from workbench.widgets.base.torch_on_demand import is_torch_missing, needs_torch
from workbench.widgets.tokens.pieces import BREAK, Piece, piece_of

MOST_TOKENS = 2000
"""Tokens of a prompt that are shown; in front of them it is said how many are left out."""


class Prompts:
    """Renders the prompts of runs; keeps the policy's tokenizer and the task of the last run."""

    def __init__(self) -> None:
        self._known: tuple[Any, Any, Any] | None = None

    def html(self, source: RunSource, problem_id: str) -> str:
        """The tokens of the prompt, or in words why they are not known."""
        try:
            tokens = self.tokens(source, problem_id)
        except ModuleNotFoundError as error:
            if not is_torch_missing(error):
                raise
            return _note(needs_torch("The rendered prompt"))
        except WorkbenchError as error:
            return _note(str(error))
        return rendered_html(tokens)

    def tokens(self, source: RunSource, problem_id: str) -> list[tuple[int, str]]:
        """(id, text) of each token, in order. Raises `WorkbenchError` where policy or task cannot
        be loaded by the record's names."""
        from workbench.influence.kept_step import problem_of

        policy, task = self._reader(source)
        ids = policy.encode_prompt(task.messages(problem_of(task, problem_id)))
        return list(zip(ids, policy.pieces(ids), strict=True))

    def _reader(self, source: RunSource) -> tuple[Any, Any]:
        trainer = source.session.trainer if source.session is not None else None
        if trainer is not None:
            return trainer.policy, trainer.task
        if self._known is None or self._known[0] != source.run.path:
            from workbench.influence.begin import task_of_run
            from workbench.policy.load import load_reader

            reader = load_reader(source.run.meta.policy)
            self._known = source.run.path, reader, task_of_run(source.run)
        return self._known[1:]


def rendered_html(tokens: list[tuple[int, str]]) -> str:
    """The tokens in a row, special ones framed, white space visible."""
    shown = tokens[-MOST_TOKENS:]
    left = len(tokens) - len(shown)
    before = f'<span class="wb-cut">… {left:,} tokens left out …</span>' if left else ""
    spans = "".join(_span(piece_of(token_id, text)) for token_id, text in shown)
    name = "prompt as the policy reads it"
    head = f'<span class="wb-dim">{name}, {len(tokens)} tokens:</span><br>'
    whole = scrolling(name, f"{head}{before}{spans}", "wb-rendered")
    return framed(f'<div class="wb-tokens">{whole}</div>')


def _span(piece: Piece) -> str:
    # A line break stands behind its token: within, the token's frame would reach into the next
    # line.
    after = BREAK if piece.shown.endswith(BREAK) else ""
    return f'<span class="t {piece.css}">{piece.shown.removesuffix(BREAK)}</span>{after}'


def _note(text: str) -> str:
    return framed(f'<div class="wb-note" role="status">{safe_text(text)}</div>')
