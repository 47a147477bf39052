"""The page of the counterfactual tornado: what each knob would have done."""
