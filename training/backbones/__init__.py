"""The CNNs that attention is put into, one a file: normalised pictures [B, 3, S, S] and category rows [B] -> [B, features]."""
