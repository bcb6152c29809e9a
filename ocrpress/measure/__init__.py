"""Measuring: pages a second of any engine, what the hardware would allow, and what transformers alone would give.

    Work, pages ──▶ measure_cell(engine) ──▶ Cell ──▶ report
    Architecture, Rates ──▶ bound ─────────────┘
    Encoder, Slots on a fake GPU ──▶ Counts ──▶ Prediction

Knows engines and page images; nothing of Markdown or command lines. Only `probe`, `loaded`, `baseline`,
`agreement`, `counts` and `predictions` import torch; the engine deepseek alone needs them.
"""
