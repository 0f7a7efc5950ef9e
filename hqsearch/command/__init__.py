"""An evaluation as a command of the user's: any program that trains and prints a result."""
