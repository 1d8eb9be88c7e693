"""The command line: translates arguments to calls, and errors to messages and exit codes."""
