"""What a policy answered, judged: what could not be compared is left out."""

from workbench.evaluation import answered
from workbench.evaluation.answered import Answered, summarize


def test_a_problem_that_was_not_compared_in_time_is_left_out(monkeypatch):
    verdicts = {"a": True, "b": None}
    judge = answered.Judge(lambda text, gold: verdicts[text], lambda text, gold: text)
    monkeypatch.setitem(answered.JUDGES, "strict", judge)
    problems = [Answered(i, "?", "2z", "", text, []) for i, text in enumerate("aba")]
    assert summarize(problems)["greedy"].n == 2
    assert [a.problem for a in answered.compared(problems)] == [0, 2]
