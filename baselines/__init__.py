"""Systems that the family in ``models`` is compared with: one file each."""
