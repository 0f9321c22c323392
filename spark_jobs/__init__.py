"""Stages 1 to 4: impressions, quality, features, groups. The only package that uses Spark."""
