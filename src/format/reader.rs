//! `model.safetensors` from a stream: bytes go in as they come, checked tensors come out.

use std::collections::VecDeque;

use super::error::FormatError;
use super::header;
use super::layout::{Dtype, Rule, TensorSpec, tensors};
use super::packed::{self, Flaw};
use crate::config::Config;

/// Bytes of a tensor that are reserved before any of them is there.
const TRUSTED_BYTES: usize = 64 << 20;

/// A whole tensor whose values keep the format's rules.
#[derive(Debug, Clone, PartialEq)]
pub enum Tensor {
    /// Row-major float32.
    F32(Vec<f32>),
    /// Packed rows.
    Packed(Vec<u8>),
}

/// Takes a file in pieces of any size and hands out each tensor when its last byte is there.
///
/// Holds one tensor at a time, so a receiver that passes tensors on (to a GPU, say) never has the model in memory twice.
#[derive(Debug)]
pub struct WeightsReader {
    file_bytes: u64,
    received: u64,
    specs: Vec<TensorSpec>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The length field and the header's text so far.
    Header(Vec<u8>),
    /// The tensors to come, and the bytes of the first of them so far.
    Data { left: VecDeque<TensorSpec>, bytes: Vec<u8> },
}

impl WeightsReader {
    /// A reader for the weights of `config`, from a file of `file_bytes` bytes.
    pub fn new(config: &Config, file_bytes: u64) -> Self {
        let (specs, stage) = (tensors(config), Stage::Header(Vec::new()));
        Self { file_bytes, received: 0, specs, stage }
    }

    /// Takes the next bytes; `sink` gets every tensor that they complete, in the file's order.
    pub fn push(&mut self, mut input: &[u8], mut sink: impl FnMut(&TensorSpec, Tensor)) -> Result<(), FormatError> {
        self.received += input.len() as u64;
        if self.received > self.file_bytes {
            return Err(FormatError::Length { expected: self.file_bytes, found: self.received });
        }
        if let Stage::Header(text) = &mut self.stage {
            let Some(json) = collect_header(text, &mut input)? else { return Ok(()) };
            let data: u64 = self.specs.iter().map(TensorSpec::bytes).sum();
            let left = header::parse(json, std::mem::take(&mut self.specs))?.into();
            let expected = 8 + json.len() as u64 + data;
            if expected != self.file_bytes {
                return Err(FormatError::Length { expected, found: self.file_bytes });
            }
            self.stage = Stage::Data { left, bytes: Vec::new() };
        }
        let Stage::Data { left, bytes } = &mut self.stage else { return Ok(()) };
        while let Some(spec) = left.front() {
            let size = spec.bytes() as usize;
            let filled = bytes.len();
            if filled == bytes.capacity() {
                // A large one gets its memory as its bytes come: they may not come.
                let more = (size - filled).min(filled.max(TRUSTED_BYTES));
                let memory = |_| FormatError::OutOfMemory { tensor: spec.name.clone(), bytes: size };
                bytes.try_reserve_exact(more).map_err(memory)?;
            }
            let (now, later) = input.split_at(input.len().min(size - filled).min(bytes.capacity() - filled));
            bytes.extend_from_slice(now);
            input = later;
            if bytes.len() < size {
                if input.is_empty() {
                    break;
                }
                continue;
            }
            sink(spec, check(spec, std::mem::take(bytes))?);
            left.pop_front();
        }
        Ok(())
    }

    /// Ends the stream, or says what is missing.
    pub fn finish(self) -> Result<(), FormatError> {
        match &self.stage {
            Stage::Data { left, .. } if left.is_empty() => Ok(()),
            _ => Err(FormatError::Length { expected: self.file_bytes, found: self.received }),
        }
    }
}

/// Moves bytes from `input` to `text` until the header is whole; then its JSON.
fn collect_header<'a>(text: &'a mut Vec<u8>, input: &mut &[u8]) -> Result<Option<&'a [u8]>, FormatError> {
    let mut fill = |text: &mut Vec<u8>, size: usize| {
        let (now, later) = input.split_at(input.len().min(size.saturating_sub(text.len())));
        text.extend_from_slice(now);
        *input = later;
        text.len() >= size
    };
    if !fill(text, 8) {
        return Ok(None);
    }
    let length = u64::from_le_bytes(std::array::from_fn(|i| text[i]));
    if length > header::MAX_BYTES {
        return Err(FormatError::Header(format!(
            "is said to have {length} bytes, expected at most {}",
            header::MAX_BYTES
        )));
    }
    let size = 8 + length as usize;
    Ok(if fill(text, size) { Some(&text[8..size]) } else { None })
}

fn check(spec: &TensorSpec, bytes: Vec<u8>) -> Result<Tensor, FormatError> {
    let wrong =
        |index, found: String, expected| FormatError::Value { tensor: spec.name.clone(), index, found, expected };
    if let Rule::Packed { kind, columns } = spec.rule {
        return match packed::check(&bytes, columns, kind) {
            Ok(()) => Ok(Tensor::Packed(bytes)),
            Err(Flaw::Lowest(index)) => {
                Err(wrong(index, (-kind.max() - 1).to_string(), "a value above the field's lowest"))
            }
            Err(Flaw::Padding(index)) => Err(wrong(index, format!("{:#04x}", bytes[index]), "padding of zero bits")),
        };
    }
    debug_assert_eq!(spec.dtype, Dtype::F32);
    let values: Vec<f32> = bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
    let (holds, expected): (fn(f32) -> bool, _) = match spec.rule {
        Rule::Positive => (|x| x > 0.0, "a finite number above 0"),
        Rule::Negative => (|x| x < 0.0, "a finite number below 0"),
        Rule::Finite | Rule::Packed { .. } => (|_| true, "a finite number"),
    };
    match values.iter().position(|&x| !(x.is_finite() && holds(x))) {
        Some(index) => Err(wrong(index, values[index].to_string(), expected)),
        None => Ok(Tensor::F32(values)),
    }
}
