"""Rules that rewrite a whole project."""
