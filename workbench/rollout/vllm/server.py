"""Rollouts from a `vllm serve` on another port or machine, over its OpenAI-compatible interface.

Token ids go in and come out (no text is ever encoded again), the adapter goes through a folder that
both can read, under a new name after every change. All weights of a policy cannot go that way;
`check_config` refuses it.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import socket
import tempfile
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from workbench.rollout.request import raise_if_stopped
from workbench.rollout.types import Sampling
from workbench.rollout.vllm.checks import VLLMError, adapter_rank
from workbench.rollout.vllm.colocate import Completions
from workbench.rollout.vllm.weights import Fingerprint, fingerprint, save_adapter

CONNECT_SECONDS = 5
REQUEST_SECONDS = 1800
START = (
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True vllm serve MODEL --enable-lora --max-lora-rank RANK "
    "--logprobs-mode processed_logprobs"
)
PARALLEL = 64
AWAY = (502, 503, 504)
"""What is answered in place of a server that is not there."""


class ServerGoneError(VLLMError):
    """A server that does not answer, or has lost what it was given: to be asked again, or
    another one instead."""


class Server:
    """A running `vllm serve`. Raises `VLLMError` at once where it does not answer, or not as vLLM
    does."""

    def __init__(self, url: str | None, max_model_len: int) -> None:
        parts = urlsplit(url or "")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise VLLMError(
                f"vllm_server_base_url={url!r} is no address. Give one such as "
                "http://localhost:8000."
            )
        self.url, self._parts = str(url).rstrip("/").removesuffix("/v1"), parts
        self.folder = Path(tempfile.mkdtemp(prefix="workbench-vllm-"))
        self.folder.chmod(0o755)  # the server may run as another user
        self.adapter, self._run, self._count = "", uuid.uuid4().hex[:8], 0
        self._known: Fingerprint | None = None
        try:
            self.served = self._find_model(max_model_len)
            self.processed = self._reports_processed()
        except BaseException:
            self.close()
            raise

    def _find_model(self, max_model_len: int) -> str:
        answer = self._ask("GET", "/v1/models", seconds=CONNECT_SECONDS)
        bases = (
            [m for m in answer.get("data", []) if not m.get("parent")]
            if isinstance(answer, dict)
            else []
        )
        if not bases or "id" not in bases[0]:
            raise VLLMError(
                f"vllm_server_base_url={self.url!r} answers, but lists no model as vLLM does. "
                f"Start one with: {START}"
            )
        length = bases[0].get("max_model_len")
        if length is not None and length < max_model_len:
            raise VLLMError(
                f"the server at {self.url} was started for sequences of {length} tokens, this "
                f"run may need {max_model_len} "
                "(max_prompt_length + max_completion_length). Lower them, or start it with "
                f"--max-model-len {max_model_len}."
            )
        return str(bases[0]["id"])

    def _reports_processed(self) -> bool:
        """Whether its log-probabilities change with the temperature, so are those of the
        distribution sampled from."""
        best = []
        for temperature in (1.0, 2.0):
            [choice] = self._complete([3, 2, 1], 1, Sampling(1, temperature), (), 0, logprobs=1)[
                "choices"
            ]
            best.append(max(choice["logprobs"]["top_logprobs"][0].values()))
        return bool(best[0] != best[1])

    # ----------------------------------------------------------------------------------- weights

    def sync(self, model: Any) -> None:
        """Load the adapter under a new name, if it changed, and drop the one before. A new name
        shares no cached prefix."""
        trained: Fingerprint = fingerprint(model, trained=True)
        if trained == self._known:
            return
        rank = adapter_rank(model)
        if rank == 0:
            raise VLLMError(
                "all weights of this policy are trained, and a server takes adapters only. Load "
                "the policy with lora=16, or set vllm_mode='colocate'."
            )
        self._known, self._count = None, self._count + 1
        before, name = self.adapter, f"workbench-{self._run}-{self._count}"
        save_adapter(model, self.folder / name)
        try:
            self._ask(
                "POST",
                "/v1/load_lora_adapter",
                {"lora_name": name, "lora_path": str(self.folder / name)},
            )
        except ServerGoneError:
            raise
        except VLLMError as e:
            raise VLLMError(
                f"the server took no adapter: {e}\nIt must run with LoRA (rank {rank} or more) "
                f"and runtime updates: {START.replace('RANK', str(rank))}\n"
                f"It must also be able to read this machine's {self.folder.parent} (TMPDIR sets "
                "another place)."
            ) from e
        self.adapter, self._known = name, trained
        self._drop(before)

    def forget(self) -> None:
        """It may have been started anew, and has no adapter then."""
        self.adapter, self._known = "", None

    def _drop(self, name: str) -> None:
        if name:
            self._ask("POST", "/v1/unload_lora_adapter", {"lora_name": name})
            shutil.rmtree(self.folder / name, ignore_errors=True)

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
        """`n` completions of each prompt, end token included. On a stop the connections are cut,
        and the server drops the rest."""
        opened: list[http.client.HTTPConnection] = []
        with ThreadPoolExecutor(PARALLEL, thread_name_prefix="workbench vllm") as pool:
            futures = [
                pool.submit(self._complete, p, n, sampling, eos_token_ids, seed, opened=opened)
                for p, seed in zip(prompts, seeds, strict=True)
            ]
            try:
                _wait_for(futures, should_stop)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for connection in opened:
                    _cut(connection)
                raise
        return [
            [
                (c["token_ids"], c["logprobs"]["token_logprobs"])
                for c in sorted(f.result()["choices"], key=lambda c: c["index"])
            ]
            for f in futures
        ]

    def score(self, ids: list[int]) -> list[float]:
        """The log-probability of each token of `ids` after the first."""
        [choice] = self._complete(ids, 1, Sampling(1, 0.0), (), 0, prompt_logprobs=0)["choices"]
        return [
            entry[str(token)]["logprob"]
            for token, entry in zip(ids[1:], choice["prompt_logprobs"][1:], strict=True)
        ]

    def _complete(
        self,
        prompt: list[int],
        n: int,
        sampling: Sampling,
        eos_token_ids: Sequence[int],
        seed: int,
        *,
        opened: list[http.client.HTTPConnection] | None = None,
        logprobs: int = 0,
        **more: Any,
    ) -> Any:
        body = dict(
            model=self.adapter or self.served,
            prompt=prompt,
            n=n,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            max_tokens=sampling.max_completion_length,
            seed=seed,
            stop_token_ids=list(eos_token_ids),
            ignore_eos=True,
            logprobs=logprobs,
            return_token_ids=True,
            return_tokens_as_token_ids=True,
            **more,
        )
        return self._ask("POST", "/v1/completions", body, opened=opened)

    def _ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        seconds: float = REQUEST_SECONDS,
        opened: list[http.client.HTTPConnection] | None = None,
    ) -> Any:
        """One request; the answer's JSON (or text). Raises `VLLMError` with what the server
        said."""
        kind = (
            http.client.HTTPSConnection
            if self._parts.scheme == "https"
            else http.client.HTTPConnection
        )
        connection = kind(str(self._parts.hostname), self._parts.port, timeout=CONNECT_SECONDS)
        prefix = urlsplit(self.url).path
        try:
            connection.connect()
            connection.sock.settimeout(seconds)
            if opened is not None:
                opened.append(connection)
            connection.request(
                method,
                prefix + path,
                None if body is None else json.dumps(body),
                {"Content-Type": "application/json"},
            )
            response = connection.getresponse()
            status, text = response.status, response.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as e:
            raise ServerGoneError(
                f"vllm_server_base_url={self.url!r}: the server does not answer "
                f"({e or type(e).__name__}). Start it with: {START}"
            ) from e
        finally:
            connection.close()
        if status != 200:
            # A dead engine, or one that was started anew and does not know the adapter. An adapter
            # that it refuses (its rank) is a 500 as well, and stays one.
            samples = path == "/v1/completions"
            lost = status in AWAY or (samples and (status >= 500 or status == 404))
            kind_of_error = ServerGoneError if lost else VLLMError
            raise kind_of_error(
                f"{method} {self.url}{path} failed with status {status}: {_message(text)}"
            )
        with contextlib.suppress(ValueError):
            return json.loads(text)
        return text

    def close(self) -> None:
        """Drop the adapter on the server, if it still answers, and the files here."""
        with contextlib.suppress(VLLMError):
            self._drop(self.adapter)
        self.adapter, self._known = "", None
        shutil.rmtree(self.folder, ignore_errors=True)


def _wait_for(futures: list[Future[Any]], should_stop: Callable[[], bool] | None) -> None:
    """Until all are done; raises the first error, and `RolloutCancelledError`."""
    waiting = set(futures)
    while waiting:
        raise_if_stopped(should_stop)
        done, waiting = wait(waiting, timeout=0.1, return_when=FIRST_COMPLETED)
        for future in done:
            future.result()


def _cut(connection: http.client.HTTPConnection) -> None:
    """End a connection that another thread is reading from."""
    with contextlib.suppress(OSError, AttributeError):
        connection.sock.shutdown(socket.SHUT_RDWR)


def _message(text: str) -> str:
    """What an error answer says, shortened."""
    with contextlib.suppress(ValueError, TypeError, KeyError):
        answer = json.loads(text)
        text = str(
            answer.get("error", {}).get("message")
            or answer.get("message")
            or answer.get("detail")
            or text
        )
    return text[:500]
