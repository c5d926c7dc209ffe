"""What every study shares: from a table of settings to trained cells, rows, a plot."""
