"""Stage 7: evaluation, the rule, the decision; and what the served model was worth."""
