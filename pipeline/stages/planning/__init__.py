"""Planning: from minutes to a plan of the run, made before anything is trained."""
