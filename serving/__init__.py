"""The online predictor: a published bundle, Feast's online store, and numpy. Nothing else is imported here."""
