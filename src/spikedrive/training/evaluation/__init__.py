"""How good models are on images, texts and clips of events."""
