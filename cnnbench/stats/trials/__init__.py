"""What is analysed: trials as a table of replicates by cells, and the audit of their design."""
