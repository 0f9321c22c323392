"""Airflow's DAGs: the clock and the order, nothing else."""
