"""KFP components: one thin shell a step; the work is done by `python -m <package> ...`."""
