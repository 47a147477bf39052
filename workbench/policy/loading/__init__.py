"""From a name to files: where a policy lies, whether it can be had, and what can be known of it
before its weights are read. `workbench.policy.load` is the door."""
