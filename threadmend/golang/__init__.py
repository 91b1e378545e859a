"""Facts about Go source: what a Go rule can ask."""
