"""The chat completions of OpenAI's API, for clients that read pages through it. What of them counts, `request` says.

receive ──▶ body ──▶ request ──▶ prompts              shape: errors as such clients read them
   └──────────── ask ───────────────┴──▶ reading ──▶ answer ──▶ deliver
"""

from ocrpress.server.chat.routes import router

__all__ = ["router"]
