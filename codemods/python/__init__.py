"""Python rules that rewrite a whole project."""
