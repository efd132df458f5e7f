"""Pure decisions: values in, values out. No disk, network, clock, entropy, thread or context variable."""
