//! The safetensors header, checked against the network's layout.

use std::collections::HashMap;

use safetensors::tensor::{Dtype as StDtype, Metadata};

use super::error::{FormatError, clip};
use super::layout::{Dtype, TensorSpec};

/// The largest header, in bytes: that of the deepest network takes a tenth.
pub(super) const MAX_BYTES: u64 = 4 << 20;

/// Parses a header and returns the tensors in the order of their data, each exactly as `specs` has it.
pub(super) fn parse(json: &[u8], specs: Vec<TensorSpec>) -> Result<Vec<TensorSpec>, FormatError> {
    let metadata: Metadata = serde_json::from_slice(json)
        .map_err(|e| FormatError::Header(format!("is not safetensors: {}", clip(&e.to_string()))))?;
    check_metadata(metadata.metadata().as_ref())?;
    let mut expected: HashMap<String, TensorSpec> = specs.into_iter().map(|s| (s.name.clone(), s)).collect();
    let mut ordered = Vec::with_capacity(expected.len());
    for name in metadata.offset_keys() {
        let info = metadata.info(&name).ok_or_else(|| FormatError::Missing(name.clone()))?;
        let spec = expected.remove(&name).ok_or_else(|| FormatError::Unknown(clip(&name)))?;
        let wrong = |what, found: String, expected: String| FormatError::Tensor {
            tensor: spec.name.clone(),
            what,
            found,
            expected,
        };
        let dtype = match spec.dtype {
            Dtype::F32 => StDtype::F32,
            Dtype::U8 => StDtype::U8,
        };
        if info.dtype != dtype {
            return Err(wrong("type", format!("{:?}", info.dtype), format!("{dtype:?}")));
        }
        if info.shape != spec.shape {
            return Err(wrong("shape", clip(&format!("{:?}", info.shape)), format!("{:?}", spec.shape)));
        }
        if !info.data_offsets.0.is_multiple_of(4) {
            return Err(wrong("offset", info.data_offsets.0.to_string(), "a multiple of 4".into()));
        }
        ordered.push(spec);
    }
    match expected.into_keys().min() {
        Some(name) => Err(FormatError::Missing(name)),
        None => Ok(ordered),
    }
}

fn check_metadata(found: Option<&HashMap<String, String>>) -> Result<(), FormatError> {
    for (key, expected) in [("format", "mar"), ("format_version", "1")] {
        let value = found.and_then(|m| m.get(key));
        if value.is_none_or(|v| v != expected) {
            let message = format!(
                "has {key} {}, expected {expected:?}",
                value.map_or("missing".into(), |v| format!("{:?}", clip(v)))
            );
            return Err(FormatError::Header(message));
        }
    }
    Ok(())
}
