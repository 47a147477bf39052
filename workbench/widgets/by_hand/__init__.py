"""Charts that are moved by hand: handles in a picture, for the labs, the what-if and sketches."""
