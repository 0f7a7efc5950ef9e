"""What is in each picture of a study, as plain numbers: plots, report and dashboard draw these."""
