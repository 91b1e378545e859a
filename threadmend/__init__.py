"""threadmend finds concurrency anti-patterns in Go and Python and rewrites them."""

__version__ = "0.1.0"
