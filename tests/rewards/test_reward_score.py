"""Scoring a batch with several functions: TRL's signature, async, errors that show the sample, the
control."""

import asyncio
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch

from workbench.objective import AdvantageRule, group_advantages
from workbench.rewards import (
    RewardError,
    RewardSet,
    format_reward,
    functions,
    random_rewards,
    resolve_reward,
    shuffled,
)
from workbench.runs import plain_name

PROMPTS = [[{"role": "user", "content": f"{i} + 1?"}] for i in range(4)]
COMPLETIONS = [[{"role": "assistant", "content": str(i)}] for i in range(4)]
COLUMNS = {"answer": ["0", "1", "2", "4"]}


def score(functions, weights=None, **changes):
    given = {
        "prompts": PROMPTS,
        "completions": COMPLETIONS,
        "columns": COLUMNS,
        "step": 3,
    } | changes
    return RewardSet(functions, weights).score(**given)


def has_both_tags(completions, **kwargs):
    """In the signature that the seeds use: completions by name, the rest as keywords, messages
    inside."""
    texts = [completion[0]["content"] for completion in completions]
    return [1.0 if re.search(r"^<think>.*</think><answer>.*</answer>$", t) else 0.0 for t in texts]


def same(completions, answer, **columns):
    return [1.0 if c[0]["content"] == a else 0.0 for c, a in zip(completions, answer, strict=True)]


def half_scored(completions, **columns):
    return [None if i % 2 else i / 4 for i in range(len(completions))]


async def later(completions, **columns):
    await asyncio.sleep(0)
    return [float(len(c[0]["content"])) for c in completions]


def test_a_reward_function_written_for_trl_runs_unchanged():
    completions = [
        [{"role": "assistant", "content": t}] for t in ("<think>a</think><answer>8</answer>", "8")
    ]
    table = score(
        has_both_tags, prompts=PROMPTS[:2], completions=completions, columns={"answer": ["8", "8"]}
    )
    assert table.rewards_BK.tolist() == [[1.0], [0.0]]
    assert table.names == ("has_both_tags",)


def test_several_functions_sync_and_async_with_none():
    table = score([same, later, half_scored], weights=[2, 1, 4])
    nan = float("nan")
    expected = [[1, 1, 0], [1, 1, nan], [1, 1, 0.5], [0, 1, nan]]
    np.testing.assert_array_equal(table.rewards_BK, np.array(expected, dtype=np.float32))
    assert table.rewards_BK.dtype == np.float32
    np.testing.assert_array_equal(table.total_B([2, 1, 4]), [3, 3, 5, 1])
    np.testing.assert_array_equal(
        score(half_scored).total_B(), np.array([0, nan, 0.5, nan], dtype=np.float32)
    )


@pytest.fixture
def undecided_rewards(monkeypatch):
    """Of one group, with the default rewards: an answer that is right, one that could not be
    compared in time, one that is wrong."""
    verdicts = {"right": True, "slow": None, "wrong": False}
    monkeypatch.setattr(functions, "answers_equal", lambda given, gold: verdicts[given])
    texts = [f"<think>t</think><answer>{answer}</answer>" for answer in verdicts]
    table = RewardSet(["format", "answer"]).score(
        ["?"] * 3, texts, step=1, columns={"answer": ["8"] * 3}
    )
    assert table.metrics == {"answers_not_compared": 1.0}
    return torch.tensor(table.rewards_BK).double()


@pytest.mark.parametrize("baseline", ["group", "leave_one_out", "batch"])
@pytest.mark.parametrize("aggregation", ["sum_then_normalize", "normalize_then_sum"])
def test_an_undecided_answer_does_not_compete_as_a_wrong_one(
    undecided_rewards, baseline, aggregation
):
    rule = AdvantageRule(3, advantage_baseline=baseline, multi_objective_aggregation=aggregation)
    found = group_advantages(undecided_rewards, rule)
    # The two answers that were compared have the mean 0.5, which stands in for the third.
    assert found.total_B.tolist() == [2, 1.5, 1]
    assert found.mean_N.tolist() == [1.5]
    right, undecided, wrong = found.advantage_B.tolist()
    assert undecided == 0
    assert right == -wrong > 0


def test_the_advantages_beside_an_undecided_answer(undecided_rewards):
    found = group_advantages(undecided_rewards, AdvantageRule(3)).advantage_B
    # totals 2, 1.5, 1: their sample std is 0.5
    expected = torch.tensor([0.5, 0, -0.5]).double() / (0.5 + 1e-4)
    torch.testing.assert_close(found, expected)


def test_an_undecided_answer_is_still_compared_by_its_format(undecided_rewards):
    undecided_rewards[1, 0] = 0
    found = group_advantages(undecided_rewards, AdvantageRule(3, scale_rewards="none"))
    # format 1 0 1 has the mean 2/3, the answers 1 and 0 have 1/2
    expected = torch.tensor([1 / 3 + 1 / 2, -2 / 3, 1 / 3 - 1 / 2]).double()
    torch.testing.assert_close(found.advantage_B, expected)


def test_every_function_gets_what_trl_gives():
    seen = {}

    def spy(prompts, completions, completion_ids, **columns):
        seen.update(columns, ids=completion_ids, prompts=prompts)
        return [0.0] * len(prompts)

    ids = [[1], [2, 3], [4], [5]]
    score(spy, completion_ids=ids)
    assert seen["ids"] == ids
    assert seen["prompts"] == PROMPTS
    assert seen["answer"] == COLUMNS["answer"]
    assert seen["trainer_state"].global_step == 3
    assert set(seen) == {"ids", "prompts", "answer", "trainer_state", "log_extra", "log_metric"}


def test_a_function_without_keywords_gets_what_it_names():
    table = score(
        [lambda completions, answer: [1.0] * len(answer), lambda prompts: [2.0] * len(prompts)]
    )
    assert table.rewards_BK.tolist() == [[1.0, 2.0]] * 4


def test_a_function_cannot_change_what_the_next_one_gets():
    def greedy(completions, answer, **columns):
        rewards = [1.0] * len(completions)
        completions.clear()
        answer.clear()
        return rewards

    assert score([greedy, same]).rewards_BK[:, 1].tolist() == [1, 1, 1, 0]


def test_what_functions_log_is_kept():
    def logs(completions, log_extra, log_metric, **columns):
        log_extra("length", [len(c) for c in completions])
        log_metric("m", 1.0)
        log_metric("m", 2.0)
        return [0.0] * len(completions)

    table = score(logs)
    assert table.extra == {"length": [1, 1, 1, 1]}
    assert table.metrics == {"m": 1.5}


@pytest.mark.parametrize("kind", [np.float32, np.int64, bool, int])
def test_numbers_of_any_kind_are_taken(kind):
    assert score(lambda completions: [kind(1)] * len(completions)).rewards_BK.sum() == 4


def test_arrays_and_tensors_are_taken():
    import torch

    assert score(lambda completions: np.arange(4.0)).rewards_BK[:, 0].tolist() == [0, 1, 2, 3]
    assert score(lambda completions: torch.arange(4.0)).rewards_BK[:, 0].tolist() == [0, 1, 2, 3]


def test_async_functions_run_at_the_same_time_in_a_thread_with_or_without_a_loop():
    meeting = {}

    async def one(completions, **columns):
        meeting["barrier"] = asyncio.Barrier(2)
        await asyncio.wait_for(meeting["barrier"].wait(), 5)
        return [1.0] * 4

    async def two(completions, **columns):
        await asyncio.wait_for(meeting["barrier"].wait(), 5)
        return [2.0] * 4

    async def inside_a_notebook():
        return score([one, two])

    expected = [[1.0, 2.0]] * 4
    assert score([one, two]).rewards_BK.tolist() == expected
    with ThreadPoolExecutor(
        1
    ) as pool:  # this thread may have a loop already: a browser test leaves one running
        assert (
            pool.submit(asyncio.run, inside_a_notebook()).result().rewards_BK.tolist() == expected
        )
    results = []
    thread = threading.Thread(target=lambda: results.append(score([one, two]).rewards_BK.tolist()))
    thread.start()
    thread.join()
    assert results == [expected]


def fails_on_two(completions, **columns):
    return [10 / (2 - int(c[0]["content"])) for c in completions]


async def fails_on_two_later(completions, **columns):
    await asyncio.sleep(0)
    return fails_on_two(completions)


@pytest.mark.parametrize("function", [fails_on_two, fails_on_two_later])
def test_a_function_that_raises_is_reported_with_its_sample_and_cause(function):
    with pytest.raises(RewardError) as caught:
        score([same, later, function])
    text = str(caught.value)
    assert text.startswith(
        f"reward function '{function.__name__}' raised ZeroDivisionError: division by zero."
    )
    assert "Row 2 makes it fail also on its own." in text
    assert "2 + 1?" in text
    assert "'content': '2'" in text
    assert (caught.value.function, caught.value.row) == (function.__name__, 2)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_function_that_fails_only_on_the_whole_batch_says_so():
    with pytest.raises(
        RewardError, match="None of the 4 samples makes it fail on its own"
    ) as caught:
        score(lambda completions: 1 / 0 if len(completions) > 1 else [1.0])
    assert caught.value.row is None


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (float("nan"), "returned nan; expected a finite"),
        (float("inf"), "returned inf"),
        (np.float32("-inf"), "returned -inf"),
        (1e39, "returned 1e.39; expected a finite float32"),
        (10**400, "returned 1000.*expected a finite float32"),
        ("1.0", "returned '1.0', a str; expected a number, or None"),
        ([1.0], r"returned \[1.0\], a list"),
        (1j, "a complex"),
    ],
)
def test_a_value_that_is_no_reward_is_reported_with_its_row(bad, message):
    with pytest.raises(RewardError, match=message) as caught:
        score(lambda completions: [0.0, 0.0, bad, 0.0])
    assert caught.value.row == 2
    assert "Row 2: prompt [{'role': 'user', 'content': '2 + 1?'}]" in str(caught.value)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ([1.0] * 3, r"returned 3 reward\(s\) for 4 completion\(s\)"),
        ([], r"returned 0 reward\(s\) for 4"),
        (1.0, "returned 1.0, a float; expected a list of 4 rewards"),
        (None, "returned None, a NoneType"),
        ("1111", "returned '1111', a str"),
        ({0: 1.0}, "a dict"),
    ],
)
def test_an_output_that_is_no_list_of_rewards_is_reported(output, message):
    with pytest.raises(RewardError, match=message):
        score(lambda completions: output)


def test_the_sample_that_makes_the_length_wrong_is_found():
    with pytest.raises(
        RewardError, match=r"returned 3 reward.* Row 2 makes it fail also on its own"
    ) as caught:
        score(lambda completions: [1.0 for c in completions if c[0]["content"] != "2"])
    assert caught.value.row == 2


def test_a_missing_column_is_named_with_those_there_are():
    def needs_gold(completions, gold, **columns):
        return [0.0] * len(gold)

    with pytest.raises(RewardError, match=r"'gold'.*The columns of this task are: answer"):
        score(needs_gold)


def test_long_prompts_and_completions_are_shortened():
    with pytest.raises(RewardError) as caught:
        score(
            lambda completions: [float("nan")],
            prompts=["p" * 10**6],
            completions=["c" * 10**6],
            columns={},
        )
    assert len(str(caught.value)) < 700


def test_an_interrupt_is_not_taken_for_a_failure_of_the_function():
    def interrupted(completions, **columns):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score(interrupted)


@pytest.mark.parametrize(
    "changes", [{"prompts": PROMPTS[:3]}, {"columns": {"answer": ["1"]}}, {"completion_ids": [[1]]}]
)
def test_lists_of_unequal_length_are_refused(changes):
    with pytest.raises(ValueError, match="every list needs one entry"):
        score(same, **changes)


@pytest.mark.parametrize("weights", [[1], [1, 2, 3], [0, 0], [1, float("nan")], [1, float("inf")]])
def test_weights_that_cannot_be_used_are_refused(weights):
    with pytest.raises(ValueError, match="expected 2 finite number"):
        RewardSet([same, later], weights)


def test_names_are_unique_and_the_functions_own():
    class Judge:
        def __call__(self, completions, **columns):
            return [1.0] * len(completions)

    functions = [same, same, partial(same), Judge(), "format", format_reward]
    assert RewardSet(functions).names == (
        "same",
        "same_2",
        "same_3",
        "Judge",
        "format_reward",
        "format_reward_2",
    )
    assert score([Judge()]).rewards_BK.sum() == 4


def test_no_function_is_refused():
    with pytest.raises(ValueError, match="no reward function given"):
        RewardSet([])


def test_rewards_by_name_module_and_file(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "def hi(completions, **columns):\n    return [7.0] * len(completions)\n\nx = 3\n"
    )
    assert resolve_reward("format") is format_reward
    assert resolve_reward("json:dumps") is json.dumps
    assert score([f"{file}:hi", "answer"]).rewards_BK[:, 0].tolist() == [7.0] * 4
    for spec, message in {
        "formt": "is unknown. Choose one of format, answer, lenient_answer, tag_count, .* or",
        "no.such.module:f": "there is no module 'no'",
        "json:nothing": "json has no 'nothing'. Its functions are: .*dumps",
        f"{file}:x": "holds a int, not a function, in 'x'. Its functions are: hi",
        f"{tmp_path}/other.py:f": "there is no file",
        "json:": "is unknown",
        7: "is a int; expected a function",
    }.items():
        with pytest.raises(ValueError, match=message):
            resolve_reward(spec)


def test_an_error_inside_the_users_module_is_named_with_its_line(tmp_path, monkeypatch):
    (tmp_path / "broken_rewards.py").write_text("import there_is_no_such_thing\n")
    monkeypatch.syspath_prepend(tmp_path)
    words = "line 1, in `import there_is_no_such_thing`: ModuleNotFoundError: No module named"
    with pytest.raises(ValueError, match=words):
        resolve_reward("broken_rewards:f")


def index_reward(completions, **columns):
    return [float(i) for i in range(len(completions))]


def control(seed, step, size=64):
    table = shuffled(RewardSet([index_reward, index_reward]), seed).score(
        ["p"] * size, ["c"] * size, step=step
    )
    return table.rewards_BK


def test_the_control_permutes_whole_rows_as_a_function_of_seed_and_step():
    first = control(0, 0)
    assert sorted(first[:, 0]) == list(range(64))
    np.testing.assert_array_equal(first[:, 0], first[:, 1])
    np.testing.assert_array_equal(first, control(0, 0))
    assert not np.array_equal(first, control(0, 1))
    assert not np.array_equal(first, control(1, 0))
    assert not np.array_equal(first[:, 0], np.arange(64))


def test_the_control_carries_no_information():
    dealt = np.array([control(0, step)[:, 0] for step in range(400)])
    # every place gets the mean reward of the batch, 31.5, up to the error of 400 draws (18.5 / 20 =
    # 0.92)
    assert np.abs(dealt.mean(0) - 31.5).max() < 4.5 * 0.92
    assert shuffled(RewardSet(same, [2.0])).names == ("shuffled_same",)
    assert shuffled(RewardSet(same, [2.0])).weights == (2.0,)


def coins(step, texts, seed=0, reward=index_reward):
    return random_rewards(RewardSet([reward, index_reward]), seed).score(
        ["p"] * len(texts), texts, step=step
    )


def test_the_random_control_draws_coins_that_depend_on_seed_step_and_batch_alone():
    texts = [str(i % 7) for i in range(64)]
    first = coins(3, texts).rewards_BK
    assert set(np.unique(first)) == {0.0, 1.0}
    np.testing.assert_array_equal(first, coins(3, texts).rewards_BK)
    # Another step, seed, or function has other coins; so has a batch drawn anew in the same step.
    others = (coins(4, texts), coins(3, texts, seed=1), coins(3, texts[::-1]))
    assert all(not np.array_equal(first, other.rewards_BK) for other in others)
    assert not np.array_equal(first[:, 0], first[:, 1])
    thrown = np.array([coins(step, texts).rewards_BK for step in range(200)])
    # 12,800 coins for each function: 1/2 to within 4.5 standard errors, whatever the text says.
    assert np.abs(thrown.mean((0, 1)) - 0.5).max() < 4.5 * 0.5 / np.sqrt(12_800)
    by_text = [thrown[:, i::7].mean() for i in range(7)]
    assert np.ptp(by_text) < 0.1
    table = coins(3, texts, reward=lambda completions, **_: [None, *[1.0] * 63])
    assert np.isnan(table.rewards_BK).sum() == 1
    assert table.names == ("coin_for_<lambda>", "coin_for_index_reward")
    assert plain_name(table.names[1]) == ("index_reward", "random")
    assert plain_name("shuffled_random_x") == ("random_x", "shuffled")
    assert plain_name("random_x") == ("random_x", None)
