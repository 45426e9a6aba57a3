"""The keys and values of all running requests of one model, each row at its own position."""

import torch
from transformers.cache_utils import Cache

# Slots grow by this many columns.
COLUMNS = 256


class SlotCache(Cache):
    """A cache whose batch rows are slots: requests join at the end, write at their own positions and leave at once.

    The slots in use are always the first ones, so that a step over all of them reads one contiguous piece and copies
    nothing. Before each forward pass `place` says which cells the pass writes. A model of transformers knows nothing of it
    and calls `update` as on any cache; our own calls `write`. Slots and columns grow by need and are given back when
    nothing runs.
    """

    def __init__(self) -> None:
        super().__init__(layers=[])
        # Each (S slots, H heads, C columns, D): what one head reads lies together. Heads and sizes may differ.
        self._stores: list[torch.Tensor] = []
        self.n_slots = 0
        self.n_columns = 0
        self._slots = self._positions = torch.empty(0, dtype=torch.long)
        self._cells: dict[int, torch.Tensor] = {}  # by the number of heads
        self._window = (0, 1, 0)

    def reserve(self, *, n_slots: int, n_columns: int) -> None:
        """Make room for that many slots and columns; what is stored stays where it is."""
        if n_slots <= self.n_slots and n_columns <= self.n_columns:
            return
        if n_slots > self.n_slots:
            self.n_slots = max(n_slots, 2 * self.n_slots)
        if n_columns > self.n_columns:
            wanted = max(n_columns, self.n_columns * 3 // 2)
            self.n_columns = round_up(wanted, COLUMNS)
        for i, old in enumerate(self._stores):
            n_slots, n_heads, n_columns, size = old.shape
            self._stores[i] = self._zeros(old, n_heads, size)
            self._stores[i][:n_slots, :, :n_columns] = old

    def place(self, *, slots: torch.Tensor, positions: torch.Tensor, window: tuple[int, int, int] = (0, 1, 0)) -> None:
        """The next pass writes, for each of its N tokens, the slot's column at the position; both (N,) long.

        `window` is what `update` returns: from the first slot on, that many slots, their columns before the end.
        """
        self._slots, self._positions, self._window = slots, positions, window
        self._cells.clear()

    def write(self, store: int, states: torch.Tensor) -> torch.Tensor:
        """Keep the states (N, H, D) at the cells placed; returns the whole store (S, H, C, D)."""
        n_heads, size = states.shape[1:]
        if store == len(self._stores):
            self._stores.append(self._zeros(states, n_heads, size))
        whole = self._stores[store]
        if n_heads not in self._cells:
            heads = self._slots[:, None] * n_heads + torch.arange(n_heads, device=self._slots.device)
            self._cells[n_heads] = (heads * self.n_columns + self._positions[:, None]).flatten()
        whole.view(-1, size).index_copy_(0, self._cells[n_heads], states.reshape(-1, size))
        return whole

    def move(self, *, source: int, target: int, n_columns: int) -> None:
        """Put what slot `source` holds into slot `target`."""
        for store in self._stores:
            store[target, :, :n_columns] = store[source, :, :n_columns]

    def release(self) -> None:
        """Give all memory back."""
        self._stores.clear()
        self.n_slots = self.n_columns = 0

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        layer_idx: int,
        *args,
        **kwargs,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store keys and values (B, H, T, D), return all that the rows looked at hold: (B, H, end, D)."""
        first, n_rows, end = self._window
        keys, values = (
            self.write(store, states.transpose(1, 2).flatten(0, 1))[first : first + n_rows, :, :end]
            for store, states in ((2 * layer_idx, key_states), (2 * layer_idx + 1, value_states))
        )
        return keys, values

    def get_seq_length(self, layer_idx: int = 0) -> int:
        _, n_rows, end = self._window
        return end - len(self._slots) // n_rows

    def get_query_offset(self, layer_idx: int = 0) -> int:
        return self.get_seq_length(layer_idx)

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        return self._window[-1], 0

    def _zeros(self, like: torch.Tensor, n_heads: int, size: int) -> torch.Tensor:
        """Zeros, not fresh memory: what lies behind a mask is multiplied by 0, which NaN would survive."""
        return like.new_zeros(self.n_slots, n_heads, self.n_columns, size)


def round_up(n_columns: int, block: int) -> int:
    """To whole blocks."""
    return -(-n_columns // block) * block
