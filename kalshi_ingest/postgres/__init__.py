"""PostgreSQL: connection, migrations, COPY, staging, the one writer, checkpoints."""
