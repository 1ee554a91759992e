"""What backfill and follow share: discovery, task queue, workers, progress, run log, cancellation, resources."""
