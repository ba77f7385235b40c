"""One file per dashboard, each with build()."""
