"""The layers of CSCNN's production model, one equation group a file."""
