"""The HTTP application and its page.

    door ──▶ intake ──▶ desk ──▶ crew ═══▶ reading process (one engine; pages of all clients in one batch)
               │          │ ◀──events──┘
               │          ├──▶ answers, chat: told as pages come
               │          └──▶ jobs: the ledger of batches, in a folder; they survive a restart
               └── limits before work, problems (RFC 9457) for whatever is refused

An import goes left only: settings, errors ◀ desk ◀ door ◀ intake ◀ answers ◀ jobs, chat, page ◀ app ◀ run. `service` is
what handlers are given.
"""
