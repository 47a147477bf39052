"""What a person moves: the control strip of a session, knob rows, number boxes, replay, the
planner."""
