"""The tokens of a completion as a file may hold them, and the token arrays of a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from workbench.exchange.values import ImportFileError, ids_of, logps_of, texts_of
from workbench.runs import TokenArrays

ID_NAMES = ("token_ids", "completion_ids", "response_ids", "output_ids")
TEXT_NAMES = ("tokens", "token_texts")
LOGP_NAMES: dict[str, tuple[str, ...]] = {
    "logp": ("logp", "logps", "per_token_logps", "log_probs"),
    "old_logp": ("old_logp", "old_logps", "old_per_token_logps", "old_log_probs"),
    "ref_logp": ("ref_logp", "ref_logps", "ref_per_token_logps", "ref_log_prob", "ref_log_probs"),
    "sampler_logp": (
        "sampler_logp",
        "sampler_logps",
        "sampling_per_token_logps",
        "rollout_log_probs",
        "logprobs",
    ),
}
"""What a record calls it -> the names that a row may have for it, the first one there. A plain
`logprobs` is what engines return with a sample: the sampler's."""

WORDS = {
    "logp": "the log-probabilities of the updated policy (logp)",
    "old_logp": "those before the update (old_logp)",
    "ref_logp": "the reference's (ref_logp)",
    "sampler_logp": "the sampler's (sampler_logp)",
}


@dataclass(frozen=True)
class Tokens:
    """The T tokens of one completion."""

    ids: np.ndarray | None
    """int32 (T,); None where the file has texts alone."""

    texts: tuple[str, ...] | None
    """T texts; None where the file has ids alone."""

    logps: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Keys of `LOGP_NAMES` -> float32 (T,)."""

    def __len__(self) -> int:
        return len(self.texts or ()) if self.ids is None else len(self.ids)


def tokens_in(place: str, row: Mapping[str, Any]) -> tuple[Tokens | None, set[str]]:
    """The tokens that a row names, None where it names none, and the names that were read. A value
    of null is none. Raises `ImportFileError`."""
    names: dict[str, str] = {}
    for what, known in {"ids": ID_NAMES, "texts": TEXT_NAMES, **LOGP_NAMES}.items():
        name = next((name for name in known if row.get(name) is not None), None)
        if name is not None:
            names[what] = name
    if not names:
        return None, set()
    found = {what: _readers(what)(place, name, row[name]) for what, name in names.items()}
    if "ids" not in found and "texts" not in found:
        raise ImportFileError(
            f"{place}: has {next(iter(names.values()))!r}, and no tokens that it could be of. Give "
            f"their ids ({ID_NAMES[0]}) or their texts ({TEXT_NAMES[0]})."
        )
    _check_lengths(place, {names[what]: len(values) for what, values in found.items()})
    ids, texts = found.pop("ids", None), found.pop("texts", None)
    return Tokens(ids, texts, found), set(names.values())


def _readers(what: str) -> Callable[[str, str, Any], Any]:
    return {"ids": ids_of, "texts": texts_of}.get(what, logps_of)


def _check_lengths(place: str, lengths: Mapping[str, int]) -> None:
    (first, count), *others = lengths.items()
    for name, other in others:
        if other != count:
            raise ImportFileError(
                f"{place}: {first!r} has {count} values and {name!r} has {other}. Each is one "
                "value for each token of the completion."
            )


class Vocabulary:
    """The texts of token ids, as the files give them; ids are given to texts that have none."""

    def __init__(self) -> None:
        self._text_of: dict[int, str] = {}
        self._own_id: dict[str, int] = {}
        self.ambiguous: set[int] = set()
        """Ids to which the files give several texts; the first one is kept."""
        self.numbered = False
        """Whether ids had to be made up."""

    def learn(self, tokens: Tokens) -> None:
        """Remember the texts of a completion's tokens."""
        texts = tokens.texts or ()
        if tokens.ids is None:
            self.numbered = True
            ids = [self._own_id.setdefault(text, len(self._own_id)) for text in texts]
        else:
            ids = tokens.ids.tolist() if texts else []
        for i, text in zip(ids, texts, strict=True):
            if self._text_of.setdefault(i, text) != text:
                self.ambiguous.add(i)

    def ids(self, tokens: Tokens) -> np.ndarray:
        """int32 (T,): the ids of a completion's tokens, all of which it has learnt."""
        if tokens.ids is not None:
            return tokens.ids
        return np.array([self._own_id[text] for text in tokens.texts or ()], np.int32)

    @property
    def has_texts(self) -> bool:
        """Whether any token has a text."""
        return bool(self._text_of)

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """The text of each id, as a record's writer asks for it; its number where none is known."""
        return [self._text_of.get(i, f"⟨{i}⟩") for i in ids]


def arrays_of(found: Sequence[Tokens | None], vocabulary: Vocabulary) -> TokenArrays | None:
    """The arrays of a step; None where a completion lacks its tokens. Log-probabilities that only
    some of the completions have are left out."""
    known = [tokens for tokens in found if tokens is not None]
    if len(known) < len(found) or not known:
        return None
    shared = [name for name in LOGP_NAMES if all(name in tokens.logps for tokens in known)]
    return TokenArrays(
        lengths=[len(tokens) for tokens in known],
        ids=np.concatenate([vocabulary.ids(tokens) for tokens in known]),
        floats={name: np.concatenate([one.logps[name] for one in known]) for name in shared},
    )


def check_one_kind(found: Sequence[Tokens | None]) -> None:
    """Raises `ImportFileError` where some completions have token ids and others texts alone: the
    ids made up for these would name other tokens."""
    kinds = {tokens.ids is None for tokens in found if tokens is not None}
    if len(kinds) > 1:
        raise ImportFileError(
            "some completions have the ids of their tokens and others their texts alone. Give the "
            "ids of all, or of none."
        )


def left_out_of(found: Sequence[Tokens | None]) -> list[str]:
    """What of the tokens is not there, in words; `found` are those of all completions."""
    known = [tokens for tokens in found if tokens is not None]
    if not known:
        return ["tokens", "log-probabilities"]
    without = [] if len(known) == len(found) else ["tokens"]
    return without + [
        words for name, words in WORDS.items() if any(name not in one.logps for one in known)
    ]
