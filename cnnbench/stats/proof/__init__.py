"""What a report proves about itself: the false-positive rate of its own design, and this installation beside R."""
