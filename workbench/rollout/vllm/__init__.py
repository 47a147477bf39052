"""Rollouts from vLLM: in this process beside the trainer (`colocate`), or from a `vllm serve`
elsewhere (`server`)."""
