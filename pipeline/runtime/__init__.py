"""What a run is: its settings, request, folder and finished steps, its device and processes, its exit codes."""
