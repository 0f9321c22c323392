"""Whatever is done to the data stages, a re-run leaves the tables of an undisturbed sequential run."""
