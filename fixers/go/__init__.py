"""Go rules that need a file and its package."""
