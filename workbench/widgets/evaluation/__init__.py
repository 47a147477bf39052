"""The page of evaluations: how good the policy was before, during and after training, and what of
it training has only made likelier."""
