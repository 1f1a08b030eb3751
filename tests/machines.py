"""Machines as tests ask them."""


def answers(table, symbols):
    """Return the names of what a `MachineTable` writes."""
    state, found = 0, []
    for symbol in symbols:
        column = table.symbols.index(symbol)
        found.append(table.outputs[table.output[state][column]])
        state = table.next_state[state][column]
    return found
