"""Studies: many networks on one contest, compared in a table and a plot."""
