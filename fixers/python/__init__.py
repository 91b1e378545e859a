"""Python rules that need a file and what its imports tell."""
