"""Search-space definitions (TOML)."""
