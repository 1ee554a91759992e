"""What each command does: checks what the user asked for, opens what it needs, runs a job, prints the outcome."""
