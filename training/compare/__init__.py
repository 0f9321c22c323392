"""Table 8 on one's own data: the same days, seeds and tuning budget for each rung, paired intervals, cost, a picture."""
