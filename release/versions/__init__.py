"""MLflow's registry: versions, what people ask for by it, repeating a run."""
