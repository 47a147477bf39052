"""One or several `vllm serve` as one sampler: each of them has the adapter, and each prompt goes to
one. What a prompt's completions are does not depend on which: its seed goes with it.

A server that is gone costs time and no run: its prompts go to the others, and it is asked again at
the next step. Where none answers the step is tried again after a pause, a few times.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from workbench.rollout.request import raise_if_stopped
from workbench.rollout.types import Sampling
from workbench.rollout.vllm.checks import VLLMError
from workbench.rollout.vllm.colocate import Completions
from workbench.rollout.vllm.server import Server, ServerGoneError

PAUSES = (1.0, 4.0, 15.0)
"""Seconds before each new try."""
ALIKE = 0.25
"""Nats by which two servers may differ on average on the same tokens."""


class Servers:
    """The servers at `urls`, addresses with commas between them. Raises `VLLMError` at once where
    one does not answer, or not as the others do."""

    def __init__(self, urls: str | None, max_model_len: int) -> None:
        self._model: Any = None
        self._all: list[Server] = []
        try:
            for url in (urls or "").split(","):
                self._all.append(Server(url.strip(), max_model_len))
            self._check_same_model()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """Their addresses, in words."""
        return " and ".join(server.url for server in self._all)

    @property
    def served(self) -> str:
        """The name of the model that they serve."""
        return self._all[0].served

    @property
    def processed(self) -> bool:
        """Whether their log-probabilities are of the distribution that is sampled from."""
        return all(server.processed for server in self._all)

    def _check_same_model(self) -> None:
        for server in self._all[1:]:
            if server.served != self.served:
                raise VLLMError(
                    f"{self._all[0].url} serves {self.served!r} and {server.url} "
                    f"{server.served!r}. Several servers of one run must serve the same model."
                )

    # ----------------------------------------------------------------------------------- weights

    def sync(self, model: Any) -> None:
        """Bring every server to the policy's weights of now."""
        self._model = model
        self._ready(None)

    def _ready(self, should_stop: Callable[[], bool] | None) -> list[Server]:
        """The servers that have the weights of now. Raises what the first of them raised where
        none has."""
        for pause in (*PAUSES, None):
            with ThreadPoolExecutor(len(self._all)) as pool:
                gone = list(pool.map(self._why_gone, self._all))
            ready = [server for server, why in zip(self._all, gone, strict=True) if why is None]
            if ready:
                _warn_of([why for why in gone if why is not None])
                return ready
            if pause is None:
                break
            _sleep(pause, should_stop)
        raise gone[0] or AssertionError

    def _why_gone(self, server: Server) -> ServerGoneError | None:
        try:
            server.sync(self._model)
        except ServerGoneError as error:
            server.forget()
            return error
        return None

    # ---------------------------------------------------------------------------------- requests

    def sample(
        self,
        prompts: list[list[int]],
        n: int,
        sampling: Sampling,
        eos_token_ids: Sequence[int],
        seeds: list[int],
        should_stop: Callable[[], bool] | None,
    ) -> Completions:
        """As `Server.sample`, each prompt by one of those that answer."""
        found: dict[int, Any] = {}
        for pause in (*PAUSES, None):
            missing = [place for place in range(len(prompts)) if place not in found]
            if not missing:
                break
            ready = self._ready(should_stop)
            shares = [missing[i :: len(ready)] for i in range(len(ready))]

            def ask(server: Server, share: list[int], stop: Callable[[], bool]) -> Completions:
                own = [prompts[i] for i in share], n, sampling, eos_token_ids
                return server.sample(*own, [seeds[i] for i in share], stop)

            gone = _share_out(ready, shares, ask, found, should_stop)
            if gone and pause is None:
                raise gone[0]
            if len(gone) == len(ready):
                _sleep(pause or 0.0, should_stop)
            else:
                _warn_of(gone)
        return [found[place] for place in range(len(prompts))]

    def score(self, ids: list[int]) -> list[float]:
        """The log-probability of each token of `ids` after the first. Raises `VLLMError` where two
        servers do not agree on them."""
        first, *others = (server.score(ids) for server in self._all)
        for server, scores in zip(self._all[1:], others, strict=True):
            apart = sum(abs(a - b) for a, b in zip(first, scores, strict=True)) / len(first)
            if not apart <= ALIKE:
                raise VLLMError(
                    f"{self._all[0].url} and {server.url} give the same tokens log-probabilities "
                    f"that differ by {apart:.2f} nats on average. Serve the same weights from both."
                )
        return first

    def close(self) -> None:
        """Drop the adapter on each server, if it still answers, and the files here."""
        for server in self._all:
            server.close()


def _share_out(
    servers: Sequence[Server],
    shares: Sequence[list[int]],
    ask: Callable[[Server, list[int], Callable[[], bool]], Completions],
    found: dict[int, Any],
    should_stop: Callable[[], bool] | None,
) -> list[ServerGoneError]:
    """Ask each server for its share, all at the same time, and put what comes into `found`; why
    some did not answer."""
    broken_off = threading.Event()
    gone = []

    def stop() -> bool:
        return broken_off.is_set() or (should_stop is not None and should_stop())

    with ThreadPoolExecutor(len(servers)) as pool:
        asked: list[tuple[Server, list[int], Future[Completions]]] = [
            (server, share, pool.submit(ask, server, share, stop))
            for server, share in zip(servers, shares, strict=True)
            if share
        ]
        try:
            for server, share, future in asked:
                try:
                    found.update(zip(share, future.result(), strict=True))
                except ServerGoneError as error:
                    server.forget()
                    gone.append(error)
        except BaseException:
            # The others' requests are for nothing, and would be waited for.
            broken_off.set()
            raise
    return gone


def _warn_of(gone: Sequence[ServerGoneError]) -> None:
    for error in gone:
        warnings.warn(
            f"{error} Its prompts go to the other servers; it is asked again at the next step.",
            stacklevel=5,
        )


def _sleep(seconds: float, should_stop: Callable[[], bool] | None) -> None:
    """Raises `RolloutCancelledError` soon after a stop."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        raise_if_stopped(should_stop)
        time.sleep(min(left, 0.1))
