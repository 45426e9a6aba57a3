"""The keys and values of all running requests of one model, each row at its own position."""

import torch
from transformers.cache_utils import Cache

# Attention adds up over blocks of columns on a CPU. A row that always reads whole blocks of this many gets the same sums,
# bit for bit, however long the rows beside it are; with 128 it does nearly always.
BLOCK = 256


class SlotCache(Cache):
    """A cache whose batch rows are slots: requests join at the end, write at their own positions and leave at once.

    The slots in use are always the first ones, so that a step over all of them reads one contiguous piece and copies
    nothing. Before each forward pass `place` says which slots and columns the pass writes; the models know nothing of
    it and call `update` as on any cache. Slots and columns grow by need and are given back when nothing runs.
    """

    def __init__(self) -> None:
        super().__init__(layers=[])
        # One tensor (S slots, C columns, H heads, D) for each layer; heads and sizes may differ between layers.
        self._keys: list[torch.Tensor] = []
        self._values: list[torch.Tensor] = []
        self.n_slots = 0
        self.n_columns = 0
        self._first = 0
        self._n_rows = 0
        self._n_new = 0
        self._end = 0
        self._cells = torch.empty(0, dtype=torch.long)

    def reserve(self, *, n_slots: int, n_columns: int) -> None:
        """Make room for that many slots and columns; what is stored stays where it is."""
        if n_slots <= self.n_slots and n_columns <= self.n_columns:
            return
        if n_slots > self.n_slots:
            self.n_slots = max(n_slots, 2 * self.n_slots)
        if n_columns > self.n_columns:
            wanted = max(n_columns, self.n_columns * 3 // 2)
            self.n_columns = round_up(wanted)
        for tensors in (self._keys, self._values):
            for i, old in enumerate(tensors):
                new = self._zeros(old, *old.shape[2:])
                new[: old.shape[0], : old.shape[1]] = old
                tensors[i] = new

    def place(self, *, first: int, positions: torch.Tensor, end: int) -> None:
        """The next pass writes slots `first`, `first + 1`, ... at `positions` and reads their columns before `end`.

        `positions`: (B, T) long.
        """
        self._first = first
        self._n_rows, self._n_new = positions.shape
        self._end = end
        slots = torch.arange(first, first + self._n_rows, device=positions.device)
        self._cells = (slots[:, None] * self.n_columns + positions).flatten()

    def move(self, *, source: int, target: int, n_columns: int) -> None:
        """Put what slot `source` holds into slot `target`."""
        for tensor in (*self._keys, *self._values):
            tensor[target, :n_columns] = tensor[source, :n_columns]

    def release(self) -> None:
        """Give all memory back."""
        self._keys.clear()
        self._values.clear()
        self.n_slots = self.n_columns = 0

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        layer_idx: int,
        *args,
        **kwargs,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store keys and values (B, H, T, D), return all that the placed rows hold: (B, H, end, D)."""
        if layer_idx == len(self._keys):
            self._keys.append(self._zeros(key_states, key_states.shape[1], key_states.shape[3]))
            self._values.append(self._zeros(value_states, value_states.shape[1], value_states.shape[3]))
        return (
            self._write(self._keys[layer_idx], key_states),
            self._write(self._values[layer_idx], value_states),
        )

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self._end - self._n_new

    def get_query_offset(self, layer_idx: int = 0) -> int:
        return self._end - self._n_new

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        return self._end, 0

    def _write(self, tensor: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        n_heads, size = tensor.shape[2:]
        tensor.view(-1, n_heads, size).index_copy_(0, self._cells, states.transpose(1, 2).reshape(-1, n_heads, size))
        rows = tensor[self._first : self._first + self._n_rows, : self._end]
        return rows.transpose(1, 2)

    def _zeros(self, like: torch.Tensor, n_heads: int, size: int) -> torch.Tensor:
        """Zeros, not fresh memory: what lies behind a mask is multiplied by 0, which NaN would survive."""
        return like.new_zeros(self.n_slots, self.n_columns, n_heads, size)


def round_up(n_columns: int) -> int:
    """To whole blocks."""
    return -(-n_columns // BLOCK) * BLOCK
