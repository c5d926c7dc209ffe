"""Studies: many runs on one contest, compared in a table and a plot. One file each; its STUDY is all there is to it."""
