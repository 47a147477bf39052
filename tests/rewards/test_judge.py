"""A model as a judge: what it is asked, how it is read, and the server that it stands behind."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.rewards import RewardError, RewardSet, resolve_reward
from workbench.rewards.judge import Judge, JudgeServer, JudgeServerError, grade_in, prompt_for
from workbench.rewards.judge.judge import UNREAD
from workbench.rewards.parameters import RewardSpecError


def chat(text: object) -> bytes:
    """A reply as a server sends it."""
    return json.dumps({"choices": [{"message": {"content": text}}]}).encode()


class Server:
    """A judge's server on a free port: `answer(prompt)` gives status and body."""

    def __init__(self, answer: Callable[[str], tuple[int, bytes]]) -> None:
        self.asked: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.at_once = 0
        self.most_at_once = 0
        server = self
        lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                with lock:
                    server.at_once += 1
                    server.most_at_once = max(server.most_at_once, server.at_once)
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.asked.append(body)
                server.paths.append(self.path)
                status, reply = answer(body["messages"][0]["content"])
                with lock:
                    server.at_once -= 1
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", reply.decode())
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing to standard error."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(answer: Callable[[str], tuple[int, bytes]]) -> Server:
        servers.append(Server(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.http.shutdown()
        server.http.server_close()


def by_answer(prompt: str) -> tuple[int, bytes]:
    return 200, chat("Checked.\nGrade: 10" if "<answer>8<" in prompt else "No.\nGrade: 0")


def score(reward: Any, texts: list[str], golds: list[str] | None = None, **more: Any) -> Any:
    columns = {
        "question": [f"question {i}" for i in range(len(texts))],
        "answer": golds or ["8"] * len(texts),
    }
    prompts = columns["question"]
    return RewardSet(reward).score(prompts, texts, step=1, columns=columns, **more)


# ----------------------------------------------------------------------------- replies


@pytest.mark.parametrize(
    ("reply", "grade"),
    [
        ("Because.\nGrade: 7", 0.7),
        ("Grade: 10", 1.0),
        ("**Grade: 0**", 0.0),
        ("grade: 7.5/10", 0.75),
        ("  Grade — 3.  ", 0.3),
        ("Grade: 7\nGrade: 2", 0.2),
        ("Grade: 7\nbut I am not sure", None),
        ("Grade: 11", None),
        ("Grade: 100", None),
        ("Grade: -1", None),
        ("Grade: seven", None),
        ("Grade:", None),
        ("7", None),
        ("", None),
        ("Grade: 1e1", None),
        ("downgrade: 3", None),
    ],
)
def test_the_grade_stands_in_the_last_line(reply: str, grade: float | None) -> None:
    assert grade_in(reply) == grade


@given(st.text(max_size=300))
def test_any_reply_is_read_as_a_grade_or_none(reply: str) -> None:
    grade = grade_in(reply)
    assert grade is None or 0 <= grade <= 1


@given(st.text(max_size=200))
def test_no_completion_can_end_its_frame(completion: str) -> None:
    prompt = prompt_for("rubric", "question", completion, "gold")
    mark = prompt.split("the two lines RESPONSE ")[1][:16]
    assert mark not in completion
    framed = prompt.split(f"RESPONSE {mark}\n", 1)[1].rsplit(f"\nRESPONSE {mark}", 1)[0]
    assert framed == completion


def test_the_prompt_holds_what_is_graded_and_the_gold_only_where_it_is_shown() -> None:
    prompt = prompt_for("Be strict.", "3 + 5?", "<answer>8</answer>", "GOLD")
    assert all(words in prompt for words in ("Be strict.", "3 + 5?", "<answer>8</answer>", "GOLD"))
    assert "reference" not in prompt_for("Be strict.", "3 + 5?", "8", None)


# ----------------------------------------------------------------------------- any callable


def test_a_grader_gets_all_prompts_at_once_and_each_one_once() -> None:
    batches: list[list[str]] = []

    def grader(prompts: list[str]) -> list[str]:
        batches.append(prompts)
        return [f"Grade: {len(batches)}" for _ in prompts]

    judge = Judge(grader)
    given = {"completions": ["a", "b", "a"], "question": ["q"] * 3, "answer": ["8"] * 3}
    assert judge(**given) == [0.1, 0.1, 0.1]
    assert [len(batch) for batch in batches] == [2]
    # What was graded before is not asked again; what is new is.
    given["completions"] = ["a", "c", "b"]
    assert judge(**given) == [0.1, 0.2, 0.1]
    assert [len(batch) for batch in batches] == [2, 1]
    # To another question, or beside another gold, it is another completion.
    assert judge(completions=["a"], question=["p"], answer=["8"]) == [0.3]
    assert judge(completions=["a"], question=["q"], answer=["9"]) == [0.4]


def test_a_reply_without_a_grade_is_asked_for_again_and_then_not_scored() -> None:
    asked: list[str] = []

    def grader(prompts: list[str]) -> list[str]:
        asked.extend(prompts)
        return ["Grade: 5" if "last line has to be" in p and "easy" in p else "?" for p in prompts]

    table = score(Judge(grader, max_tries=3), ["easy", "hard"])
    assert table.rewards_BK[0, 0] == 0.5
    assert table.rewards_BK[1, 0] != table.rewards_BK[1, 0]
    assert table.metrics == {UNREAD: 1}
    assert [sum(word in prompt for prompt in asked) for word in ("easy", "hard")] == [2, 3]


def test_a_grader_that_returns_too_few_is_an_error() -> None:
    with pytest.raises(RewardError, match="returned 1 replies for 2 prompts"):
        score(Judge(lambda prompts: ["Grade: 1"][: len(prompts) - 1 or 1]), ["a", "b"])


def test_the_gold_can_be_kept_from_the_judge() -> None:
    seen: list[str] = []

    def grader(prompts: list[str]) -> list[str]:
        seen.extend(prompts)
        return ["Grade: 1"] * len(prompts)

    score(Judge(grader, shows_gold=False), ["a"], ["SECRET"])
    assert "SECRET" not in seen[0]


# ----------------------------------------------------------------------------- a server


def test_the_named_judge_asks_a_server(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve(by_answer)
    (tmp_path / "rubric.txt").write_text("Be kind.")
    reward = f"judge:url={server.url},model=small,rubric={tmp_path / 'rubric.txt'}"
    table = score(reward, ["<answer>8</answer>", "<answer>9</answer>"])
    assert table.rewards_BK[:, 0].tolist() == [1, 0]
    assert table.names == (reward,)
    assert set(server.paths) == {"/v1/chat/completions"}
    body = server.asked[0]
    assert body["model"] == "small"
    assert body["temperature"] == 0
    assert body["messages"][0]["content"].startswith("Be kind.")


def test_several_are_asked_at_a_time_and_no_more_than_allowed(
    serve: Callable[..., Server],
) -> None:
    def slowly(prompt: str) -> tuple[int, bytes]:
        time.sleep(0.05)
        return by_answer(prompt)

    server = serve(slowly)
    replies = JudgeServer(server.url, "m", concurrency=3)([f"<answer>{i}<" for i in range(9)])
    assert ["10" in reply for reply in replies] == [i == 8 for i in range(9)]
    assert server.most_at_once == 3


def test_a_server_that_is_busy_is_asked_again_up_to_the_limit(
    serve: Callable[..., Server],
) -> None:
    states = iter([503, 429])

    def busy(prompt: str) -> tuple[int, bytes]:
        status = next(states, 200)
        return status, chat("Grade: 1")

    server = serve(busy)
    assert JudgeServer(server.url, "m", max_tries=3)(["a"]) == ["Grade: 1"]
    assert len(server.asked) == 3
    down = serve(lambda prompt: (500, b"out of memory"))
    with pytest.raises(JudgeServerError, match=r"HTTP 500 .*out of memory.*\(tried 2 times\)"):
        JudgeServer(down.url, "m", max_tries=2)(["a"])
    assert len(down.asked) == 2


def test_what_no_second_try_mends_is_said_at_once(serve: Callable[..., Server]) -> None:
    server = serve(lambda prompt: (404, b'{"error": "no model m"}'))
    with pytest.raises(JudgeServerError, match="HTTP 404 .*no model m.*serves this model"):
        JudgeServer(server.url, "m")(["a"])
    assert len(server.asked) == 1


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"choices": []}', b"[1]", b'{"choices": 3}'])
def test_what_is_no_chat_completion_is_an_error(serve: Callable[..., Server], body: bytes) -> None:
    server = serve(lambda prompt: (200, body))
    with pytest.raises(JudgeServerError, match="this is no chat completion"):
        JudgeServer(server.url, "m")(["a"])


def test_a_reply_without_text_has_no_grade(serve: Callable[..., Server]) -> None:
    """A reasoning model whose thought took all tokens has `content: null`."""
    server = serve(lambda prompt: (200, chat(None)))
    assert JudgeServer(server.url, "m")(["a"]) == [""]


def test_a_server_that_does_not_answer_in_time_is_an_error(serve: Callable[..., Server]) -> None:
    over = threading.Event()

    def hangs(prompt: str) -> tuple[int, bytes]:
        over.wait(10)
        return by_answer(prompt)

    server = serve(hangs)
    began = time.monotonic()
    with pytest.raises(JudgeServerError, match=r"(?i)timed out.*\(tried 2 times\)"):
        JudgeServer(server.url, "m", timeout=0.2, max_tries=2)(["a"])
    over.set()
    assert time.monotonic() - began < 5


def test_a_server_that_is_not_there_ends_the_step_with_its_address() -> None:
    with pytest.raises(RewardError, match=r"JudgeServerError: judge at http://localhost:9/v1"):
        score("judge:url=http://localhost:9/v1,model=m,max_tries=1", ["a"])


def test_a_reply_without_end_is_not_read_to_its_end(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.rewards.judge.server._LARGEST", 100)
    server = serve(lambda prompt: (200, chat("x" * 200)))
    with pytest.raises(JudgeServerError, match="more than 100 bytes"):
        JudgeServer(server.url, "m")(["a"])


def test_a_redirect_is_not_followed(serve: Callable[..., Server]) -> None:
    other = serve(by_answer)
    server = serve(lambda prompt: (302, f"{other.url}/chat/completions".encode()))
    with pytest.raises(JudgeServerError, match="HTTP 302"):
        JudgeServer(server.url, "m")(["a"])
    assert not other.asked


def test_no_proxy_of_the_environment_is_asked(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = serve(by_answer)
    monkeypatch.setenv("http_proxy", proxy.url)
    server = serve(by_answer)
    JudgeServer(server.url, "m")(["a"])
    assert len(server.asked) == 1
    assert not proxy.asked


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/v1",
        "https://api.openai.com/v1",
        "http://localhost@example.com/v1",
        "http://localhost.example.com/v1",
        "http://127.0.0.1.example.com/v1",
        "http://0.0.0.0:8000/v1",
        "http://192.168.0.1:8000/v1",
        "http://[2001:db8::1]/v1",
        "http://2130706433/v1",
    ],
)
def test_only_this_machine_is_asked_unless_another_is_allowed(url: str) -> None:
    with pytest.raises(JudgeServerError, match="is not this machine.*allow_remote=true"):
        resolve_reward(f"judge:url={url},model=m")
    assert resolve_reward(f"judge:url={url},model=m,allow_remote=true").allow_remote


@pytest.mark.parametrize(
    "url", ["http://localhost:1/v1", "http://LOCALHOST/v1", "http://127.0.0.9/v1", "http://[::1]:1"]
)
def test_this_machine_is_known_by_its_names(url: str) -> None:
    assert resolve_reward(f"judge:url={url},model=m").url == url


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("judge:url=localhost:8000,model=m", "is no address"),
        ("judge:url=file:///etc/passwd,model=m", "is no address"),
        ("judge:url=http://localhost/v1", "needs model"),
        ("judge:url=http://localhost/v1,model=m,timeout=0", "timeout=0.0; expected more than 0"),
        ("judge:url=http://localhost/v1,model=m,max_tries=0", "max_tries=0; expected 1 or more"),
        ("judge:url=http://localhost/v1,model=m,shows_gold=maybe", "expected true or false"),
        ("judge:url=http://localhost/v1,model=m,rubric=nowhere.txt", "cannot be read"),
    ],
)
def test_what_is_wrong_with_a_judge_is_said(spec: str, words: str) -> None:
    with pytest.raises((RewardSpecError, JudgeServerError)) as raised:
        resolve_reward(spec)
    assert words in str(raised.value)


def test_the_name_of_a_judge_leads_back_to_it() -> None:
    spec = "judge:url=http://localhost:8000/v1,model=a/b:c,shows_gold=false"
    judge = resolve_reward(spec)
    assert judge.__name__ == spec
    assert resolve_reward(judge.__name__) == judge


def test_nobody_asks_on_after_the_time_of_the_reward_is_over(
    serve: Callable[..., Server],
) -> None:
    def slowly(prompt: str) -> tuple[int, bytes]:
        time.sleep(0.1)
        return by_answer(prompt)

    server = serve(slowly)
    reward = f"judge:url={server.url},model=m,concurrency=1"
    with pytest.raises(RewardError, match="had not returned after 0.3 s"):
        score(reward, [f"text {i}" for i in range(50)], timeout=0.3)
    time.sleep(0.3)
    asked = len(server.asked)
    time.sleep(0.3)
    assert len(server.asked) == asked < 10
