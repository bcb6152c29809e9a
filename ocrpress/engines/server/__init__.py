"""Any OpenAI-compatible endpoint as an engine: vLLM, SGLang, Ollama, llama-server and what else speaks that protocol.

address ── what the user typed -> the endpoint's URL
body ───── Request + card -> what is sent        answer ── what came back -> text, stop, tokens
patience ─ how often, how long, what for         client ── one page asked until it is answered or given up
exchange ─ the thread in which pages are awaited engine ── the Engine over all this
"""

from ocrpress.engines.server.engine import ServerEngine

__all__ = ["ServerEngine"]
