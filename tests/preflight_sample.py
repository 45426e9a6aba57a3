"""A report as `python -m ml preflight` writes it, for the pages."""

TOKENS = [
    ["<|im_start|>", 1, 2],
    ["user", 1, 0],
    ["\n", 1, 0],
    ["太", 2, 0],
    [" sun", 1, 0],
    ["<|im_end|>", 1, 2],
    ["Blue", 1, 1],
    [" sky", 1, 1],
    ["ä½", 1, 5],
    ["<|im_end|>", 1, 3],
]
REPORT = {
    "problems": [],
    "warnings": [{"code": "silent_rows", "n": 1}],
    "n_train": 2,
    "n_valid": 1,
    "silent": {"n": 1, "rows": [{"line": 2}]},
    "bad": {"n": 0, "rows": []},
    "hyperparameters": {"n_epochs": 12, "batch_size": 4, "learning_rate": 0.003, "max_tokens": 16},
    "auto": {"batch_size": "small, so that few corrections make a few dozen steps all the same"},
    "n_steps": 24,
    "n_tokens": 1234,
    "n_learnt": 567,
    "n_tokens_seen": 14808,
    "n_tokens_general": 3000,
    "longest": 90,
    "cut": {"n": 1, "n_tokens": 74, "rows": [{"line": 2, "n_tokens": 90, "n_lost": 74}]},
    "lengths": [{"most": 32, "n": 1}, {"most": None, "n": 1}],
    "steps": [
        [
            {
                "line": 1,
                "id": "a",
                "kind": "correction",
                "n_tokens": 11,
                "n_learnt": 4,
                "ends_learnt": True,
                "tokens": TOKENS,
            }
        ]
    ],
    "end": {"token": "<|im_end|>", "id": 2, "is_learnt": True, "stops": True, "served": ["<|im_end|>"]},
    "template": {"is_same": True, "n_checked": 2, "difference": ""},
    "machine": {
        "device": "cpu",
        "memory_least_bytes": 600_000_000,
        "memory_bytes": 1_500_000_000,
        "memory_free_bytes": 8_000_000_000,
        "disk_bytes": 300_000_000,
        "disk_free_bytes": 9_000_000_000,
        "n_parameters": 134_515_008,
    },
}
ESTIMATE = {"basis": "same", "n_runs": 3, "n_tokens": 17_808, "seconds": 120.0, "low_s": 90.0, "high_s": 160.0}
