"""The CNNs that attention is put into: normalised pictures [B, 3, S, S], category rows [B] -> features [B, ...]."""
