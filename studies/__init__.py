"""Study definitions (TOML)."""
