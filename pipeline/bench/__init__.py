"""How fast this machine trains: a careful user's plain loop against this project's, and both against the machine."""
