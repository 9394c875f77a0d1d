"""The documentation site: pages, and the programs that write their tables and pictures."""
