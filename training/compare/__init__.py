"""Table 8 on one's own data: each rung with the same days, seeds and trials; paired intervals, cost, a picture."""
