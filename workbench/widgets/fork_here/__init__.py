"""Fork here: from a token that is locked, eight continuations by the policy of now, as a tree with
probabilities and rewards."""
