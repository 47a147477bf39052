"""Where rows come from: files by their ending, lists, frames, data sets; how much is read of them,
and what is held out."""
