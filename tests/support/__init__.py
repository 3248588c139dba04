"""What the Python suites share: running the programs, a PostgreSQL server, a client that is not ours."""
