"""What every stage agrees on: tables, features, hashing, artifacts, the bundle's format, days, errors, settings."""
