"""Who taught it that, on the page of groups: the influence matrix of a step and its two texts."""
