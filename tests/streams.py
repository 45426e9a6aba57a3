"""Reading a streamed answer as an ASGI server does."""

import asyncio

from asgiref.sync import sync_to_async
from django.db import connections
from django.test import AsyncClient


def download(user, url: str, *, name: str = "") -> str:
    """Return a file that `user` downloads, of that `name` where one is given. The connections of the threads that read the rows
    are closed."""

    async def fetch() -> str:
        client = AsyncClient()
        await client.aforce_login(user)
        response = await client.get(url)
        assert response.headers["Content-Disposition"].startswith(f'attachment; filename="{name}')
        text = b"".join([chunk async for chunk in response.streaming_content]).decode("utf-8-sig")
        await sync_to_async(connections.close_all)()
        return text

    return asyncio.run(fetch())
