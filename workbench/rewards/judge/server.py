"""Prompts to replies by a server that speaks OpenAI's protocol (vLLM, llama.cpp, Ollama, SGLang).

Only a server on this machine is asked unless that is allowed: questions, gold answers and
completions go there. Nothing else is followed: no proxy of the environment, no redirect.
"""

from __future__ import annotations

import ipaddress
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage
from typing import IO, Any
from urllib.parse import urlsplit

from workbench.errors import WorkbenchError

_LARGEST = 2**20
"""Bytes of a reply that are read; a longer one is an error."""
_FIRST_WAIT = 0.2
"""Seconds before the second try; each further one waits twice as long."""
_TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP statuses that may be over in a moment."""


class JudgeServerError(WorkbenchError, RuntimeError):
    """A judge's server that cannot be asked, or did not answer."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> None:
        """None: the redirect is an error, like any other status."""


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects)


@dataclass(frozen=True)
class JudgeServer:
    """`server(prompts)` are its replies, `concurrency` of them asked for at a time."""

    url: str
    """Where the protocol begins, such as http://localhost:8000/v1."""

    model: str
    """As the server calls it."""

    timeout: float = 60.0
    """Seconds for one reply."""

    max_tries: int = 3
    """Of one prompt, where the server is busy, fails or does not answer."""

    max_tokens: int = 512
    """The longest reply."""

    concurrency: int = 8

    allow_remote: bool = False
    """Ask a server that is not on this machine. No key is ever sent."""

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise JudgeServerError(
                f"judge: url={self.url!r:.200} is no address. Give one such as "
                "http://localhost:8000/v1."
            )
        if not self.allow_remote and not _is_here(parts.hostname):
            raise JudgeServerError(
                f"judge: {parts.hostname!r:.200} is not this machine, and questions, golds and "
                "completions would be sent there. Give a url on localhost, or allow it: "
                "allow_remote=true."
            )

    def __call__(self, prompts: Sequence[str]) -> list[str]:
        """Raises `JudgeServerError` for the first that gets no reply."""
        over = threading.Event()
        pool = ThreadPoolExecutor(self.concurrency, thread_name_prefix="judge")
        try:
            return list(pool.map(lambda prompt: self._reply(prompt, over), prompts))
        finally:
            # After an error, or where the time of the reward is over, nobody waits for the rest.
            over.set()
            pool.shutdown(wait=False, cancel_futures=True)

    def _reply(self, prompt: str, over: threading.Event) -> str:
        for number in range(1, self.max_tries + 1):
            try:
                return self._asked(prompt)
            except urllib.error.HTTPError as error:
                if error.code not in _TRY_AGAIN or number == self.max_tries:
                    raise self._error(_status(error), number) from error
            except (OSError, HTTPException) as error:
                if number == self.max_tries:
                    reason = getattr(error, "reason", error)
                    raise self._error(f"{type(error).__name__}: {reason}", number) from error
            if over.wait(_FIRST_WAIT * 2 ** (number - 1)):
                raise self._error("nobody waits for it any more", number)
        raise AssertionError("the last try returns or raises")

    def _asked(self, prompt: str) -> str:
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": 0,
            "max_tokens": self.max_tokens,
        }
        request = urllib.request.Request(
            self.url.rstrip("/") + "/chat/completions",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with _OPENER.open(request, timeout=self.timeout) as response:
            raw = response.read(_LARGEST + 1)
        if len(raw) > _LARGEST:
            raise self._error(f"it sent more than {_LARGEST} bytes", 1)
        return self._content(raw)

    def _content(self, raw: bytes) -> str:
        try:
            content: Any = json.loads(raw)["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError) as error:
            raise self._error(f"this is no chat completion: {raw[:200]!r}", 1) from error
        # A model that only thought, or called a tool, has no text.
        return content if isinstance(content, str) else ""

    def _error(self, what: str, tries: int) -> JudgeServerError:
        count = f" (tried {tries} times)" if tries > 1 else ""
        return JudgeServerError(
            f"judge at {self.url}, model {self.model!r}: {what}{count}. See that the server runs "
            "and serves this model."
        )


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        # A name may lead anywhere.
        return False


def _status(error: urllib.error.HTTPError) -> str:
    return f"HTTP {error.code} {error.reason}: {error.read(300)!r}"
