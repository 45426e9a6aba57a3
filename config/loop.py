"""The event loop of a web process: several of them listen on one port, and the kernel deals the connections out."""

import asyncio
from typing import Any

import uvloop


class SharingLoop(uvloop.Loop):
    """`uvicorn --loop config.loop:SharingLoop`: each process can be stopped, killed and started without the others."""

    async def create_server(self, *args: Any, **options: Any) -> asyncio.AbstractServer:  # type: ignore[override]
        return await super().create_server(*args, **options, reuse_port=True)
