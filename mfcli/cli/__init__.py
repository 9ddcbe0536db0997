"""The command line: options to configs, configs to stages, results to the terminal, errors to exit codes."""
