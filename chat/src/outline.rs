//! A look at a `tokenizer.json` before it is built: whether building it takes what its vocabulary explains. The library that
//! builds it trusts its file, and a few bytes of one can ask for gigabytes: of an automaton, of a regular expression.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// Bytes for a token: its text in the vocabulary and in a merge, with what JSON puts around them. Real ones take 60 to 130.
const TOKEN_BYTES: usize = 160;

/// Bytes for what is not a token.
const OTHER_BYTES: usize = 1 << 20;

/// Lists, maps and commas for a token, and for the rest. Real ones take 3 to 5.
const TOKEN_VALUES: usize = 8;
const OTHER_VALUES: usize = 1 << 16;

/// Added tokens, and the bytes of their texts: an automaton looks for all of them at once.
const MAX_ADDED: (usize, usize) = (4_096, 1 << 16);

/// Regular expressions, and the characters of one.
const MAX_PATTERNS: (usize, usize) = (8, 2_048);

#[derive(Deserialize)]
struct Outline {
    #[serde(default)]
    added_tokens: Vec<Added>,
    normalizer: Option<Value>,
    pre_tokenizer: Option<Value>,
    post_processor: Option<Value>,
    decoder: Option<Value>,
    model: Model,
}

#[derive(Deserialize)]
struct Added {
    content: String,
}

#[derive(Deserialize)]
struct Model {
    #[serde(rename = "type")]
    kind: String,
    vocab: Count,
    merges: Count,
}

/// How many entries a list or a map has, without keeping them.
struct Count(usize);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Counter;
        impl<'de> Visitor<'de> for Counter {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a list or a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Count, A::Error> {
                let mut count = 0;
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Count(count))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Count, A::Error> {
                let mut count = 0;
                while list.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Count(count))
            }
        }
        deserializer.deserialize_any(Counter)
    }
}

/// Says what is amiss with a `tokenizer.json` for a vocabulary of `vocab_size`.
pub(super) fn check(json: &[u8], vocab_size: usize) -> Result<(), String> {
    let most = OTHER_BYTES + TOKEN_BYTES * vocab_size;
    if json.len() > most {
        return Err(format!("has {} bytes, expected at most {most} for {vocab_size} tokens", json.len()));
    }
    let (values, most) = (values(json), OTHER_VALUES + TOKEN_VALUES * vocab_size);
    if values > most {
        return Err(format!("has {values} values, expected at most {most} for {vocab_size} tokens"));
    }
    let outline: Outline = serde_json::from_slice(json).map_err(|e| format!("is not a tokenizer: {e}"))?;
    if outline.model.kind != "BPE" {
        return Err(format!("has a model of the type {:?}, expected \"BPE\"", outline.model.kind));
    }
    for (what, Count(found)) in [("tokens", &outline.model.vocab), ("merges", &outline.model.merges)] {
        if *found > vocab_size {
            return Err(format!("has {found} {what}, but config.json's vocab_size is {vocab_size}"));
        }
    }
    let (count, bytes) = MAX_ADDED;
    let added: usize = outline.added_tokens.iter().map(|token| token.content.len()).sum();
    if outline.added_tokens.len() > count || added > bytes {
        let found = outline.added_tokens.len();
        return Err(format!("adds {found} tokens of {added} bytes, expected at most {count} of {bytes} bytes"));
    }
    let mut patterns = Vec::new();
    for part in [outline.normalizer, outline.pre_tokenizer, outline.post_processor, outline.decoder].iter().flatten() {
        collect(part, &mut patterns);
    }
    let (count, characters) = MAX_PATTERNS;
    if patterns.len() > count || patterns.iter().any(|&length| length > characters) {
        let found = patterns.len();
        return Err(format!("has {found} patterns, expected at most {count} of {characters} characters"));
    }
    Ok(())
}

/// An upper bound of the values in it: texts may have such characters too.
fn values(json: &[u8]) -> usize {
    json.iter().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count()
}

/// The lengths of all regular expressions in `value`. JSON's own limit on nesting holds for it already.
fn collect(value: &Value, patterns: &mut Vec<usize>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, patterns)),
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(pattern) if key == "Regex" => patterns.push(pattern.chars().count()),
                    other => collect(other, patterns),
                }
            }
        }
        _ => {}
    }
}
