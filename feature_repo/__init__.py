"""What a feature is called, how old it may be, and where it comes from: Feast's definitions."""
