"""The others' programs, each written as its library would have it. Imported in worker processes only."""
