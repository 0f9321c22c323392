"""Stages 6, 7 and 8: the lookup table, the gate, the publication; and the way back."""
