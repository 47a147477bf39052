"""Recorded runs of the course, thinned, and the recipe that made them; `workbench.course.recorded`
opens them."""
