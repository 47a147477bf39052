"""The tables of the engines: what is forgotten in one is an error at import, and nothing outside
`rollout/` asks for an engine by its name."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from rollout.tiny_models import EOS, PAD, build

import workbench
from workbench.config import GRPOConfig
from workbench.config.engines import ENGINE_FACTS, EngineFacts, beside_trainer, facts_of
from workbench.plan.ledger import PARTS
from workbench.rollout import ENGINES, RolloutEngine, make_engine
from workbench.rollout.engines import check_complete

ROOT = Path(workbench.__file__).parent
OTHERS = [
    path
    for path in sorted(ROOT.rglob("*.py"))
    if path.parts[len(ROOT.parts)] != "rollout" and path.name != "engines.py"
]


def test_the_facts_need_no_torch() -> None:
    code = (
        "import sys, workbench.config\n"
        "assert workbench.config.ENGINE_FACTS\n"
        "assert not {'torch', 'transformers', 'vllm', 'workbench.rollout'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_fact_must_be_given() -> None:
    given = {
        f.name: getattr(ENGINE_FACTS["native"], f.name) for f in dataclasses.fields(EngineFacts)
    }
    assert EngineFacts(**given) == ENGINE_FACTS["native"]
    for name in given:
        with pytest.raises(TypeError, match=name):
            EngineFacts(**{key: value for key, value in given.items() if key != name})


def test_an_engine_in_one_table_alone_is_refused_at_import() -> None:
    more = ENGINE_FACTS | {"sglang": ENGINE_FACTS["vllm"]}
    with pytest.raises(ValueError, match="sglang stand in one of two tables only"):
        check_complete(ENGINES, more)
    with pytest.raises(ValueError, match="native, transformers"):
        check_complete({}, {k: ENGINE_FACTS[k] for k in ("native", "transformers")})


def test_memory_of_its_own_and_what_it_must_hold_go_together() -> None:
    with pytest.raises(ValueError, match="own_memory and share_need go together"):
        dataclasses.replace(ENGINES["vllm"], share_need=None)


def test_the_config_offers_what_the_table_holds_and_stand_ins_are_in_it() -> None:
    [field] = [f for f in dataclasses.fields(GRPOConfig) if f.name == "rollout_engine"]
    assert field.metadata["choices"] == tuple(ENGINES)
    fields = {f.name for f in dataclasses.fields(GRPOConfig)}
    for facts in ENGINE_FACTS.values():
        assert facts.stand_in is None or ENGINE_FACTS[facts.stand_in].serves_every_model
        assert facts.lighter is None or facts.lighter[0] in ENGINE_FACTS
        own = facts.own_memory
        assert (facts.name in PARTS) == (own is not None)
        if own is not None:
            named = {own.mode_field, own.address_field, own.share_field, own.sleep_field}
            assert named <= fields
            assert own.words_when_full.format_map(GRPOConfig().to_dict())


def test_memory_beside_the_trainer_is_that_of_an_engine_in_this_process() -> None:
    assert beside_trainer(GRPOConfig()) is None
    here = GRPOConfig(rollout_engine="vllm")
    assert beside_trainer(here) is facts_of(here).own_memory is not None
    elsewhere = here.replace(vllm_mode="server", vllm_server_base_url="http://localhost:1")
    assert beside_trainer(elsewhere) is None


@pytest.mark.parametrize("name", [n for n, f in ENGINE_FACTS.items() if f.package is None])
def test_an_engine_answers_the_whole_protocol(name: str) -> None:
    engine = make_engine(name, build("llama"), EOS, PAD)
    asked = [n for n, _ in inspect.getmembers(RolloutEngine) if not n.startswith("_")]
    assert asked == ["facts", "free", "generate", "name", "release_between_rollouts"]
    for member in asked:
        assert hasattr(engine, member), member
    assert engine.facts is ENGINE_FACTS[name]
    assert engine.name == name
    engine.release_between_rollouts()
    engine.free()


def test_vllms_engine_answers_the_whole_protocol_too() -> None:
    from workbench.rollout.vllm.engine import VLLMEngine

    for member in ("facts", "free", "generate", "name", "release_between_rollouts"):
        assert hasattr(VLLMEngine, member), member
    assert VLLMEngine.facts is ENGINE_FACTS[VLLMEngine.name]


def test_nothing_outside_compares_with_an_engines_name() -> None:
    """A comparison would be a place that a new engine falls through."""
    found = []
    for path in OTHERS:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare):
                texts = [c.value for c in ast.walk(node) if isinstance(c, ast.Constant)]
                if any(text in ENGINE_FACTS for text in texts if isinstance(text, str)):
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not found
