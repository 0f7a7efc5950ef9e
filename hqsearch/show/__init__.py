"""What people see: tables, plots, the live display. Only here and in `cli` is anything printed."""
