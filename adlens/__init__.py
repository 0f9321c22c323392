"""The console command: finds the sub-command's package by name and imports it only then."""
