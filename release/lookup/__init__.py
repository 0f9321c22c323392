"""Stage 6: the lookup table, from catalogue and model to a mapped file."""
