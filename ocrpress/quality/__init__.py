"""Is there ink on a page, is an engine's answer to be taken, and how to ask again if it is not. Pure functions.

    page ──ink.has_ink──▶ worth asking?        Completion ──verdict.judge──▶ Verdict ──ladder.next_rung──▶ Rung | None
                                               └ loops.find_loop, ink.count_letters

Imported file by file: the ladder's figures stand in the help of the command line, which must not wait for numpy.
"""
