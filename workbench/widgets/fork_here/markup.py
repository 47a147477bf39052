"""The HTML of the tree of continuations. Inert; every text of the model is escaped."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from workbench.influence.fork_result import Continuation, Continuations
from workbench.widgets.base.numbers import number_text
from workbench.widgets.base.text import menu_text, safe_text
from workbench.widgets.fork_here.tree import Node, tree_of
from workbench.widgets.tokens.pieces import BREAK, piece_of

FORK_CSS = Path(__file__).with_name("fork_here.css").read_text(encoding="utf-8")
FIRST, LAST = 48, 16
"""Tokens of a stretch that are shown: of its beginning, and of its end, where the answer is."""


def forked_html(found: Continuations) -> str:
    """What was found, in words and as a tree."""
    branches = "".join(_item(node, found, _largest(found)) for node in tree_of(found))
    head = (
        "<div class='wb-fork-row wb-fork-head' aria-hidden='true'><span>what the policy writes"
        "</span><span>drawn</span><span>probability</span><span>reward</span></div>"
    )
    return (
        f"<div class='wb-fork'><div role='status'>{_words(found)}</div>{head}"
        f"<ul aria-label='continuations'>{branches}</ul></div>"
    )


def _words(found: Continuations) -> str:
    shown = piece_of(found.recorded.ids[0], found.recorded.pieces[0]).shown.replace(BREAK, "")
    whose = "the policy that was given"
    if found.policy_step is not None:
        whose = f"the policy after step {found.policy_step}"
    different = len({one.ids for one in found.sampled})
    alike = "All are the same, with" if different == 1 else f"{different} different, together"
    said = (
        f"<b>In place of token {found.token}</b> “<span class='wb-text'>{shown}</span>” of row "
        f"{found.row}, step {found.step}: {len(found.sampled)} continuations by {whose} at "
        f"temperature {number_text(found.temperature)}, seed {found.seed}. {alike} "
        f"{number_text(found.mass, '.3g')} of the probability of all."
    )
    if found.not_scored:
        return f"{said} Not scored: {safe_text(found.not_scored, 400)}"
    rewards = np.array([one.reward for one in found.sampled])
    if np.isnan(rewards).all():
        return f"{said} No reward function said anything of them."
    mean = number_text(float(np.nanmean(rewards)), ".3g")
    recorded = number_text(found.recorded.reward, ".3g")
    return f"{said} Mean reward <b>{mean}</b>; the record has {recorded}."


def _largest(found: Continuations) -> float:
    return max(one.probability for one in (*found.sampled, found.recorded))


def _item(node: Node, found: Continuations, largest: float) -> str:
    """A stretch with what follows it."""
    of = len(found.sampled)
    css = "wb-fork-row" if node.draws else "wb-fork-row wb-fork-not-drawn"
    drawn = f"{node.draws} of {of}" if node.draws else "not drawn"
    # Where the record went stands at each of its stretches that no draw went, and at its end.
    ends_recorded = node.ends is not None and node.ends.ids == found.recorded.ids
    mark = "<span class='wb-fork-mark'>recorded</span>" if ends_recorded else ""
    cells = f"<span class='wb-fork-drawn'>{drawn}</span>"
    cells += _end(node.ends, found, largest) if node.ends is not None else _passing(node)
    inner = "".join(_item(child, found, largest) for child in node.children)
    below = f"<ul>{inner}</ul>" if inner else ""
    return (
        f"<li><div class='{css}'><span class='wb-fork-text'>{_stretch(node)}{_cut(node)}{mark}"
        f"</span>{cells}</div>{below}</li>"
    )


def _cut(node: Node) -> str:
    is_cut = node.ends is not None and node.ends.truncated
    return " <span class='wb-dim'>cut off</span>" if is_cut else ""


def _passing(node: Node) -> str:
    """Where all go on: how likely this stretch is by itself."""
    words = f"this stretch {number_text(node.probability, '.3g')}"
    return f"<span class='wb-fork-p wb-dim'>{words}</span><span></span>"


def _end(one: Continuation, found: Continuations, largest: float) -> str:
    share = one.probability / largest if largest > 0 else 0.0
    figure = number_text(one.probability, ".3g")
    bar = f"<span class='wb-fork-bar' style='width:{100 * share:.0f}%'></span>"
    is_recorded = one.ids == found.recorded.ids
    reward = found.recorded.reward if is_recorded else one.reward
    parts = found.recorded.rewards if is_recorded else one.rewards
    title = ", ".join(
        f"{menu_text(name, 60)} {number_text(value)}" for name, value in parts.items()
    )
    return (
        f"<span class='wb-fork-p'><span class='wb-fork-track' aria-hidden='true'>{bar}</span>"
        f"<span><span class='wb-unseen'>probability </span>{figure}</span></span>"
        f"<span class='wb-fork-reward' title='{html.escape(title)}'>"
        f"<span class='wb-unseen'>reward </span>{number_text(reward, '.3g', 'none')}</span>"
    )


def _stretch(node: Node) -> str:
    """The tokens, of a long stretch its two ends."""
    places = range(len(node.ids))
    if len(places) <= FIRST + LAST:
        return _tokens(node, places)
    left_out = len(places) - FIRST - LAST
    note = f" <span class='wb-cut'>… {left_out} tokens …</span> "
    return _tokens(node, places[:FIRST]) + note + _tokens(node, places[-LAST:])


def _tokens(node: Node, places: Sequence[int]) -> str:
    spans = []
    for place in places:
        piece = piece_of(node.ids[place], node.pieces[place])
        # The tree has a line for each stretch: a line break is shown, and breaks none.
        shown = piece.shown.replace(BREAK, "")
        probability = number_text(float(np.exp(node.logp_T[place])), ".3g")
        css = f"t {piece.css}".strip()
        spans.append(f"<span class='{css}' title='probability {probability}'>{shown}</span>")
    return "".join(spans)
