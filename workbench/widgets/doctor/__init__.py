"""The page of the doctor: findings as cards, each with its curve and with what can be done."""
