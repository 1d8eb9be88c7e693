"""OSC: the graph's controls for any program on the network that speaks it."""
