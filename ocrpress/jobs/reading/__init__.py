"""Documents read by a process under supervision; `crew` is the door, `order` the nouns that go through it."""
