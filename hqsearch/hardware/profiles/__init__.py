"""Hardware constants, one TOML file for each profile; read by ``hqsearch.hardware.profile``."""
