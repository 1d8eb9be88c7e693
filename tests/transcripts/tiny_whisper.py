"""A Whisper of a few thousand random weights, with every file that a real one's folder holds."""

from __future__ import annotations

import json
from pathlib import Path

LANGUAGES = {"en": "<|en|>", "zh": "<|zh|>", "de": "<|de|>"}


def save_tiny_whisper(folder: Path, *, has_heads: bool = True) -> Path:
    """Write one. What it says is nonsense, and the same each time."""
    import torch
    from transformers import (
        GenerationConfig,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperTokenizer,
    )
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    folder.mkdir(parents=True, exist_ok=True)
    letters = list(bytes_to_unicode().values())
    vocabulary = {letter: n for n, letter in enumerate(letters)}
    specials = [
        "<|endoftext|>",
        "<|startoftranscript|>",
        *LANGUAGES.values(),
        "<|translate|>",
        "<|transcribe|>",
        "<|startoflm|>",
        "<|startofprev|>",
        "<|nospeech|>",
        "<|notimestamps|>",
        *(f"<|{n * 0.02:.2f}|>" for n in range(1501)),
    ]
    ids = {special: len(letters) + n for n, special in enumerate(specials)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = WhisperTokenizer(
        vocab=vocabulary,
        merges=[],
        unk_token="<|endoftext|>",
        bos_token="<|endoftext|>",
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
    )
    named = next(n for n, special in enumerate(specials) if special == "<|0.00|>")
    tokenizer.add_special_tokens({"additional_special_tokens": specials[1:named]})
    tokenizer.add_tokens(specials[named:])
    found = tokenizer.convert_tokens_to_ids(specials)
    assert found == [ids[s] for s in specials], "special tokens are where Whisper has them"
    tokenizer.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=80).save_pretrained(folder)
    torch.manual_seed(0)
    end, start = ids["<|endoftext|>"], ids["<|startoftranscript|>"]
    model = WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=len(letters) + len(specials),
            d_model=16,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=32,
            decoder_ffn_dim=32,
            max_target_positions=40,
            pad_token_id=end,
            bos_token_id=end,
            eos_token_id=end,
            decoder_start_token_id=start,
        )
    )
    model.generation_config = GenerationConfig(
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        decoder_start_token_id=start,
        no_timestamps_token_id=ids["<|notimestamps|>"],
        max_initial_timestamp_index=50,
        is_multilingual=True,
        lang_to_id={token: ids[token] for token in LANGUAGES.values()},
        task_to_id={"translate": ids["<|translate|>"], "transcribe": ids["<|transcribe|>"]},
        return_timestamps=True,
        max_length=40,
        **({"alignment_heads": [[0, 0], [0, 1]]} if has_heads else {}),
    )
    model.save_pretrained(folder, safe_serialization=True)
    return folder
