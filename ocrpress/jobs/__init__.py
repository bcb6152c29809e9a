"""Folders of documents, resumable: finding -> ledger and crew -> outputs. One machine, or many.

finding ──Found──▶ runner ──Order──▶ crew ══▶ worker process (engine, pipeline, render workers)
                     │  ◀──events── crew ◀══   one page result at a time, as each finishes
                     ├──▶ ledger
                     └──▶ outputs
"""
