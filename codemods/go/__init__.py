"""Go rules that rewrite a whole module."""
