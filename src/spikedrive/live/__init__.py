"""Live inputs: a recording or a camera, slice by slice through a network, on a terminal or a web page."""
