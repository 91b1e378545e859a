"""What surrounds the code: how it is tested, linted and built, as text that rules may read."""
