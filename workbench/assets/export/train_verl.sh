#!/usr/bin/env bash
# GRPO by verl, with the settings of a GRPO workbench run.
#   bash train.sh
#   bash train.sh trainer.n_gpus_per_node=4 actor_rollout_ref.rollout.tensor_model_parallel_size=2
# overrides.txt has the settings, score.py and rewards.py the reward. README.md says what was mapped, and what differs.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
case $here in *[\'\\]*) echo "move this folder to a place without quotes and backslashes in its name" >&2; exit 1 ;; esac
cd "$here"
mapfile -t settings < <(grep -v -e '^#' -e '^$' overrides.txt)
exec python3 -m verl.trainer.main_ppo "${settings[@]//\{here\}/"$here"}" "$@"
