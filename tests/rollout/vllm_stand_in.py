"""A stand-in that speaks the protocol of `vllm serve`, for tests that need no vLLM."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch
from rollout.tiny_models import EOS, PAD, build

from workbench.config import GRPOConfig
from workbench.rollout import make_engine

SERVER = dict(
    rollout_engine="vllm",
    vllm_mode="server",
    lora_rank=4,
    max_prompt_length=32,
    max_completion_length=16,
)


def with_adapter(**options: Any) -> Any:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    return get_peft_model(
        build("llama"),
        LoraConfig(**(dict(r=4, task_type="CAUSAL_LM", target_modules="all-linear") | options)),
    )


class StandIn:
    """Answers as `vllm serve` 0.32 does, by computing with a model of the test; what it does wrong
    can be set."""

    def __init__(self) -> None:
        self.model: Any = with_adapter(init_lora_weights=False)
        self.adapters: list[str] = []
        self.seen: list[dict[str, Any]] = []
        self.max_model_len, self.takes_adapters, self.processed, self.slow = 64, True, True, 0.0
        self.lists_models, self.name = True, "base"

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if path == "/v1/models":
            return 200, {
                "data": [{"id": self.name, "parent": None, "max_model_len": self.max_model_len}]
                if self.lists_models
                else []
            }
        if path == "/v1/load_lora_adapter":
            if not self.takes_adapters:
                return 404, {"detail": "Not Found"}
            assert Path(body["lora_path"], "adapter_model.safetensors").is_file()
            self.adapters.append(body["lora_name"])
            return 200, "Success"
        if path == "/v1/unload_lora_adapter":
            self.adapters.remove(body["lora_name"])
            return 200, "Success"
        self.seen.append(body)
        time.sleep(self.slow)
        return 200, {"choices": [self.choice(i, body) for i in range(body["n"])]}

    @torch.no_grad()
    def choice(self, index: int, body: dict[str, Any]) -> dict[str, Any]:
        assert body["model"] in (*self.adapters, self.name)
        generator = torch.Generator().manual_seed(body["seed"] + index)
        ids, logps = list(body["prompt"]), []
        while len(logps) < body["max_tokens"] and not (logps and ids[-1] in body["stop_token_ids"]):
            logits = self.model(torch.tensor([ids])).logits[0, -1]
            hot = (logits / (body["temperature"] or 1)).log_softmax(-1)
            token = int(
                hot.argmax()
                if body["temperature"] == 0
                else torch.multinomial(hot.exp(), 1, generator=generator)
            )
            ids.append(token)
            logps.append(float((hot if self.processed else logits.log_softmax(-1))[token]))
        new = ids[len(body["prompt"]) :]
        all_logp = self.model(torch.tensor([body["prompt"]])).logits[0].log_softmax(-1)
        prompt = [None] + [
            {str(t): {"logprob": float(all_logp[i, t])}} for i, t in enumerate(body["prompt"][1:])
        ]
        best = float((hot if self.processed else logits.log_softmax(-1)).max())
        return {
            "index": index,
            "token_ids": new,
            "prompt_logprobs": prompt if "prompt_logprobs" in body else None,
            "logprobs": {"token_logprobs": logps, "top_logprobs": [{"x": best}]},
        }


@contextmanager
def answering(state: StandIn, port: int = 0) -> Iterator[str]:
    """The address at which the stand-in answers."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, answer = state.answer(self.path, json.loads(body or b"{}"))
            text = json.dumps(answer).encode() if not isinstance(answer, str) else answer.encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_POST = do_GET

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.handle_error = lambda *a: None  # type: ignore[method-assign]  # a cut connection is part of a test
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def engine_at(url: str, model: Any, **options: Any) -> Any:
    return make_engine(
        "vllm",
        model,
        EOS,
        PAD,
        config=GRPOConfig(**(SERVER | dict(vllm_server_base_url=url))),
        **options,
    )
