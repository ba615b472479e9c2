"""How many seeds a study needs, from its plan alone or with a pilot's trials."""
