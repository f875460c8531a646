"""One status report for the command line, the page and JSON."""
