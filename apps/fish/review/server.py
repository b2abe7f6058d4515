"""The server of a review: it listens on this computer alone, and writes every decision before it answers."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi import Path as UrlPath
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.middleware.trustedhost import TrustedHostMiddleware

from apps.fish.decisions import OPEN, RESERVED, Answer, History
from apps.fish.parts.naming import UNKNOWN
from apps.fish.review.queue import Queue, ReviewedFish, answer_of
from data.errors import ShankhaError

HOST: Final = "127.0.0.1"
_PAGE: Final = Path(__file__).with_name("page.html")
_POLICY: Final = "default-src 'none'; img-src 'self' data:; connect-src 'self'; style-src 'unsafe-inline'; " + (
    "script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class _Settle(BaseModel):
    """A decision: the fish's number in the list, and the answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fish: Annotated[int, Field(ge=0)]
    answer: Answer


class _Review:
    """The list of fish and the history; one decision at a time."""

    def __init__(self, queue: Queue, history: History) -> None:
        self.queue = queue
        self.history = history
        self.lock = threading.Lock()
        self._canonical = {name.casefold(): name for name in queue.taxa}
        self._canonical |= {taxon.scientific_name.casefold(): name for name, taxon in queue.taxa.items()}

    def fish(self, number: int) -> ReviewedFish:
        if number >= len(self.queue.fish):
            raise HTTPException(404, "there is no such fish")
        return self.queue.fish[number]

    def settle(self, asked: _Settle) -> dict[str, Any]:
        fish, answer = self.fish(asked.fish), self._answer(asked.answer)
        with self.lock:
            self.history.add(fish.key, answer)
            return {"fish": asked.fish, "answer": answer_of(self.history, fish), "settled": self.settled()}

    def undo(self) -> dict[str, Any]:
        with self.lock:
            undone = self.history.undo()
            if undone is None:
                return {"fish": None, "answer": None, "settled": self.settled()}
            number = next((at for at, one in enumerate(self.queue.fish) if undone.fish in one.keys), None)
            answer = None if number is None else answer_of(self.history, self.queue.fish[number])
            return {"fish": number, "answer": answer, "settled": self.settled()}

    def settled(self) -> int:
        last = {one.fish: one.after for one in self.history.decisions}
        return sum(any(last.get(key, OPEN) != OPEN for key in fish.keys) for fish in self.queue.fish)

    def _answer(self, asked: str) -> str:
        """The answer; a name that the taxonomy has, as it spells it."""
        name = " ".join(asked.split())
        if name in RESERVED - {OPEN}:
            return name
        if not name or name.casefold() in RESERVED or name.casefold().startswith(f"{UNKNOWN} "):
            raise HTTPException(422, f"{asked!r} is no name of a species")
        return self._canonical.get(name.casefold(), name)

    def told(self) -> dict[str, Any]:
        """All that the page shows."""
        with self.lock:
            self.history.refresh()
            fish = [self._told(number, one) for number, one in enumerate(self.queue.fish)]
            return {
                "fish": fish,
                "settled": self.settled(),
                "doubtful": sum(bool(one.doubts) for one in self.queue.fish),
                "unseen": self.queue.unseen,
                "species": [
                    {"key": key, "family": taxon.family, "common": taxon.common_name or ""}
                    for key, taxon in sorted(self.queue.taxa.items())
                ],
            }

    def _told(self, number: int, one: ReviewedFish) -> dict[str, Any]:
        proposed = one.proposed
        crops = [
            {"src": f"crops/{number}/{at}.jpg", "says": crop.name, "confidence": crop.confidence, "frame": crop.frame}
            for at, crop in enumerate(one.stored.crops)
        ]
        return {
            "opcode": one.key.opcode,
            "file": one.key.file,
            "track": one.stored.track,
            "seconds": one.stored.crops[0].seconds,
            "proposal": one.proposal,
            "confidence": proposed.confidence,
            "runner_up": proposed.runner_up,
            "doubts": one.doubts,
            "candidates": one.candidates,
            "crops": crops,
            "answer": answer_of(self.history, one),
        }


def review_app(queue: Queue, history: History) -> FastAPI:
    """The page and what it asks for; nothing of it leads out of this computer."""
    app = FastAPI(title="Review of fish", docs_url=None, redoc_url=None, openapi_url=None)
    # Pages of other sites may not speak to it under a name of their own.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])
    app.middleware("http")(_only_own_page)
    app.exception_handler(ShankhaError)(_failed)
    review = _Review(queue, history)

    @app.get("/")
    def page() -> HTMLResponse:
        return HTMLResponse(_PAGE.read_text(encoding="utf-8"))

    @app.get("/api/fish")
    def fish() -> dict[str, Any]:
        return review.told()

    @app.get("/crops/{number}/{at}.jpg")
    def crop(number: Annotated[int, UrlPath(ge=0)], at: Annotated[int, UrlPath(ge=0)]) -> Response:
        return _picture(review.fish(number), at)

    @app.post("/api/decisions")
    def settle(asked: _Settle) -> dict[str, Any]:
        return review.settle(asked)

    @app.post("/api/undo")
    def undo() -> dict[str, Any]:
        return review.undo()

    return app


async def _only_own_page(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
    origin = request.headers.get("origin")
    if origin is not None and origin != f"http://{request.headers.get('host')}":
        return JSONResponse({"detail": "only the page of the review may ask"}, 403)
    response = await go_on(request)
    response.headers.update({"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"})
    response.headers["Cache-Control"] = "no-store"
    return response


def _failed(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 500)


def _picture(fish: ReviewedFish, at: int) -> Response:
    if at >= len(fish.stored.crops):
        raise HTTPException(404, "there is no such picture")
    path = fish.folder / fish.stored.crops[at].picture
    try:
        return Response(path.read_bytes(), media_type="image/jpeg")
    except OSError as error:
        raise HTTPException(404, f"{path.name} is missing: survey the deployment again") from error
