"""The steps of a run, one file each. They speak to each other through files only; none imports another."""
