"""From JSONL chats to batches: records, chat template, tokenizer, memory-mapped shards, packing."""
