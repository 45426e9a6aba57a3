"""Batches."""

from deployment.api.batch import ENDPOINTS, WINDOWS
from deployment.api.document.parts import (
    MOMENT,
    TEXT,
    WHOLE,
    Paths,
    Schema,
    in_path,
    many,
    maybe,
    one_of,
    operation,
    page,
    pages,
    ref,
    shape,
)
from deployment.api.document.training import METADATA
from deployment.states import BatchState
from labeling.states import Scope

INFERENCE = (Scope.INFERENCE,)
MOMENTS = (
    "in_progress_at",
    "finalizing_at",
    "completed_at",
    "failed_at",
    "expired_at",
    "cancelling_at",
    "cancelled_at",
)

SCHEMAS: dict[str, Schema] = {
    "BatchRequest": shape(
        {"input_file_id": TEXT, "endpoint": one_of(*ENDPOINTS), "completion_window": one_of(*WINDOWS)},
        metadata=maybe(METADATA),
    ),
    "Batch": shape(
        {
            "id": TEXT,
            "object": one_of("batch"),
            "endpoint": one_of(*ENDPOINTS),
            "errors": maybe(shape({"object": one_of("list"), "data": many({"type": "object"})})),
            "input_file_id": TEXT,
            "completion_window": one_of(*WINDOWS),
            "status": one_of(*BatchState.values),
            "output_file_id": maybe(TEXT),
            "error_file_id": maybe(TEXT),
            "created_at": MOMENT,
            "expires_at": MOMENT,
            "request_counts": shape({"total": WHOLE, "completed": WHOLE, "failed": WHOLE}),
            "metadata": maybe(METADATA),
            **{name: maybe(MOMENT) for name in MOMENTS},
        }
    ),
}

_batch = in_path("batch_id", "A batch's id.")
PATHS: Paths = {
    "/v1/batches": {
        "get": operation(
            "listBatches",
            "List batches, newest first",
            tag="batches",
            scopes=INFERENCE,
            parameters=pages(100, 20),
            answer=page("Batch"),
        ),
        "post": operation(
            "createBatch",
            "Answer a file of requests in the background",
            tag="batches",
            scopes=INFERENCE,
            body=ref("BatchRequest"),
            answer=ref("Batch"),
        ),
    },
    "/v1/batches/{batch_id}": {
        "get": operation(
            "showBatch", "Show a batch", tag="batches", scopes=INFERENCE, parameters=_batch, answer=ref("Batch")
        )
    },
    "/v1/batches/{batch_id}/cancel": {
        "post": operation(
            "cancelBatch",
            "Cancel a batch; what was answered is kept",
            tag="batches",
            scopes=INFERENCE,
            parameters=_batch,
            answer=ref("Batch"),
        )
    },
}
