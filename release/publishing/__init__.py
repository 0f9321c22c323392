"""Stage 8: bundles, the switch, the log of what served, and the way back."""
