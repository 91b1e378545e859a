"""Facts about Python source: what a Python rule can ask."""
