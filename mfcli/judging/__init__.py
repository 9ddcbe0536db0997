"""How good trained runs are, alone, beside each other and beyond luck."""
