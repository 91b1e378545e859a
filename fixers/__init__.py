"""Rules that need a file and its package."""
