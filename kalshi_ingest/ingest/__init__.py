"""What the long jobs share: how they end, stop and are logged."""
